// The reference of each row in the forward pass: a number near the row's highest score, which the
// cube subtracts from the scores (see the tiles).
//
// There is no running maximum in the inner loop. A row's reference m_ is found at its first tile.
// Later tiles only check that no score is more than SLACK above it (p is at most e^4); if one is,
// Settle raises the reference, computes the tile again and rescales what has been summed.
#ifndef MINDLONG_ATTENTION_REFERENCE_H
#define MINDLONG_ATTENTION_REFERENCE_H
#include "mindlong_attention_vectors.h"

namespace mindlong {
constexpr float SLACK = 4.0f;           // how far a row's highest score may be from its reference
constexpr int32_t SLACK_BITS = 0x4400;  // the same as a half
// A reference that moves goes this far above the highest score, for higher ones may come.
constexpr float MARGIN = 2.0f;
// By so much less than the way to the score it moves: a half of 60000 is known to 16, and a
// reference that far above its row would leave nothing of p. The next lap goes the rest.
constexpr float CAREFUL = 511.0f / 512.0f;
constexpr int32_t SURE_BITS = 0x6400;  // 1024 as a half: a move of no more needs no second look
constexpr int32_t INFINITE_BITS = 0x7c00;
// A visible score counts as at least this far below the reference, above MASKED.
constexpr float FLOOR = -60000.0f;
constexpr float EMPTY = -62000.0f;    // below: the row sees no key of the tile
constexpr float SETTLED = -60032.0f;  // lower bound of a row whose reference is found
// A reference moves by up to 60000 a lap, and a tail holds numbers to 512 * 65504.
constexpr uint32_t LAPS = 560;

class Reference : public Vectors {
 protected:
  __aicore__ inline void OpenReference() {
    OpenVectors();
    for (uint32_t h = 0; h < 2; ++h) {
      m_[h] = Take<float>(STRIP);
      low_[h] = Take<half>(STRIP);
    }
    before_ = Take<float>(STRIP);
    move_ = Take<half>(STRIP);
    // 256 more halves than are used: what CANN's check of a transposition asks for.
    peak_ = Take<half>(STRIP + 256);
    turned_ = Take<half>(STRIP + 256);
    column_ = Take<half>(STRIP + 256);
    vector_ = Take<half>(ROWS + 128);
    found_ = Take<half>(128);
  }
  __aicore__ inline uint32_t ReferenceBytes() const {
    return VectorBytes() + STRIP * (3 * 4 + 6 * 2) + 5 * 512;
  }
  __aicore__ inline void ResetReference(uint32_t h) {
    Duplicate(m_[h], 0.0f, (int32_t)STRIP);
    Duplicate(low_[h], half(-SLACK), (int32_t)STRIP);
    Duplicate(tail_, half(0.0f), (int32_t)STRIP);
  }

  // ---- the highest score ----
  // Elementwise maximum of pieces.
  __aicore__ inline void Fold(const LocalTensor<half>& to, const LocalTensor<half>& from,
                              uint32_t n, uint32_t least) {
    Max(to, from, from[n / 2], (int32_t)(n / 2));
    Step();
    for (n /= 2; n > least; n /= 2) {
      Max(to, to, to[n / 2], (int32_t)(n / 2));
      Step();
    }
  }
  // found_[0, 16) holds the largest of the n of x.
  __aicore__ inline void Highest(const LocalTensor<half>& x, const LocalTensor<half>& scratch,
                                 uint32_t n) {
    Fold(scratch, x, n, 2 * LANES);
    Max(found_, scratch, scratch[LANES], (int32_t)LANES);
    Step();
  }
  // The highest of found_[0, 16) as the bits of a half, or 0: positive halves order like their
  // bits, and not a number is above them all.
  __aicore__ inline int32_t Top() {
    LocalTensor<int16_t> bits = found_.ReinterpretCast<int16_t>();
    int32_t top = 0;
    for (uint32_t i = 0; i < LANES; ++i) {
      const int32_t b = bits.GetValue(i);
      top = b > top ? b : top;
    }
    return top;
  }
  // peak_ = the maximum of each row of the `scores` of x, in all of its lanes.
  __aicore__ inline void RowPeaks(const LocalTensor<half>& x, const LocalTensor<half>& scratch,
                                  uint32_t scores, bool blind) {
    Fold(scratch, x, scores, STRIP);
    Turn(turned_, scratch, 16, 16);  // [block of 16 rows][lane][row]
    Step();
    for (uint32_t lanes = 8; lanes >= 1; lanes /= 2) {
      BinaryRepeatParams r;
      r.dstRepStride = r.src0RepStride = r.src1RepStride = 16;
      Max(turned_, turned_, turned_[lanes * LANES], (uint64_t)(lanes * LANES),
          (uint8_t)(ROWS / LANES), r);
      Step();
    }
    DataCopy(vector_, turned_, DataCopyParams(ROWS / LANES, 1, 15, 0));
    Step();
    Turn(peak_, vector_, 0, 1);
    AtMost(peak_, half(-FLOOR), (int32_t)STRIP);
    Step();
    if (!blind) {
      AtLeast(peak_, half(FLOOR), (int32_t)STRIP);
      Step();
    }
  }
  // 16 rows of 16 halves transposed, for each of the 8 blocks of rows. row_stride 0: all 16 rows
  // are the same, which broadcasts it.
  __aicore__ inline void Turn(const LocalTensor<half>& to, const LocalTensor<half>& from,
                              uint32_t row_stride, uint32_t block_stride) {
    LocalTensor<half> a[16], b[16];
    for (uint32_t i = 0; i < 16; ++i) {
      a[i] = to[i * LANES];
      b[i] = from[i * row_stride];
    }
    TransDataTo5HDParams p;
    p.repeatTimes = ROWS / LANES;
    p.dstRepStride = 16;
    p.srcRepStride = (uint16_t)block_stride;
    TransDataTo5HD<half>(a, b, p);
  }

  // ---- moves ----
  // move_ = by how much the references move, found_ the farthest move.
  __aicore__ inline void Moves(uint32_t h, bool careful, bool blind) {
    const int32_t n = STRIP;
    Wanted(h, careful);
    if (careful && blind) {
      Visible();
      Mul(move_, move_, column_, n);
    }
    Muls(turned_, peak_, half(CAREFUL), n);
    Step();
    Adds(turned_, turned_, half(MARGIN), n);
    Step();
    Mul(move_, move_, turned_, n);
    Step();
    Muls(turned_, move_, half(-1.0f), n);
    Step();
    Max(turned_, turned_, move_, n);
    Step();
    Highest(turned_, turned_, STRIP);
    Sync<HardEvent::V_S>(0);
  }
  // move_ = 1 for rows whose reference must move, else 0. Once one must, every row above its
  // reference goes along: it would be next.
  __aicore__ inline void Wanted(uint32_t h, bool careful) {
    const int32_t n = STRIP;
    if (careful) {
      Sub(turned_, low_[h], peak_, n);
      Step();
      Max(move_, peak_, turned_, n);
      Step();
    }
    Muls(move_, careful ? move_ : peak_, half(60000.0f), n);
    Clamp(move_);
  }
  __aicore__ inline void Visible() {  // column_ = 1 for rows that see a key of this tile, else 0
    Adds(column_, peak_, half(-EMPTY), (int32_t)STRIP);
    Clamp(column_);
  }
  __aicore__ inline void Clamp(const LocalTensor<half>& x) {
    AtLeast(x, half(0.0f), (int32_t)STRIP);
    Step();
    AtMost(x, half(1.0f), (int32_t)STRIP);
    Step();
  }
  __aicore__ inline void Move(uint32_t h) {  // m_ += move_; tail_ says so
    Cast(f_[0], move_, RoundMode::CAST_NONE, STRIP);
    Step();
    Add(m_[h], m_[h], f_[0], (int32_t)STRIP);
    Step();
    Split(m_[h]);
  }
  // A row that has seen a key is settled: its reference only rises.
  __aicore__ inline void SetLow(uint32_t h) {
    Visible();
    Muls(column_, column_, half(FLOOR), (int32_t)STRIP);
    Step();
    Add(low_[h], low_[h], column_, (int32_t)STRIP);
    AtLeast(low_[h], half(SETTLED), (int32_t)STRIP);
    Step();
  }

  LocalTensor<half> low_[2], peak_, move_, turned_, column_, vector_, found_;
  LocalTensor<float> m_[2], before_;
};
}  // namespace mindlong
#endif
