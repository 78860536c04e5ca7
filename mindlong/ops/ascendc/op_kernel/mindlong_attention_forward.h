// o = softmax(scale q k^T) v for every head, and the log-sums the backward pass needs, as tails
// (see the tiles).
//
// A core takes up to 256 queries of a head, two tiles "h" of 128, and walks over the keys; a tile
// of k and v serves both. Step n is (key tile n / heights_, row tile n % heights_). As soon as the
// scores of step n have left the accumulator, the cube computes those of step n + heights_ (the
// same rows, the next keys), while the vector unit turns the scores of step n into weights. o and
// the sums of p stay in the accumulator for the whole walk.
//
// A tile of rows with scores beyond what a reference holds (3.3e7), or that are not numbers, gives
// what is not a number, and so do its log-sums.
#ifndef MINDLONG_ATTENTION_FORWARD_H
#define MINDLONG_ATTENTION_FORWARD_H
#include "mindlong_attention_reference.h"

namespace mindlong {
struct ForwardTensors {
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR control;
  GM_ADDR o;
  GM_ADDR logsum;
};

class AttentionForward : public Reference {
 public:
  __aicore__ inline void Init(TPipe* pipe, const ForwardTensors& g, const AttentionShape& shape) {
    Open(pipe, shape, g.control, shape.d <= 112 ? 128 : 64);
    const uint64_t queries = (uint64_t)shape.bn * shape.sq * shape.d;
    const uint64_t keys = (uint64_t)shape.bn * shape.skv * shape.d;
    blocks_ = (shape.sq + ROWS - 1) / ROWS;
    q_.SetGlobalBuffer((__gm__ half*)g.q, queries);
    k_.SetGlobalBuffer((__gm__ half*)g.k, keys);
    v_.SetGlobalBuffer((__gm__ half*)g.v, keys);
    o_.SetGlobalBuffer((__gm__ half*)g.o, queries);
    logsum_.SetGlobalBuffer((__gm__ half*)g.logsum, (uint64_t)shape.bn * blocks_ * STRIP);
    Allocate();
    RaiseFlags();
    for (int i = 0; i < 2; ++i) {
      SetFlag<HardEvent::V_M>(i);
      SetFlag<HardEvent::MTE3_V>(i);
      SetFlag<HardEvent::MTE1_MTE3>(i);
      SetFlag<HardEvent::MTE1_MTE3>(2 + i);
    }
  }
  __aicore__ inline void Process() {
    const uint32_t pairs = (blocks_ + 1) / 2, tasks = t_.bn * pairs;
    for (uint32_t i = GetBlockIdx(); i < tasks; i += GetBlockNum())
      Block(i / pairs, i % pairs * 2);
    LowerFlags();
    for (int i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::V_M>(i);
      WaitFlag<HardEvent::MTE3_V>(i);
      WaitFlag<HardEvent::MTE1_MTE3>(i);
      WaitFlag<HardEvent::MTE1_MTE3>(2 + i);
    }
  }

 private:
  __aicore__ inline void Allocate() {
    const uint32_t tall = width_ + 1, row_tile = tall * STRIP, key_tile = tall * bc_ * LANES;
    const uint32_t scores = ROWS * bc_;
    OpenMemory(2 * 2 * (row_tile + scores), 2 * 2 * 2 * key_tile, 2 * 4 * (scores + row_tile),
               ReferenceBytes() + 2 * 3 * scores);
    OpenReference();
    x_ = Take<half>(scores);
    for (uint32_t i = 0; i < 2; ++i) {
      p_[i] = Take<half>(scores);
      q1_[i] = l1a_.GetWithOffset<half>(row_tile, i * 2 * row_tile);
      p1_[i] = l1a_.GetWithOffset<half>(scores, 4 * row_tile + i * 2 * scores);
      k1_[i] = l1b_.GetWithOffset<half>(key_tile, i * 2 * key_tile);
      v1_[i] = l1b_.GetWithOffset<half>(key_tile, (2 + i) * 2 * key_tile);
      s0_[i] = l0c_.GetWithOffset<float>(scores, i * 4 * scores);
      o0_[i] = l0c_.GetWithOffset<float>(row_tile, 8 * scores + i * 4 * row_tile);
      Constants(k1_[i][width_ * bc_ * LANES], bc_);
      Duplicate(c16_, half(1.0f), (int32_t)STRIP);
      ToL1(v1_[i][width_ * bc_ * LANES], c16_, bc_);
    }
  }

  // ---- the walk ----
  __aicore__ inline void Block(uint32_t bn, uint32_t block) {
    Batch(bn);
    blind_ = c_.back >= 0 || c_.keys == 0;
    bn_ = bn;
    heights_ = block + 1 < blocks_ ? 2 : 1;
    for (uint32_t h = 0; h < heights_; ++h)
      OpenRows(h, (block + h) * ROWS);
    Range();
    for (uint32_t i = 0; i < 2 && i < tiles_; ++i)
      LoadKeys(i);
    for (uint32_t n = 0; n < heights_; ++n)
      Scores(n);
    for (uint32_t n = 0; n < steps_; ++n) {
      Softmax(n);
      if (n % heights_ == heights_ - 1)
        NextKeys(n / heights_);
      Sum(n);
    }
    Stop();
    for (uint32_t h = 0; h < heights_; ++h)
      Close(h);
  }
  __aicore__ inline void Range() {  // which tiles of keys
    const int32_t low = SeenBy(row_[0]).low, high = SeenBy(LastRow(heights_ - 1)).high;
    const int32_t last = high > 0 ? (high - 1) / (int32_t)bc_ : 0, wanted = low / (int32_t)bc_;
    first_ = wanted < last ? wanted : last;
    tiles_ = last - first_ + 1;
    steps_ = tiles_ * heights_;
  }
  __aicore__ inline Span SeenBy(int32_t row) const { return Seen(row, c_.back, c_.ahead, c_.keys); }
  __aicore__ inline int32_t LastRow(uint32_t h) const {
    return (row_[h] + ROWS < t_.sq ? row_[h] + ROWS : t_.sq) - 1;
  }
  __aicore__ inline void OpenRows(uint32_t h, uint32_t row) {
    row_[h] = row;
    filled_[h] = false;
    lost_[h] = false;
    LoadRows(q1_[h], q_, bn_, row, t_.sq, c_.scale);
    ResetReference(h);
    ToL1(q1_[h][width_ * STRIP], tail_, ROWS);
  }
  __aicore__ inline void LoadKeys(uint32_t tile) {
    const uint32_t s = tile & 1, row = (first_ + tile) * bc_;
    WaitFlag<HardEvent::MTE1_MTE3>(s);
    Load(k1_[s], KeyRows(k_, row), Left(row, c_.keys), bc_, 0, 1.0f);
    SetFlag<HardEvent::MTE3_MTE1>(s);
  }
  __aicore__ inline void NextKeys(uint32_t tile) {  // no score of this tile is wanted any more
    SetFlag<HardEvent::MTE1_MTE3>(tile & 1);
    if (tile + 2 < tiles_)
      LoadKeys(tile + 2);
  }
  __aicore__ inline void LoadValues(uint32_t tile) {
    const uint32_t row = (first_ + tile) * bc_;
    Load(v1_[tile & 1], KeyRows(v_, row), Left(row, c_.keys), bc_, 0, 1.0f);
  }
  __aicore__ inline GlobalTensor<half> KeyRows(const GlobalTensor<half>& from, uint32_t row) {
    return Rows(from, bn_, row, t_.skv);
  }

  // ---- one step ----
  __aicore__ inline void Scores(uint32_t n) {
    const uint32_t tile = n / heights_, e = n & 1;
    if (n % heights_ == 0)
      WaitFlag<HardEvent::MTE3_MTE1>(tile & 1);
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
    const bool careful = SeenBy(LastRow(h)).low >= column;
    WaitFlag<HardEvent::M_V>(e);
    Fetch(n, column, careful);
    SetFlag<HardEvent::V_M>(e);
    if (n + heights_ < steps_)
      Scores(n + heights_);
    WaitFlag<HardEvent::MTE1_MTE3>(2 + e);  // p1_[e] and the values of two tiles ago are read
    if (n % heights_ == 0)
      LoadValues(n / heights_);  // while the vector unit works
    WaitFlag<HardEvent::MTE3_V>(e);
    if (careful || !Trusted(e)) {
      Settle(n, column, careful);
      Weights(e);
    }
    Sync<HardEvent::V_MTE3>(e);
    DataCopy(p1_[e], p_[e], DataCopyParams(1, ROWS * bf_, 0, 0));
    SetFlag<HardEvent::MTE3_V>(e);
  }
  // x_ = the scores of step n
  __aicore__ inline void Fetch(uint32_t n, int32_t column, bool careful) {
    Fractals(x_, s0_[n & 1], bf_ * (ROWS / LANES));
    Step();
    if (careful && blind_) {
      AtLeast(x_, half(FLOOR), (int32_t)(ROWS * bc_));
      Step();
    }
    Mask(x_, row_[n % heights_], column, c_.back, c_.ahead, c_.keys);
  }
  // The weights, computed while the scalar unit looks whether no score is too far above its
  // reference.
  __aicore__ inline bool Trusted(uint32_t e) {
    Highest(x_, p_[e], ROWS * bc_);
    SetFlag<HardEvent::V_S>(0);
    Weights(e);
    WaitFlag<HardEvent::V_S>(0);
    return Top() <= SLACK_BITS;
  }
  __aicore__ inline void Weights(uint32_t e) {
    Exp(p_[e], x_, (int32_t)(ROWS * bc_));
    Step();
  }
  __aicore__ inline void Sum(uint32_t n) {  // o and the row sums, += p [v | 1]
    const uint32_t h = n % heights_, e = n & 1;
    Sync<HardEvent::MTE3_MTE1>(2 + e);
    Multiply<true>(o0_[h], p1_[e], v1_[n / heights_ & 1], width_ + 1, bf_, !filled_[h]);
    SetFlag<HardEvent::MTE1_MTE3>(2 + e);
    filled_[h] = true;
  }
  // Moves the references of step n until each visible row has its highest score at most SLACK
  // above, and, where the row is new, at most SLACK below; x_ then holds the scores against them,
  // and what was summed before is rescaled.
  __aicore__ inline void Settle(uint32_t n, int32_t column, bool careful) {
    const uint32_t h = n % heights_;
    bool moved = false, sure = false;
    Adds(before_, m_[h], 0.0f, (int32_t)STRIP);
    for (uint32_t lap = 0; !sure; ++lap) {
      RowPeaks(x_, p_[n & 1], ROWS * bc_, blind_);
      Moves(h, careful, blind_);
      const int32_t top = Top();
      lost_[h] = lost_[h] || top > INFINITE_BITS || lap == LAPS;
      if (top == 0 || lost_[h])
        break;
      moved = true;
      sure = top <= SURE_BITS;
      Move(h);
      ToL1(q1_[h][width_ * STRIP], tail_, ROWS);
      Again(n);
      Stop();
      Fetch(n, column, careful);
    }
    if (careful)
      SetLow(h);
    if (moved && filled_[h])
      Rescale(h);
    if (moved && n + heights_ < steps_) {  // it was computed against the old reference
      Stop();
      Again(n + heights_);
    }
    Stop();
  }
  // What is summed, times exp(old - new reference) <= 1. A move has stopped all pipes before.
  __aicore__ inline void Rescale(uint32_t h) {
    Sub(f_[0], before_, m_[h], (int32_t)STRIP);
    AtMost(f_[0], 0.0f, (int32_t)STRIP);
    Step();
    Exp(f_[0], f_[0], (int32_t)STRIP);
    for (uint32_t c = 0; c <= width_; ++c) {
      Fractals(f_[1], o0_[h][c * STRIP], ROWS / LANES);
      Step();
      Mul(f_[1], f_[1], f_[0], (int32_t)STRIP);
      Step();
      Fractals(o0_[h][c * STRIP], f_[1], ROWS / LANES);
      Step();
    }
  }

  // o / sum and reference + log(sum), as a tail.
  __aicore__ inline void Close(uint32_t h) {
    const uint32_t row = row_[h], rows = t_.sq - row < ROWS ? t_.sq - row : ROWS;
    Fractals(before_, o0_[h][width_ * STRIP], ROWS / LANES);
    AtLeast(before_, 1e-30f, (int32_t)STRIP);  // a row that sees nothing gives 0
    for (uint32_t c = 0; c < width_; ++c) {
      Fractals(f_[0], o0_[h][c * STRIP], ROWS / LANES);
      Step();
      Div(f_[0], f_[0], before_, (int32_t)STRIP);
      Step();
      StageOut(c);
    }
    Ln(before_, before_, (int32_t)STRIP);
    Split(m_[h], before_, true);
    if (lost_[h]) {
      Step();
      Refuse(stage_, rows * t_.d);
      Refuse(tail_, STRIP);
    }
    Stop();
    DataCopy(o_[((uint64_t)bn_ * t_.sq + row) * t_.d], stage_, rows * t_.d);
    DataCopy(logsum_[((uint64_t)bn_ * blocks_ + row / ROWS) * STRIP], tail_, STRIP);
    Stop();
  }

  GlobalTensor<half> q_, k_, v_, o_, logsum_;
  LocalTensor<half> q1_[2], k1_[2], v1_[2], p1_[2];  // L1
  LocalTensor<float> s0_[2], o0_[2];                 // L0C
  LocalTensor<half> x_, p_[2];                       // UB
  uint32_t blocks_, bn_, heights_, tiles_, steps_, row_[2];
  int32_t first_;
  bool filled_[2], lost_[2];
  bool blind_;  // a row may see no key of a tile
};
}  // namespace mindlong
#endif
