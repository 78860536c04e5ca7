// Gradients of o = softmax(scale q k^T) v from do, in two kernels that are one class.
//
// With p = exp(scale q k^T - log-sum), delta = rowsum(do o) and ds = p (do v^T - delta):
//   kKeys false, rows are queries, columns keys:  dq = scale ds k, and for the other kernel the tails of delta and scale q
//   kKeys true, rows are keys, columns queries:   dv = p^T do, dk = ds^T (scale q)
// Each keeps the sums of its rows in the accumulator and walks over the columns, so no sum crosses cores, nothing depends on the order
// in which cores work, and p is taken as it lies: transposed products come out transposed.
//
// Both factors of ds are products of two tiles whose tails subtract what belongs to the query, so the vector unit reads each once, as
// halves, takes one exponential and multiplies. A tile of columns serves up to two tiles of rows; three lie in L1, so that one is on
// its way while two are in use. Step n is (column tile n / heights_, row tile n % heights_):
//   cube    scores n+1 | sums n-1 | products n+1
//   vector  fetch scores n, exp | fetch products n, multiply
#ifndef MINDLONG_ATTENTION_BACKWARD_H
#define MINDLONG_ATTENTION_BACKWARD_H
#include "mindlong_attention_tiles.h"

namespace mindlong {
constexpr uint32_t L0C_BYTES = 262144;
constexpr uint32_t RING = 3;  // tiles of columns in L1

template <bool kKeys> class AttentionBackward : public Tiles {
  static constexpr uint32_t SUMS = kKeys ? 2 : 1;

 public:
  // first and second: dq and unused, or dk and dv. delta and scaled are written for queries and read for keys, where q and o are not read.
  __aicore__ inline void Init(GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR control, GM_ADDR o, GM_ADDR logsum, GM_ADDR dout, GM_ADDR delta, GM_ADDR scaled,
                              GM_ADDR first, GM_ADDR second, const AttentionShape& shape) {
    const bool two = Fits(shape.d, 128, 2) || Fits(shape.d, 64, 2);  // tiles of rows that a tile of columns serves
    tall_ = two ? 2 : 1;
    Open(shape, control, Fits(shape.d, 128, tall_) ? 128 : 64);
    rows_ = kKeys ? shape.skv : shape.sq, blocks_ = (rows_ + ROWS - 1) / ROWS;
    const uint64_t nq = (uint64_t)shape.bn * shape.sq * shape.d, nk = (uint64_t)shape.bn * shape.skv * shape.d;
    const uint64_t tails = (uint64_t)shape.bn * QueryBlocks() * STRIP;
    row1_.SetGlobalBuffer((__gm__ half*)(kKeys ? k : q), kKeys ? nk : nq), row2_.SetGlobalBuffer((__gm__ half*)(kKeys ? v : dout), kKeys ? nk : nq);
    column1_.SetGlobalBuffer((__gm__ half*)(kKeys ? scaled : k), kKeys ? nq : nk), column2_.SetGlobalBuffer((__gm__ half*)(kKeys ? dout : v), kKeys ? nq : nk);
    logsum_.SetGlobalBuffer((__gm__ half*)logsum, tails), delta_.SetGlobalBuffer((__gm__ half*)delta, tails);
    out_[0].SetGlobalBuffer((__gm__ half*)first, kKeys ? nk : nq), out_[1].SetGlobalBuffer((__gm__ half*)second, kKeys ? nk : 0);
    if (!kKeys) o_.SetGlobalBuffer((__gm__ half*)o, nq), scaled_.SetGlobalBuffer((__gm__ half*)scaled, nq);
    Allocate();
    RaiseFlags();
    for (int i = 0; i < 2; ++i) SetFlag<HardEvent::V_M>(i), SetFlag<HardEvent::MTE3_V>(i), SetFlag<HardEvent::MTE1_MTE3>(2 + i);
  }
  __aicore__ inline void Process() {
    const uint32_t groups = (blocks_ + tall_ - 1) / tall_, tasks = t_.bn * groups;
    for (uint32_t i = GetBlockIdx(); i < tasks; i += GetBlockNum()) Block(i / groups, i % groups * tall_);
    LowerFlags();
    for (int i = 0; i < 2; ++i) WaitFlag<HardEvent::V_M>(i), WaitFlag<HardEvent::MTE3_V>(i), WaitFlag<HardEvent::MTE1_MTE3>(2 + i);
  }

 private:
  // Two tiles of scores and the sums share the accumulator; a stage, two pairs of tiles and the rest share UB.
  __aicore__ inline bool Fits(uint32_t d, uint32_t columns, uint32_t tall) const {
    return 2 * ROWS * columns * 4 + tall * SUMS * ROWS * d * 4 <= L0C_BYTES && (columns == 64 || d <= 128);
  }
  __aicore__ inline uint32_t QueryBlocks() const { return (t_.sq + ROWS - 1) / ROWS; }
  __aicore__ inline uint32_t Columns() const { return kKeys ? t_.sq : t_.skv; }

  __aicore__ inline void Allocate() {
    const uint32_t tall = width_ + 1, row_tile = tall * STRIP, tile = tall * bc_ * LANES, scores = ROWS * bc_, sums = width_ * STRIP;
    OpenMemory(2 * (2 * tall_ * row_tile + 2 * SUMS * scores + 3 * STRIP), 2 * (2 * RING * tile + 3 * FRACTAL), 4 * (2 * scores + tall_ * SUMS * sums),
               CommonBytes() + 2 * 4 * scores + STRIP * 4);
    for (uint32_t h = 0; h < tall_; ++h) {
      r1_[h] = l1a_.GetWithOffset<half>(row_tile, 4 * row_tile * h), r2_[h] = l1a_.GetWithOffset<half>(row_tile, 4 * row_tile * h + 2 * row_tile);
      for (uint32_t i = 0; i < SUMS; ++i) sum_[h][i] = l0c_.GetWithOffset<float>(sums, 4 * (2 * scores + (h * SUMS + i) * sums));
    }
    for (uint32_t e = 0; e < 2; ++e) {
      for (uint32_t i = 0; i < SUMS; ++i) p1_[e][i] = l1a_.GetWithOffset<half>(scores, 4 * row_tile * tall_ + 2 * scores * (e * SUMS + i));
      s0_[e] = l0c_.GetWithOffset<float>(scores, 4 * scores * e), x_[e] = Take<half>(scores), y_[e] = Take<half>(scores);
    }
    parts_ = l1a_.GetWithOffset<half>(3 * STRIP, 4 * row_tile * tall_ + 4 * scores * SUMS);
    for (uint32_t i = 0; i < RING; ++i)
      c1_[i] = l1b_.GetWithOffset<half>(tile, 4 * tile * i), c2_[i] = l1b_.GetWithOffset<half>(tile, 4 * tile * i + 2 * tile);
    collect_ = l1b_.GetWithOffset<half>(3 * FRACTAL, 4 * tile * RING);
    diagonal_ = Take<float>(STRIP);
    for (uint32_t i = 0; i < RING && !kKeys; ++i) Constants(c1_[i][width_ * bc_ * LANES], bc_), Constants(c2_[i][width_ * bc_ * LANES], bc_);
    for (uint32_t h = 0; h < tall_ && kKeys; ++h) Constants(r1_[h][width_ * STRIP], ROWS), Constants(r2_[h][width_ * STRIP], ROWS);
    if (!kKeys) OpenDelta();
  }

  __aicore__ inline void Block(uint32_t bn, uint32_t block) {
    Stop();
    Batch(bn);
    bn_ = bn, heights_ = blocks_ - block < tall_ ? blocks_ - block : tall_;
    for (uint32_t h = 0; h < heights_; ++h) OpenRows(h, (block + h) * ROWS);
    Range();
    if (tiles_) Walk();
    Stop();
    for (uint32_t h = 0; h < heights_; ++h)
      for (uint32_t i = 0; i < SUMS; ++i) Close(h, i);
  }
  __aicore__ inline Span SeenBy(uint32_t row) const {  // columns; a key is seen by the queries that look as far from the other side
    return kKeys ? Seen(row, c_.ahead, c_.back, t_.sq) : Seen(row, c_.back, c_.ahead, c_.keys);
  }
  __aicore__ inline void Range() {
    const uint32_t end = row_[heights_ - 1] + ROWS, last = (end < rows_ ? end : rows_) - 1;
    const int32_t low = SeenBy(row_[0]).low, high = kKeys && (int32_t)row_[0] >= c_.keys ? 0 : SeenBy(last).high;
    first_ = low / (int32_t)bc_;
    tiles_ = high > low ? (high - 1) / bc_ + 1 - first_ : 0, steps_ = tiles_ * heights_;
  }
  __aicore__ inline void Walk() {
    for (uint32_t i = 0; i < 2 && i < tiles_; ++i) AskTile(i), PlaceTile();
    Scores(0), Products(0);
    for (uint32_t n = 0; n < steps_; ++n) {
      const uint32_t e = n & 1, tile = n / heights_;
      if (asked_) PlaceTile();
      Weights(n);
      if (n) Sum(n - 1);
      if (n % heights_ == 0 && tile + 2 < tiles_) AskTile(tile + 2);
      WaitFlag<HardEvent::M_V>(1);
      Fractals(y_[e], s0_[1], bf_ * (ROWS / LANES));
      SetFlag<HardEvent::V_M>(1);
      if (n + 1 < steps_) Products(n + 1);
      Step();
      Mul(y_[e], y_[e], x_[e], (int32_t)(ROWS * bc_));
      Hand(e);
    }
    Sum(steps_ - 1);
  }

  // ---- tiles of columns ----
  __aicore__ inline void AskTile(uint32_t tile) {
    if (tile >= RING) WaitFlag<HardEvent::MTE1_MTE2>(tile % RING);
    const uint32_t row = (first_ + tile) * bc_;
    asked_ = true, asked_tile_ = tile, asked_rows_ = Left(row, kKeys ? t_.sq : c_.keys);
    slot_[0] = Ask(Rows(column1_, bn_, row, Columns()), asked_rows_);
    AskTail(slot_[0], logsum_, row);
    slot_[1] = Ask(Rows(column2_, bn_, row, Columns()), asked_rows_);
    AskTail(slot_[1], delta_, row);
  }
  __aicore__ inline void AskTail(uint32_t s, const GlobalTensor<half>& from, uint32_t row) {
    if (kKeys) DataCopy(Stage(s)[bc_ * t_.d], from[((uint64_t)bn_ * QueryBlocks() * ROWS + row) * LANES], bc_ * LANES);
    SetFlag<HardEvent::MTE2_MTE3>(s);
  }
  __aicore__ inline void PlaceTile() {
    const uint32_t b = asked_tile_ % RING;
    PlaceOne(c1_[b], slot_[0]), PlaceOne(c2_[b], slot_[1]);
    SetFlag<HardEvent::MTE3_MTE1>(asked_tile_ & 1);
    asked_ = false;
  }
  __aicore__ inline void PlaceOne(const LocalTensor<half>& l1, uint32_t s) {
    Place(l1, s, asked_rows_, bc_, 0, 1.0f);
    if (kKeys) DataCopy(l1[width_ * bc_ * LANES], Stage(s)[bc_ * t_.d], DataCopyParams(1, bc_, 0, 0));
    SetFlag<HardEvent::MTE3_MTE2>(s);
  }

  // ---- one step ----
  __aicore__ inline void Scores(uint32_t n) {
    const uint32_t tile = n / heights_;
    if (n % heights_ == 0) WaitFlag<HardEvent::MTE3_MTE1>(tile & 1);
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
    Fractals(x_[e], s0_[0], bf_ * (ROWS / LANES)), Step();
    SetFlag<HardEvent::V_M>(0);
    if (n + 1 < steps_) Scores(n + 1);
    const int32_t column = (first_ + n / heights_) * bc_;
    Mask(x_[e], row, column, kKeys ? c_.ahead : c_.back, kKeys ? c_.back : c_.ahead, kKeys ? (int32_t)t_.sq : c_.keys);
    const int32_t count = c_.keys - (int32_t)row;
    if (kKeys && count < (int32_t)ROWS) Fill(x_[e], count > 0 ? count : 0, ROWS, 0, bc_), Step();  // keys that do not count
    Exp(x_[e], x_[e], (int32_t)(ROWS * bc_)), Step();
  }
  __aicore__ inline void Hand(uint32_t e) {  // p and ds to the cube
    Sync<HardEvent::V_MTE3>(e);
    WaitFlag<HardEvent::MTE1_MTE3>(2 + e);
    DataCopy(p1_[e][0], y_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    if (kKeys) DataCopy(p1_[e][SUMS - 1], x_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    SetFlag<HardEvent::MTE3_MTE1>(2 + e);
    SetFlag<HardEvent::MTE3_V>(e);
  }
  __aicore__ inline void Sum(uint32_t n) {
    const uint32_t h = n % heights_, e = n & 1, tile = n / heights_;
    WaitFlag<HardEvent::MTE3_MTE1>(2 + e);
    Multiply<true>(sum_[h][0], p1_[e][0], c1_[tile % RING], width_, bf_, tile == 0);
    if (kKeys) Multiply<true>(sum_[h][SUMS - 1], p1_[e][SUMS - 1], c2_[tile % RING], width_, bf_, tile == 0);
    SetFlag<HardEvent::MTE1_MTE3>(2 + e);
    if (h == heights_ - 1 && tile + RING < tiles_) SetFlag<HardEvent::MTE1_MTE2>(tile % RING);
  }

  // ---- rows ----
  __aicore__ inline void OpenRows(uint32_t h, uint32_t row) {
    row_[h] = row;
    if (kKeys) {
      LoadRows(r1_[h], row1_, bn_, row, t_.skv, 1.0f), LoadRows(r2_[h], row2_, bn_, row, t_.skv, 1.0f);
      return;
    }
    for (uint32_t at = 0; at < ROWS; at += bc_) {
      const uint32_t rows = Left(row + at, t_.sq), s = Load(r1_[h], Rows(row1_, bn_, row + at, t_.sq), rows, ROWS, at, c_.scale);
      Stop();
      if (rows) DataCopy(Rows(scaled_, bn_, row + at, t_.sq), Stage(s), rows * t_.d);
      Stop();
    }
    LoadRows(r2_[h], row2_, bn_, row, t_.sq, 1.0f);
    Stop();
    DataCopy(tail_, logsum_[TailAt(row)], STRIP);
    SetTail(r1_[h]);
    Delta(h, row);
  }
  __aicore__ inline uint64_t TailAt(uint32_t row) const { return ((uint64_t)bn_ * QueryBlocks() + row / ROWS) * STRIP; }
  __aicore__ inline void SetTail(const LocalTensor<half>& rows) {
    Stop();
    DataCopy(rows[width_ * STRIP], tail_, DataCopyParams(1, ROWS, 0, 0));
    Stop();
  }
  // diagonal_: 1 where lane = row % 16. collect_: puts the lanes of strip f, summed and negated, into lane f.
  __aicore__ inline void OpenDelta() {
    Duplicate(diagonal_, 0.0f, (int32_t)STRIP), Duplicate(c16_, half(0.0f), (int32_t)(3 * FRACTAL)), Step();
    for (uint32_t i = 0; i < LANES; ++i) {
      uint64_t mask[2] = {1ull << i, 0};
      Duplicate(diagonal_[i * LANES], 1.0f, mask, (uint8_t)(ROWS / LANES), 1, 32), Step();
    }
    for (uint32_t f = 0; f < 3; ++f) Duplicate(c16_[f * FRACTAL + f * LANES], half(-1.0f), (int32_t)LANES);
    Stop();
    DataCopy(collect_, c16_, DataCopyParams(1, 3 * LANES, 0, 0));
    Stop();
  }
  // The tail of do: delta = rowsum(do o) is the diagonal of do o^T, in float. The cube brings the diagonal into the lanes of a tail.
  __aicore__ inline void Delta(uint32_t h, uint32_t row) {
    for (uint32_t at = 0; at < ROWS; at += bc_) {
      Load(c1_[0], Rows(o_, bn_, row + at, t_.sq), Left(row + at, t_.sq), bc_, 0, 1.0f);
      Stop();
      Multiply<false>(s0_[0], r2_[h], c1_[0], bf_, width_, true);
      Stop();
      for (uint32_t j = 0; j < bf_; ++j) Fractals(f_[0][(at / LANES + j) * FRACTAL], s0_[0][j * STRIP + (at / LANES + j) * FRACTAL], 1);
      Stop();
    }
    Mul(f_[0], f_[0], diagonal_, (int32_t)STRIP), Step();
    for (uint32_t i = 0; i < 3; ++i) {
      Part(i, f_[0]);
      Stop();
      DataCopy(parts_[i * STRIP], c16_, DataCopyParams(1, ROWS, 0, 0));
      Stop();
    }
    Multiply<false>(s0_[0], parts_, collect_, 1, 3, true);
    Stop();
    Fractals(tail_, s0_[0], ROWS / LANES);
    SetTail(r2_[h]);
    DataCopy(delta_[TailAt(row)], tail_, STRIP);
    Stop();
  }
  __aicore__ inline void Close(uint32_t h, uint32_t i) {  // a sum out; rows that nothing was summed for are zero
    const uint32_t row = row_[h], rows = rows_ - row < ROWS ? rows_ - row : ROWS;
    for (uint32_t c = 0; c < width_; ++c) {
      if (tiles_) Fractals(f_[0], sum_[h][i][c * STRIP], ROWS / LANES);
      else Duplicate(f_[0], 0.0f, (int32_t)STRIP);
      Step();
      if (!kKeys) Muls(f_[0], f_[0], c_.scale, (int32_t)STRIP), Step();
      StageOut(c);
    }
    Stop();
    DataCopy(out_[i][((uint64_t)bn_ * rows_ + row) * t_.d], stage_, rows * t_.d);
    Stop();
  }

  GlobalTensor<half> row1_, row2_, column1_, column2_, o_, logsum_, delta_, scaled_, out_[2];
  LocalTensor<half> r1_[2], r2_[2], p1_[2][2], parts_, c1_[RING], c2_[RING], collect_;  // L1
  LocalTensor<float> s0_[2], sum_[2][2];                                              // L0C
  LocalTensor<half> x_[2], y_[2];                                                     // UB
  LocalTensor<float> diagonal_;
  uint32_t tall_, rows_, blocks_, bn_, heights_, tiles_, steps_, first_, row_[2], asked_tile_, asked_rows_, slot_[2];
  bool asked_ = false;
};
}  // namespace mindlong
#endif
