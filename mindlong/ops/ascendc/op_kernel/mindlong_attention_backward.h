// Gradients of o = softmax(scale q k^T) v from do, in two kernels that are one class.
//
// With p = exp(scale q k^T - log-sum), delta = rowsum(do o) and ds = p (do v^T - delta):
//   kKeys false, rows are queries, columns keys:
//     dq = scale ds k, and for the other kernel the tails of delta, and scale q
//   kKeys true, rows are keys, columns queries:
//     dv = p^T do, dk = ds^T (scale q)
// Each keeps the sums of its rows in the accumulator and walks over the columns, so no sum crosses
// cores, nothing depends on the order in which cores work, and p is taken as it lies: transposed
// products come out transposed.
//
// Both factors of ds are products of two tiles whose tails subtract what belongs to the query, so
// the vector unit reads each once, as halves, takes one exponential and multiplies. Where do v^T -
// delta may be beyond the halves, do is divided by a power of two (see Control), and the sums grow.
//
// A tile of columns serves up to two tiles of rows; three lie in L1, so that one is on its way
// while two are in use. Step n is (column tile n / heights_, row tile n % heights_):
//   cube    scores n+1 | sums n-1 | products n+1
//   vector  fetch scores n, exp | fetch products n, multiply
#ifndef MINDLONG_ATTENTION_BACKWARD_H
#define MINDLONG_ATTENTION_BACKWARD_H
#include "mindlong_attention_columns.h"

namespace mindlong {
constexpr uint32_t L0C_BYTES = 262144;

template <bool kKeys> class AttentionBackward : public Columns {
  static constexpr uint32_t SUMS = kKeys ? 2 : 1;

 public:
  __aicore__ inline void Init(TPipe* pipe, const BackwardTensors& g, const AttentionShape& shape) {
    const bool two = Fits(shape.d, 128, 2) || Fits(shape.d, 64, 2);
    tall_ = two ? 2 : 1;  // tiles of rows that a tile of columns serves
    Open(pipe, shape, g.control, Fits(shape.d, 128, tall_) ? 128 : 64);
    rows_ = kKeys ? shape.skv : shape.sq;
    blocks_ = (rows_ + ROWS - 1) / ROWS;
    SetTensors(g);
    OpenColumns(kKeys ? shape.sq : shape.skv, kKeys, kKeys ? c_.shrink : 1.0f);
    Allocate();
    RaiseFlags();
    for (int i = 0; i < 2; ++i) {
      SetFlag<HardEvent::V_M>(i);
      SetFlag<HardEvent::MTE3_V>(i);
      SetFlag<HardEvent::MTE1_MTE3>(2 + i);
    }
  }
  __aicore__ inline void Process() {
    const uint32_t groups = (blocks_ + tall_ - 1) / tall_, tasks = t_.bn * groups;
    for (uint32_t i = GetBlockIdx(); i < tasks; i += GetBlockNum())
      Block(i / groups, i % groups * tall_);
    LowerFlags();
    for (int i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::V_M>(i);
      WaitFlag<HardEvent::MTE3_V>(i);
      WaitFlag<HardEvent::MTE1_MTE3>(2 + i);
    }
  }

 private:
  // Two tiles of scores and the sums share the accumulator; a stage, two pairs of tiles and the
  // rest share UB.
  __aicore__ inline bool Fits(uint32_t d, uint32_t columns, uint32_t tall) const {
    return 2 * ROWS * columns * 4 + tall * SUMS * ROWS * d * 4 <= L0C_BYTES &&
           (columns == 64 || d <= 128);
  }
  __aicore__ inline uint32_t QueryBlocks() const { return (t_.sq + ROWS - 1) / ROWS; }

  __aicore__ inline void SetTensors(const BackwardTensors& g) {
    const uint64_t queries = (uint64_t)t_.bn * t_.sq * t_.d;
    const uint64_t keys = (uint64_t)t_.bn * t_.skv * t_.d;
    const uint64_t tails = (uint64_t)t_.bn * QueryBlocks() * STRIP;
    const uint64_t rows = kKeys ? keys : queries, columns = kKeys ? queries : keys;
    row1_.SetGlobalBuffer((__gm__ half*)(kKeys ? g.k : g.q), rows);
    row2_.SetGlobalBuffer((__gm__ half*)(kKeys ? g.v : g.dout), rows);
    column1_.SetGlobalBuffer((__gm__ half*)(kKeys ? g.scaled : g.k), columns);
    column2_.SetGlobalBuffer((__gm__ half*)(kKeys ? g.dout : g.v), columns);
    logsum_.SetGlobalBuffer((__gm__ half*)g.logsum, tails);
    delta_.SetGlobalBuffer((__gm__ half*)g.delta, tails);
    logsum_bits_.SetGlobalBuffer((__gm__ int16_t*)g.logsum, tails);
    out_[0].SetGlobalBuffer((__gm__ half*)(kKeys ? g.dk : g.dq), rows);
    out_[1].SetGlobalBuffer((__gm__ half*)g.dv, kKeys ? keys : 0);
    o_.SetGlobalBuffer((__gm__ half*)g.o, kKeys ? 0 : queries);
    scaled_.SetGlobalBuffer((__gm__ half*)g.scaled, queries);
  }
  __aicore__ inline void Allocate() {
    const uint32_t tall = width_ + 1, row_tile = tall * STRIP;
    const uint32_t scores = ROWS * bc_, sums = width_ * STRIP;
    OpenMemory(2 * (2 * tall_ * row_tile + 2 * SUMS * scores + 3 * STRIP),
               RingBytes() + 2 * 3 * FRACTAL, 4 * (2 * scores + tall_ * SUMS * sums),
               DeltaBytes() + 2 * 4 * scores);
    TakeDelta();
    for (uint32_t h = 0; h < tall_; ++h) {
      r1_[h] = l1a_.GetWithOffset<half>(row_tile, 4 * row_tile * h);
      r2_[h] = l1a_.GetWithOffset<half>(row_tile, 4 * row_tile * h + 2 * row_tile);
      for (uint32_t i = 0; i < SUMS; ++i)
        sum_[h][i] = l0c_.GetWithOffset<float>(sums, 4 * (2 * scores + (h * SUMS + i) * sums));
    }
    for (uint32_t e = 0; e < 2; ++e) {
      for (uint32_t i = 0; i < SUMS; ++i)
        p1_[e][i] =
            l1a_.GetWithOffset<half>(scores, 4 * row_tile * tall_ + 2 * scores * (e * SUMS + i));
      s0_[e] = l0c_.GetWithOffset<float>(scores, 4 * scores * e);
      x_[e] = Take<half>(scores);
      y_[e] = Take<half>(scores);
    }
    PlaceRing();
    OpenTails(4 * row_tile * tall_ + 4 * scores * SUMS, RingBytes());
  }
  // The constants of the tails; a and b: the free bytes of L1, from there.
  __aicore__ inline void OpenTails(uint32_t a, uint32_t b) {
    if (kKeys) {
      for (uint32_t h = 0; h < tall_; ++h) {
        Constants(r1_[h][width_ * STRIP], ROWS);
        Constants(r2_[h][width_ * STRIP], ROWS);
      }
      return;
    }
    for (uint32_t i = 0; i < RING; ++i) {
      Constants(c1_[i][width_ * bc_ * LANES], bc_);
      Constants(c2_[i][width_ * bc_ * LANES], bc_);
    }
    OpenDelta(l1a_.GetWithOffset<half>(3 * STRIP, a), l1b_.GetWithOffset<half>(3 * FRACTAL, b));
  }

  // ---- the walk ----
  __aicore__ inline void Block(uint32_t bn, uint32_t block) {
    Batch(bn);
    bn_ = bn;
    lost_[0] = false;
    heights_ = blocks_ - block < tall_ ? blocks_ - block : tall_;
    for (uint32_t h = 0; h < heights_; ++h)
      OpenRows(h, (block + h) * ROWS);
    Range();
    if (tiles_)
      Walk();
    Stop();
    for (uint32_t h = 0; h < heights_; ++h)
      for (uint32_t i = 0; i < SUMS; ++i)
        Close(h, i);
  }
  // Columns; a key is seen by the queries that look as far from the other side.
  __aicore__ inline Span SeenBy(uint32_t row) const {
    return kKeys ? Seen(row, c_.ahead, c_.back, t_.sq) : Seen(row, c_.back, c_.ahead, c_.keys);
  }
  __aicore__ inline void Range() {  // which tiles of columns
    const uint32_t end = row_[heights_ - 1] + ROWS, last = (end < rows_ ? end : rows_) - 1;
    const bool none = kKeys && (int32_t)row_[0] >= c_.keys;
    const int32_t low = SeenBy(row_[0]).low, high = none ? 0 : SeenBy(last).high;
    first_ = low / (int32_t)bc_;
    tiles_ = high > low ? (high - 1) / bc_ + 1 - first_ : 0;
    steps_ = tiles_ * heights_;
  }
  __aicore__ inline void Walk() {
    const uint32_t end = kKeys ? t_.sq : c_.keys;
    for (uint32_t i = 0; i < 2 && i < tiles_; ++i) {
      AskTile(bn_, i, end);
      PlaceTile();
    }
    Scores(0);
    Products(0);
    for (uint32_t n = 0; n < steps_; ++n) {
      const uint32_t e = n & 1, tile = n / heights_;
      if (asked_)
        PlaceTile();
      Weights(n);
      if (n)
        Sum(n - 1);
      if (n % heights_ == 0 && tile + 2 < tiles_)
        AskTile(bn_, tile + 2, end);
      WaitFlag<HardEvent::M_V>(1);
      Fractals(y_[e], s0_[1], bf_ * (ROWS / LANES));
      SetFlag<HardEvent::V_M>(1);
      if (n + 1 < steps_)
        Products(n + 1);
      Step();
      Mul(y_[e], y_[e], x_[e], (int32_t)(ROWS * bc_));
      Hand(e);
    }
    Sum(steps_ - 1);
  }

  // ---- one step ----
  __aicore__ inline void Scores(uint32_t n) {
    const uint32_t tile = n / heights_;
    if (n % heights_ == 0)
      WaitFlag<HardEvent::MTE3_MTE1>(tile & 1);
    WaitFlag<HardEvent::V_M>(0);
    Multiply<false>(s0_[0], r1_[n % heights_], c1_[tile % RING], bf_, width_ + 1, true);
    SetFlag<HardEvent::M_V>(0);
  }
  __aicore__ inline void Products(uint32_t n) {
    WaitFlag<HardEvent::V_M>(1);
    Multiply<false>(s0_[1], r2_[n % heights_], c2_[n / heights_ % RING], bf_, width_ + 1, true);
    SetFlag<HardEvent::M_V>(1);
  }
  __aicore__ inline void Weights(uint32_t n) {  // x_ = p of step n
    const uint32_t e = n & 1, row = row_[n % heights_];
    WaitFlag<HardEvent::MTE3_V>(e);
    WaitFlag<HardEvent::M_V>(0);
    Fractals(x_[e], s0_[0], bf_ * (ROWS / LANES));
    Step();
    SetFlag<HardEvent::V_M>(0);
    if (n + 1 < steps_)
      Scores(n + 1);
    const int32_t column = (first_ + n / heights_) * bc_;
    Mask(x_[e], row, column, kKeys ? c_.ahead : c_.back, kKeys ? c_.back : c_.ahead,
         kKeys ? (int32_t)t_.sq : c_.keys);
    const int32_t count = c_.keys - (int32_t)row;
    if (kKeys && count < (int32_t)ROWS) {  // keys that do not count
      Fill(x_[e], count > 0 ? count : 0, ROWS, 0, bc_);
      Step();
    }
    Exp(x_[e], x_[e], (int32_t)(ROWS * bc_));
  }
  __aicore__ inline void Hand(uint32_t e) {  // p and ds to the cube
    Sync<HardEvent::V_MTE3>(e);
    WaitFlag<HardEvent::MTE1_MTE3>(2 + e);
    DataCopy(p1_[e][0], y_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    if (kKeys)
      DataCopy(p1_[e][SUMS - 1], x_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    SetFlag<HardEvent::MTE3_MTE1>(2 + e);
    SetFlag<HardEvent::MTE3_V>(e);
  }
  __aicore__ inline void Sum(uint32_t n) {
    const uint32_t h = n % heights_, e = n & 1, tile = n / heights_, b = tile % RING, i = SUMS - 1;
    WaitFlag<HardEvent::MTE3_MTE1>(2 + e);
    Multiply<true>(sum_[h][0], p1_[e][0], c1_[b], width_, bf_, tile == 0);
    if (kKeys)
      Multiply<true>(sum_[h][i], p1_[e][i], c2_[b], width_, bf_, tile == 0);
    SetFlag<HardEvent::MTE1_MTE3>(2 + e);
    if (h == heights_ - 1 && tile + RING < tiles_)
      SetFlag<HardEvent::MTE1_MTE2>(b);
  }

  // ---- rows ----
  __aicore__ inline void OpenRows(uint32_t h, uint32_t row) {
    row_[h] = row;
    if (kKeys) {
      LoadRows(r1_[h], row1_, bn_, row, t_.skv, 1.0f);
      LoadRows(r2_[h], row2_, bn_, row, t_.skv, 1.0f);
      return;
    }
    for (uint32_t at = 0; at < ROWS; at += bc_)
      OpenQueries(h, row, at);
    LoadRows(r2_[h], row2_, bn_, row, t_.sq, c_.shrink);
    DataCopy(tail_, logsum_[TailAt(row)], STRIP);
    ToL1(r1_[h][width_ * STRIP], tail_, ROWS);
    lost_[h] = Lost(bn_, row);
    FindDelta(r2_[h], o_, bn_, row, t_.sq, c1_[0], s0_[0]);
    ToL1(r2_[h][width_ * STRIP], tail_, ROWS);
    DataCopy(delta_[TailAt(row)], tail_, STRIP);
  }
  // scale q into r1_ from row `at` on, and out for the other kernel.
  __aicore__ inline void OpenQueries(uint32_t h, uint32_t row, uint32_t at) {
    const uint32_t rows = Left(row + at, t_.sq);
    const uint32_t s = Load(r1_[h], Rows(row1_, bn_, row + at, t_.sq), rows, ROWS, at, c_.scale);
    if (rows)
      DataCopy(Rows(scaled_, bn_, row + at, t_.sq), Stage(s), rows * t_.d);
    Stop();
  }
  __aicore__ inline uint64_t TailAt(uint32_t row) const {
    return ((uint64_t)bn_ * QueryBlocks() + row / ROWS) * STRIP;
  }
  // A sum out; rows that nothing was summed for are zero.
  __aicore__ inline void Close(uint32_t h, uint32_t i) {
    const uint32_t row = row_[h], rows = rows_ - row < ROWS ? rows_ - row : ROWS;
    const float factor = kKeys ? c_.grow : c_.scale * c_.grow;
    for (uint32_t c = 0; c < width_; ++c) {
      if (tiles_) {
        Fractals(f_[0], sum_[h][i][c * STRIP], ROWS / LANES);
      } else {
        Duplicate(f_[0], 0.0f, (int32_t)STRIP);
      }
      Step();
      if (factor != 1.0f) {
        Muls(f_[0], f_[0], factor, (int32_t)STRIP);
        Step();
      }
      StageOut(c);
    }
    if (lost_[kKeys ? 0 : h])
      Refuse(stage_, rows * t_.d);
    Stop();
    DataCopy(out_[i][((uint64_t)bn_ * rows_ + row) * t_.d], stage_, rows * t_.d);
    Stop();
  }

  GlobalTensor<half> row1_, row2_, o_, scaled_, out_[2];
  LocalTensor<half> r1_[2], r2_[2], p1_[2][2];  // L1
  LocalTensor<float> s0_[2], sum_[2][2];        // L0C
  LocalTensor<half> x_[2], y_[2];               // UB
  uint32_t tall_, rows_, blocks_, bn_, heights_, tiles_, steps_, row_[2];
};
}  // namespace mindlong
#endif
