// o = softmax(scale q k^T) v for every head, and the log-sums the backward pass needs, as tails (see the tiles).
//
// A core takes up to 256 queries of a head, two tiles "h" of 128, and walks over the keys; a tile of k and v serves both. Step n is
// (key tile n / heights_, row tile n % heights_). As soon as the scores of step n have left the accumulator, the cube computes those of
// step n + heights_ (the same rows, the next keys), while the vector unit turns the scores of step n into weights.
//
// There is no running maximum in the inner loop. Each row has a reference m_ near the maximum of its first tile, which the cube
// subtracts. Later tiles only check that no score is more than SLACK above it (p is at most e^4); if one is, Settle raises the reference,
// computes the tile again and rescales what has been summed. o and the sums of p stay in the accumulator for the whole walk.
#ifndef MINDLONG_ATTENTION_FORWARD_H
#define MINDLONG_ATTENTION_FORWARD_H
#include "mindlong_attention_tiles.h"

namespace mindlong {
constexpr float SLACK = 4.0f;           // how far a row's highest score may be from its reference
constexpr int32_t SLACK_BITS = 0x4400;  // the same as a half
constexpr float MARGIN = 2.0f;          // a reference that moves goes this far above the highest score, for higher ones may come
constexpr int32_t SURE_BITS = 0x6400;   // 1024 as a half: a move of no more is exact enough not to look again
constexpr float FLOOR = -60000.0f;    // a visible score counts as at least this far below the reference, above MASKED
constexpr float EMPTY = -62000.0f;    // below: the row sees no key of the tile
constexpr float SETTLED = -60032.0f;  // lower bound of a row whose reference is found
constexpr uint32_t LAPS = 2048;       // a reference moves by up to 60000 a lap

class AttentionForward : public Tiles {
 public:
  __aicore__ inline void Init(GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR control, GM_ADDR o, GM_ADDR logsum, const AttentionShape& shape) {
    Open(shape, control, shape.d <= 112 ? 128 : 64);
    q_.SetGlobalBuffer((__gm__ half*)q, (uint64_t)shape.bn * shape.sq * shape.d);
    k_.SetGlobalBuffer((__gm__ half*)k, (uint64_t)shape.bn * shape.skv * shape.d);
    v_.SetGlobalBuffer((__gm__ half*)v, (uint64_t)shape.bn * shape.skv * shape.d);
    o_.SetGlobalBuffer((__gm__ half*)o, (uint64_t)shape.bn * shape.sq * shape.d);
    blocks_ = (shape.sq + ROWS - 1) / ROWS;
    logsum_.SetGlobalBuffer((__gm__ half*)logsum, (uint64_t)shape.bn * blocks_ * STRIP);
    Allocate();
    RaiseFlags();
    for (int i = 0; i < 2; ++i)
      SetFlag<HardEvent::V_M>(i), SetFlag<HardEvent::MTE3_V>(i), SetFlag<HardEvent::MTE1_MTE3>(i), SetFlag<HardEvent::MTE1_MTE3>(2 + i);
  }
  __aicore__ inline void Process() {
    const uint32_t pairs = (blocks_ + 1) / 2, tasks = t_.bn * pairs;
    for (uint32_t i = GetBlockIdx(); i < tasks; i += GetBlockNum()) Block(i / pairs, i % pairs * 2);
    LowerFlags();
    for (int i = 0; i < 2; ++i)
      WaitFlag<HardEvent::V_M>(i), WaitFlag<HardEvent::MTE3_V>(i), WaitFlag<HardEvent::MTE1_MTE3>(i), WaitFlag<HardEvent::MTE1_MTE3>(2 + i);
  }

 private:
  __aicore__ inline void Allocate() {
    const uint32_t tall = width_ + 1, row_tile = tall * STRIP, key_tile = tall * bc_ * LANES, scores = ROWS * bc_;
    OpenMemory(2 * 2 * (row_tile + scores), 2 * 2 * 2 * key_tile, 2 * 4 * (scores + row_tile),
               CommonBytes() + 2 * 3 * scores + STRIP * (3 * 4 + 6 * 2) + 4 * 512);
    for (uint32_t i = 0; i < 2; ++i) {
      q1_[i] = l1a_.GetWithOffset<half>(row_tile, i * 2 * row_tile);
      p1_[i] = l1a_.GetWithOffset<half>(scores, 4 * row_tile + i * 2 * scores);
      k1_[i] = l1b_.GetWithOffset<half>(key_tile, i * 2 * key_tile);
      v1_[i] = l1b_.GetWithOffset<half>(key_tile, (2 + i) * 2 * key_tile);
      s0_[i] = l0c_.GetWithOffset<float>(scores, i * 4 * scores);
      o0_[i] = l0c_.GetWithOffset<float>(row_tile, 8 * scores + i * 4 * row_tile);
      p_[i] = Take<half>(scores), m_[i] = Take<float>(STRIP), low_[i] = Take<half>(STRIP);
    }
    x_ = Take<half>(scores), before_ = Take<float>(STRIP), peak_ = Take<half>(STRIP), move_ = Take<half>(STRIP);
    turned_ = Take<half>(STRIP + 256), column_ = Take<half>(STRIP + 256), vector_ = Take<half>(ROWS + 128), found_ = Take<half>(128);
    for (uint32_t i = 0; i < 2; ++i) {
      Constants(k1_[i][width_ * bc_ * LANES], bc_);
      Duplicate(c16_, half(1.0f), (int32_t)STRIP);
      Stop();
      DataCopy(v1_[i][width_ * bc_ * LANES], c16_, DataCopyParams(1, bc_, 0, 0));
      Stop();
    }
  }

  __aicore__ inline void Block(uint32_t bn, uint32_t block) {
    Stop();
    Batch(bn);
    blind_ = c_.back >= 0 || c_.keys == 0;
    bn_ = bn, heights_ = block + 1 < blocks_ ? 2 : 1;
    for (uint32_t h = 0; h < heights_; ++h) OpenRows(h, (block + h) * ROWS);
    const Span seen = {Seen(row_[0], c_.back, c_.ahead, c_.keys).low, Seen(LastRow(heights_ - 1), c_.back, c_.ahead, c_.keys).high};
    const int32_t last = seen.high > 0 ? (seen.high - 1) / (int32_t)bc_ : 0, wanted = seen.low / (int32_t)bc_;
    first_ = wanted < last ? wanted : last;
    tiles_ = last - first_ + 1, steps_ = tiles_ * heights_;
    for (uint32_t i = 0; i < 2 && i < tiles_; ++i) LoadKeys(i);
    for (uint32_t n = 0; n < heights_; ++n) Scores(n);
    for (uint32_t n = 0; n < steps_; ++n) {
      Softmax(n);
      if (n % heights_ == heights_ - 1) NextKeys(n / heights_);
      Sum(n);
    }
    Stop();
    for (uint32_t h = 0; h < heights_; ++h) Close(h);
  }
  __aicore__ inline int32_t LastRow(uint32_t h) const { return (row_[h] + ROWS < t_.sq ? row_[h] + ROWS : t_.sq) - 1; }
  __aicore__ inline void OpenRows(uint32_t h, uint32_t row) {
    row_[h] = row, filled_[h] = false;
    LoadRows(q1_[h], q_, bn_, row, t_.sq, c_.scale);
    Duplicate(m_[h], 0.0f, (int32_t)STRIP), Duplicate(low_[h], half(-SLACK), (int32_t)STRIP);
    Duplicate(tail_, half(0.0f), (int32_t)STRIP);
    Reference(h);
  }
  __aicore__ inline void Reference(uint32_t h) {  // tail_ into the tail of q
    Stop();
    DataCopy(q1_[h][width_ * STRIP], tail_, DataCopyParams(1, ROWS, 0, 0));
    Stop();
  }
  __aicore__ inline void LoadKeys(uint32_t tile) {
    const uint32_t s = tile & 1, row = (first_ + tile) * bc_;
    WaitFlag<HardEvent::MTE1_MTE3>(s);
    Load(k1_[s], KeyRows(k_, row), Left(row, c_.keys), bc_, 0, 1.0f);
    SetFlag<HardEvent::MTE3_MTE1>(s);
  }
  __aicore__ inline void NextKeys(uint32_t tile) {  // no score of this tile is wanted any more
    SetFlag<HardEvent::MTE1_MTE3>(tile & 1);
    if (tile + 2 < tiles_) LoadKeys(tile + 2);
  }
  __aicore__ inline void LoadValues(uint32_t tile) {
    const uint32_t row = (first_ + tile) * bc_;
    Load(v1_[tile & 1], KeyRows(v_, row), Left(row, c_.keys), bc_, 0, 1.0f);
  }
  __aicore__ inline GlobalTensor<half> KeyRows(const GlobalTensor<half>& from, uint32_t row) { return Rows(from, bn_, row, t_.skv); }
  __aicore__ inline void Scores(uint32_t n) {
    const uint32_t tile = n / heights_, e = n & 1;
    if (n % heights_ == 0) WaitFlag<HardEvent::MTE3_MTE1>(tile & 1);
    WaitFlag<HardEvent::V_M>(e);
    Again(n);
    SetFlag<HardEvent::M_V>(e);
  }
  __aicore__ inline void Again(uint32_t n) {
    Multiply<false>(s0_[n & 1], q1_[n % heights_], k1_[n / heights_ & 1], bf_, width_ + 1, true);
  }

  __aicore__ inline void Softmax(uint32_t n) {
    const uint32_t h = n % heights_, e = n & 1;
    const int32_t column = (first_ + n / heights_) * bc_;
    // Some row may see its first key here.
    const bool careful = !filled_[h] || Seen(LastRow(h), c_.back, c_.ahead, c_.keys).low >= column;
    WaitFlag<HardEvent::M_V>(e);
    Fetch(n, column, careful);
    SetFlag<HardEvent::V_M>(e);
    if (n + heights_ < steps_) Scores(n + heights_);
    WaitFlag<HardEvent::MTE1_MTE3>(2 + e);            // p1_[e] and the values of two tiles ago have been read
    if (n % heights_ == 0) LoadValues(n / heights_);  // while the vector unit works
    WaitFlag<HardEvent::MTE3_V>(e);
    bool settle = careful;
    if (!careful) {
      Highest(e);
      SetFlag<HardEvent::V_S>(0);
      Weights(e);  // on trust, while the scalar unit looks
      WaitFlag<HardEvent::V_S>(0);
      settle = Above(SLACK_BITS);
    }
    if (settle) Settle(n, column, careful), Weights(e);
    Sync<HardEvent::V_MTE3>(e);
    DataCopy(p1_[e], p_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    SetFlag<HardEvent::MTE3_V>(e);
  }
  __aicore__ inline void Fetch(uint32_t n, int32_t column, bool careful) {  // x_ = the scores of step n
    Fractals(x_, s0_[n & 1], bf_ * (ROWS / LANES)), Step();
    if (careful && blind_) Maxs(x_, x_, half(FLOOR), (int32_t)(ROWS * bc_)), Step();
    Mask(x_, row_[n % heights_], column, c_.back, c_.ahead, c_.keys);
  }
  __aicore__ inline void Weights(uint32_t e) {
    Step();
    Exp(p_[e], x_, (int32_t)(ROWS * bc_)), Step();
  }
  __aicore__ inline void Sum(uint32_t n) {  // o and the row sums, += p [v | 1]
    const uint32_t h = n % heights_, e = n & 1;
    Sync<HardEvent::MTE3_MTE1>(2 + e);
    Multiply<true>(o0_[h], p1_[e], v1_[n / heights_ & 1], width_ + 1, bf_, !filled_[h]);
    SetFlag<HardEvent::MTE1_MTE3>(2 + e);
    filled_[h] = true;
  }

  // ---- the reference ----
  __aicore__ inline void Fold(const LocalTensor<half>& to, const LocalTensor<half>& from, uint32_t n, uint32_t least) {  // elementwise maximum of pieces
    Max(to, from, from[n / 2], (int32_t)(n / 2)), Step();
    for (n /= 2; n > least; n /= 2) Max(to, to, to[n / 2], (int32_t)(n / 2)), Step();
  }
  __aicore__ inline void Highest(uint32_t e) {  // found_[0, 16) holds the largest of x_; p_[e] is scratch
    Fold(p_[e], x_, ROWS * bc_, 2 * LANES);
    Max(found_, p_[e], p_[e][LANES], (int32_t)LANES), Step();
  }
  // Whether one of found_[0, 16) is above the half with the bits `least` >= 0: positive halves order like their bits. Not a number is not above.
  __aicore__ inline bool Above(int32_t least) {
    LocalTensor<int16_t> bits = found_.ReinterpretCast<int16_t>();
    bool above = false;
    for (uint32_t i = 0; i < LANES; ++i) {
      const int16_t b = bits.GetValue(i);
      above = above || (b > least && b <= 0x7c00);
    }
    return above;
  }
  // Moves the references of step n until each visible row has its highest score at most SLACK above, and, where the row is new, at most
  // SLACK below; x_ then holds the scores against them, and what was summed before is rescaled.
  __aicore__ inline void Settle(uint32_t n, int32_t column, bool careful) {
    const uint32_t h = n % heights_;
    bool moved = false, sure = false;
    Stop();
    Adds(before_, m_[h], 0.0f, (int32_t)STRIP), Step();
    for (uint32_t lap = 0; lap < LAPS && !sure; ++lap) {
      RowPeaks(n & 1);
      Moves(h, careful);
      if (!Above(0)) break;
      moved = true, sure = !Above(SURE_BITS);
      Cast(f_[0], move_, RoundMode::CAST_NONE, STRIP), Step();
      Add(m_[h], m_[h], f_[0], (int32_t)STRIP), Step();
      Split(m_[h]);
      Reference(h);
      Again(n);
      Stop();
      Fetch(n, column, careful);
    }
    if (careful) SetLow(h);
    if (moved && filled_[h]) Rescale(h);
    if (moved && n + heights_ < steps_) Stop(), Again(n + heights_);  // it was computed against the old reference
    Stop();
  }
  __aicore__ inline void RowPeaks(uint32_t e) {  // peak_ = the maximum of each row of x_, in all of its lanes
    Fold(p_[e], x_, ROWS * bc_, STRIP);
    Turn(turned_, p_[e], 16, 16), Step();  // [block of 16 rows][lane][row]
    for (uint32_t lanes = 8; lanes >= 1; lanes /= 2) {
      BinaryRepeatParams r;
      r.dstRepStride = r.src0RepStride = r.src1RepStride = 16;
      Max(turned_, turned_, turned_[lanes * LANES], (uint64_t)(lanes * LANES), (uint8_t)(ROWS / LANES), r), Step();
    }
    DataCopy(vector_, turned_, DataCopyParams(ROWS / LANES, 1, 15, 0)), Step();
    Turn(peak_, vector_, 0, 1), Step();
    Mins(peak_, peak_, half(-FLOOR), (int32_t)STRIP), Step();
    if (!blind_) Maxs(peak_, peak_, half(FLOOR), (int32_t)STRIP), Step();
  }
  // 16 rows of 16 halves transposed, for each of the 8 blocks of rows. row_stride 0: all 16 rows are the same, which broadcasts it.
  __aicore__ inline void Turn(const LocalTensor<half>& to, const LocalTensor<half>& from, uint32_t row_stride, uint32_t block_stride) {
    LocalTensor<half> a[16], b[16];
    for (uint32_t i = 0; i < 16; ++i) a[i] = to[i * LANES], b[i] = from[i * row_stride];
    TransDataTo5HDParams p;
    p.repeatTimes = ROWS / LANES, p.dstRepStride = 16, p.srcRepStride = (uint16_t)block_stride;
    TransDataTo5HD<half>(a, b, p);
  }
  __aicore__ inline void Moves(uint32_t h, bool careful) {  // move_ = by how much the references move, found_ the farthest move
    const int32_t n = STRIP;
    // Once a reference must move, every row above its reference goes along: it would be next.
    if (careful) Sub(turned_, low_[h], peak_, n), Step(), Max(move_, peak_, turned_, n), Step();
    Muls(move_, careful ? move_ : peak_, half(60000.0f), n), Step();
    Clamp(move_);
    if (careful && blind_) Visible(), Mul(move_, move_, column_, n), Step();
    Adds(turned_, peak_, half(MARGIN), n), Step();
    Mul(move_, move_, turned_, n), Step();
    Muls(turned_, move_, half(-1.0f), n), Step();
    Max(turned_, turned_, move_, n), Step();
    Fold(turned_, turned_, STRIP, 2 * LANES);
    Max(found_, turned_, turned_[LANES], (int32_t)LANES);
    Sync<HardEvent::V_S>(0);
  }
  __aicore__ inline void Visible() {  // column_ = 1 for rows that see a key of this tile, else 0
    Adds(column_, peak_, half(-EMPTY), (int32_t)STRIP), Step();
    Clamp(column_);
  }
  __aicore__ inline void Clamp(const LocalTensor<half>& x) {
    Maxs(x, x, half(0.0f), (int32_t)STRIP), Step();
    Mins(x, x, half(1.0f), (int32_t)STRIP), Step();
  }
  __aicore__ inline void SetLow(uint32_t h) {  // a row that has seen a key is settled: its reference only rises
    Visible();
    Muls(column_, column_, half(FLOOR), (int32_t)STRIP), Step();
    Add(low_[h], low_[h], column_, (int32_t)STRIP), Step();
    Maxs(low_[h], low_[h], half(SETTLED), (int32_t)STRIP), Step();
  }
  __aicore__ inline void Rescale(uint32_t h) {  // what is summed, times exp(old - new reference) <= 1
    Stop();
    Sub(f_[0], before_, m_[h], (int32_t)STRIP), Step();
    Mins(f_[0], f_[0], 0.0f, (int32_t)STRIP), Step();
    Exp(f_[0], f_[0], (int32_t)STRIP), Step();
    for (uint32_t c = 0; c <= width_; ++c) {
      Fractals(f_[1], o0_[h][c * STRIP], ROWS / LANES), Step();
      Mul(f_[1], f_[1], f_[0], (int32_t)STRIP), Step();
      Fractals(o0_[h][c * STRIP], f_[1], ROWS / LANES), Step();
    }
  }

  // o / sum and reference + log(sum), as a tail.
  __aicore__ inline void Close(uint32_t h) {
    const uint32_t row = row_[h], rows = t_.sq - row < ROWS ? t_.sq - row : ROWS;
    Fractals(before_, o0_[h][width_ * STRIP], ROWS / LANES), Step();
    Maxs(before_, before_, 1e-30f, (int32_t)STRIP), Step();  // a row that sees nothing gives 0
    for (uint32_t c = 0; c < width_; ++c) {
      Fractals(f_[0], o0_[h][c * STRIP], ROWS / LANES), Step();
      Div(f_[0], f_[0], before_, (int32_t)STRIP), Step();
      StageOut(c);
    }
    Ln(before_, before_, (int32_t)STRIP), Step();
    Add(before_, before_, m_[h], (int32_t)STRIP), Step();
    Split(before_);
    Stop();
    DataCopy(o_[((uint64_t)bn_ * t_.sq + row) * t_.d], stage_, rows * t_.d);
    DataCopy(logsum_[((uint64_t)bn_ * blocks_ + row / ROWS) * STRIP], tail_, STRIP);
    Stop();
  }

  GlobalTensor<half> q_, k_, v_, o_, logsum_;
  LocalTensor<half> q1_[2], k1_[2], v1_[2], p1_[2];                                       // L1
  LocalTensor<float> s0_[2], o0_[2];                                                       // L0C
  LocalTensor<half> x_, p_[2], low_[2], peak_, move_, turned_, column_, vector_, found_;  // UB
  LocalTensor<float> m_[2], before_;
  uint32_t blocks_, bn_, heights_, tiles_, steps_, row_[2];
  int32_t first_;
  bool filled_[2], blind_;  // blind_: a row may see no key of a tile
};
}  // namespace mindlong
#endif
