// delta = rowsum(do o) of each query, as a tail: the diagonal of do o^T, in float. The cube brings
// the diagonal into the lanes of a tail.
#ifndef MINDLONG_ATTENTION_DELTA_H
#define MINDLONG_ATTENTION_DELTA_H
#include "mindlong_attention_vectors.h"

namespace mindlong {
class Delta : public Vectors {
 protected:
  __aicore__ inline uint32_t DeltaBytes() const { return VectorBytes() + STRIP * 4; }
  __aicore__ inline void TakeDelta() {
    OpenVectors();
    diagonal_ = Take<float>(STRIP);
  }
  // parts: 3 strips in L1 as a left factor; collect: 3 fractals in L1 as a right factor.
  __aicore__ inline void OpenDelta(const LocalTensor<half>& parts,
                                   const LocalTensor<half>& collect) {
    parts_ = parts;
    collect_ = collect;
    Duplicate(diagonal_, 0.0f, (int32_t)STRIP);
    Duplicate(c16_, half(0.0f), (int32_t)(3 * FRACTAL));
    Step();
    for (uint32_t i = 0; i < LANES; ++i) {  // 1 where lane = row % 16
      uint64_t mask[2] = {1ull << i, 0};
      Duplicate(diagonal_[i * LANES], 1.0f, mask, (uint8_t)(ROWS / LANES), 1, 32);
    }
    // What puts the lanes of strip f, summed and negated, into lane f.
    for (uint32_t f = 0; f < 3; ++f)
      Duplicate(c16_[f * FRACTAL + f * LANES], half(-1.0f), (int32_t)LANES);
    ToL1(collect_, c16_, 3 * LANES);
  }
  // tail_ = the tails of ROWS rows of do (NZ in L1) and of o, from `row` of `total`. `right` and
  // `product` are scratch of a tile of columns and of its scores.
  __aicore__ inline void FindDelta(const LocalTensor<half>& dout, const GlobalTensor<half>& o,
                                   uint32_t bn, uint32_t row, uint32_t total,
                                   const LocalTensor<half>& right,
                                   const LocalTensor<float>& product) {
    for (uint32_t at = 0; at < ROWS; at += bc_) {
      Load(right, Rows(o, bn, row + at, total), Left(row + at, total), bc_, 0, 1.0f);
      Stop();
      Multiply<false>(product, dout, right, bf_, width_, true);
      Stop();
      for (uint32_t j = at / LANES; j < at / LANES + bf_; ++j)
        Fractals(f_[0][j * FRACTAL], product[(j - at / LANES) * STRIP + j * FRACTAL], 1);
      Stop();
    }
    Mul(f_[0], f_[0], diagonal_, (int32_t)STRIP);
    Step();
    for (uint32_t i = 0; i < 3; ++i) {
      Remainder(i, f_[0]);
      Part(i);
      ToL1(parts_[i * STRIP], c16_, ROWS);
    }
    Multiply<false>(product, parts_, collect_, 1, 3, true);
    Stop();
    Fractals(tail_, product, ROWS / LANES);
  }

 private:
  LocalTensor<half> parts_, collect_;
  LocalTensor<float> diagonal_;
};
}  // namespace mindlong
#endif
