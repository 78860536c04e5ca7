// Tiles of flash attention on an Ascend 910A (dav-c100: cube and vector unit in one core), in the basic Ascend C API.
//
// The same file is compiled by CANN for the NPU and by g++ against ../twin for the tests.
//
// Layouts. ND: rows x d in global memory. NZ: [width/16][rows][16], what L1 and UB hold. A tile is ROWS = 128 rows of one side by bc_
// columns of the other. L0A takes fractals of 16 x 16 as [row][k], L0B as [k][column] with each fractal transposed, L0C gives NZ.
// K in NZ is K^T as L0B wants it, so q k^T needs no transpose; the second factor of p v is transposed fractal by fractal as it loads.
//
// The vector unit is the narrow one (128 halves a cycle against 4096 products of the cube), so what the cube can do it does:
//  * Every operand of a score has 16 further columns ("tail"). On one side they hold a number per row as -(512 a + b + c / 4096), three
//    halves that carry 33 bits; on the other side the constants 512, 1 and 1 / 4096. So the cube subtracts the row's reference (running
//    maximum, log-sum, or delta) in float, and what leaves the accumulator as half is small where it matters: its rounding is that of p.
//  * The 16 further columns of v in the forward pass are ones: the row sums of p come out beside p v.
#ifndef MINDLONG_ATTENTION_TILES_H
#define MINDLONG_ATTENTION_TILES_H
#include "kernel_operator.h"

namespace mindlong {
using namespace AscendC;

constexpr uint32_t ROWS = 128, LANES = 16, FRACTAL = 256;  // rows of a tile, width of a fractal, its elements
constexpr uint32_t STRIP = ROWS * LANES;                   // elements of one column of fractals
constexpr uint32_t HEAD = 8;                               // entries of `control` before the lengths
constexpr float MASKED = -65504.0f;                        // the lowest half: exp gives 0
constexpr int32_t FAR = 1 << 28;

// What the host knows from the shapes. q and o are (bn, sq, d), k and v (bn, skv, d).
struct AttentionShape { uint32_t bn, sq, skv, d; };

// `control`: int32 [HEAD + batch] = heads, scale (a float, as its bits), frames back (-1: no window), frames ahead, tokens of a frame,
// three zeros; then the keys of each batch row that count.
struct Control { int32_t heads, back, ahead, unit, keys; float scale; };

struct Span { int32_t low, high; };  // columns [low, high) that a row may see

class Tiles {
 protected:
  __aicore__ inline void Open(const AttentionShape& shape, GM_ADDR control, uint32_t columns) {
    t_ = shape, width_ = shape.d / LANES, bc_ = columns, bf_ = columns / LANES;
    control_.SetGlobalBuffer((__gm__ int32_t*)control, HEAD);
    c_.heads = control_.GetValue(0);
    union { int32_t bits; float number; } scale;
    scale.bits = control_.GetValue(1), c_.scale = scale.number;
    c_.back = control_.GetValue(2), c_.ahead = control_.GetValue(3), c_.unit = control_.GetValue(4);
    control_.SetGlobalBuffer((__gm__ int32_t*)control, HEAD + shape.bn / c_.heads);
  }
  __aicore__ inline void OpenMemory(uint32_t a1, uint32_t b1, uint32_t c0, uint32_t ub) {
    pipe_.InitBuffer(l1a_, a1), pipe_.InitBuffer(l1b_, b1), pipe_.InitBuffer(l0a_, 65536), pipe_.InitBuffer(l0b_, 65536);
    pipe_.InitBuffer(l0c_, c0), pipe_.InitBuffer(ub_, ub);
    a2_ = l0a_.Get<half>(), b2_ = l0b_.Get<half>();
    stage_ = Take<half>(2 * bc_ * (t_.d + LANES));
    for (int i = 0; i < 3; ++i) f_[i] = Take<float>(STRIP);
    c16_ = Take<half>(STRIP), tail_ = Take<half>(STRIP);
  }
  __aicore__ inline uint32_t CommonBytes() const { return bc_ * (t_.d + LANES) * 4 + STRIP * (3 * 4 + 2 * 2); }
  template <typename T> __aicore__ inline LocalTensor<T> Take(uint32_t elements) {  // the next elements of UB
    const uint32_t at = taken_;
    taken_ += elements * sizeof(T);
    return ub_.GetWithOffset<T>(elements, at);
  }
  __aicore__ inline void Batch(uint32_t bn) { c_.keys = control_.GetValue(HEAD + bn / c_.heads); }

  // A free half of L0 and a free stage have their flags up.
  __aicore__ inline void RaiseFlags() {
    for (int i = 0; i < 2; ++i) SetFlag<HardEvent::M_MTE1>(i), SetFlag<HardEvent::MTE3_MTE2>(i);
  }
  __aicore__ inline void LowerFlags() {
    for (int i = 0; i < 2; ++i) WaitFlag<HardEvent::M_MTE1>(i), WaitFlag<HardEvent::MTE3_MTE2>(i);
  }
  template <HardEvent E> __aicore__ inline void Sync(int32_t id) { SetFlag<E>(id), WaitFlag<E>(id); }
  __aicore__ inline void Step() { PipeBarrier<PIPE_V>(); }
  __aicore__ inline void Stop() { PipeBarrier<PIPE_ALL>(); }

  // `rows` x d of ND halves in global memory, times `factor`, become rows [at, at + bc_) of an NZ tile that is `height` rows high; rows
  // past the end are zero. Returns the half of the stage it went through.
  __aicore__ inline uint32_t Load(const LocalTensor<half>& l1, const GlobalTensor<half>& from, uint32_t rows, uint32_t height, uint32_t at, float factor) {
    const uint32_t s = Ask(from, rows);
    SetFlag<HardEvent::MTE2_MTE3>(s);
    Place(l1, s, rows, height, at, factor);
    SetFlag<HardEvent::MTE3_MTE2>(s);
    return s;
  }
  // The two parts of it, for who has something to do while global memory is read: into the stage, and from there.
  __aicore__ inline uint32_t Ask(const GlobalTensor<half>& from, uint32_t rows) {
    const uint32_t s = staged_++ & 1;
    WaitFlag<HardEvent::MTE3_MTE2>(s);
    if (rows) DataCopy(Stage(s), from, rows * t_.d);
    return s;
  }
  __aicore__ inline void Place(const LocalTensor<half>& l1, uint32_t s, uint32_t rows, uint32_t height, uint32_t at, float factor) {
    LocalTensor<half> st = Stage(s);
    WaitFlag<HardEvent::MTE2_MTE3>(s);
    if (rows < bc_ || factor != 1.0f) {
      Sync<HardEvent::MTE2_V>(s);
      if (rows < bc_) Duplicate(st[rows * t_.d], half(0.0f), (int32_t)((bc_ - rows) * t_.d));
      if (factor != 1.0f && rows) Scale(st, rows * t_.d, factor);
      Sync<HardEvent::V_MTE3>(2 + s);
    }
    for (uint32_t c = 0; c < width_; ++c)
      DataCopy(l1[(c * height + at) * LANES], st[c * LANES], DataCopyParams(bc_, 1, width_ - 1, 0));
  }
  __aicore__ inline LocalTensor<half> Stage(uint32_t s) { return stage_[s * bc_ * (t_.d + LANES)]; }
  // In float, for a factor rounded to half would be a wrong temperature; what is rounded is each product.
  __aicore__ inline void Scale(const LocalTensor<half>& x, uint32_t n, float factor) {
    for (uint32_t i = 0; i < n; i += STRIP) {
      const uint32_t piece = n - i < STRIP ? n - i : STRIP;
      Cast(f_[0], x[i], RoundMode::CAST_NONE, piece), Step();
      Muls(f_[0], f_[0], factor, (int32_t)piece), Step();
      Cast(x[i], f_[0], RoundMode::CAST_NONE, piece), Step();
    }
  }
  // The ROWS rows from `row0` of a tensor of `total` rows for each of the bn.
  __aicore__ inline void LoadRows(const LocalTensor<half>& l1, const GlobalTensor<half>& from, uint32_t bn, uint32_t row0, uint32_t total, float factor) {
    for (uint32_t at = 0; at < ROWS; at += bc_) Load(l1, Rows(from, bn, row0 + at, total), Left(row0 + at, total), ROWS, at, factor);
  }
  __aicore__ inline GlobalTensor<half> Rows(const GlobalTensor<half>& from, uint32_t bn, uint32_t row, uint32_t total) {
    return from[((uint64_t)bn * total + (row < total ? row : 0)) * t_.d];
  }
  __aicore__ inline uint32_t Left(uint32_t row, uint32_t total) const { return row >= total ? 0 : total - row < bc_ ? total - row : bc_; }

  // c[columns][ROWS][16] (+)= a b for a[ks][ROWS][16]. b is [ks][16 columns][16], taken as its transpose, or (kAsItIs) [columns][16 ks][16].
  template <bool kAsItIs>
  __aicore__ inline void Multiply(const LocalTensor<float>& c, const LocalTensor<half>& a, const LocalTensor<half>& b, uint32_t columns, uint32_t ks, bool fresh) {
    const uint32_t fit = 64 / columns, chunk = fit < 8 ? fit : 8;  // halves of L0A and L0B are 32 KB
    for (uint32_t k = 0; k < ks; k += chunk) {
      const uint32_t n = ks - k < chunk ? ks - k : chunk, e = multiplied_++ & 1;
      LocalTensor<half> left = a2_[e * 16384], right = b2_[e * 16384];
      WaitFlag<HardEvent::M_MTE1>(e);
      for (uint32_t m = 0; m < ROWS / LANES; ++m) LoadFractals(left[m * n * FRACTAL], a[k * STRIP + m * FRACTAL], n, ROWS / LANES, false);
      if (!kAsItIs) LoadFractals(right, b[k * columns * FRACTAL], n * columns, 1, false);
      else for (uint32_t i = 0; i < n; ++i) LoadFractals(right[i * columns * FRACTAL], b[(k + i) * FRACTAL], columns, ks, true);
      Sync<HardEvent::MTE1_M>(e);
      if (k || !fresh) PipeBarrier<PIPE_M>();
      MmadParams p;
      p.m = ROWS, p.n = columns * LANES, p.k = n * LANES, p.cmatrixInitVal = fresh && k == 0;
      Mmad(c, left, right, p);
      SetFlag<HardEvent::M_MTE1>(e);
    }
  }
  __aicore__ inline void LoadFractals(const LocalTensor<half>& to, const LocalTensor<half>& from, uint32_t count, uint32_t stride, bool transpose) {
    LoadData2DParams p;
    p.startIndex = 0, p.repeatTimes = (uint8_t)count, p.srcStride = (uint16_t)stride, p.ifTranspose = transpose;
    LoadData(to, from, p);
  }
  template <typename T, typename U> __aicore__ inline void Fractals(const LocalTensor<T>& to, const LocalTensor<U>& from, uint32_t count) {  // L0C <-> UB
    DataCopyEnhancedParams e;
    e.blockMode = BlockMode::BLOCK_MODE_MATRIX;
    DataCopy(to, from, DataCopyParams(1, count, 0, 0), e);
  }

  // ---- the tail: a float for each row, as three halves ----
  __aicore__ inline void LaneMask(uint64_t (&mask)[2], uint64_t lanes) { mask[0] = mask[1] = lanes | lanes << 16 | lanes << 32 | lanes << 48; }
  // tail_ = lanes 0 to 2 of `from` (STRIP floats, a row's value in each of its lanes) split, negated. Uses f_[1], f_[2], c16_.
  __aicore__ inline void Split(const LocalTensor<float>& from) {
    Duplicate(tail_, half(0.0f), (int32_t)STRIP);
    for (uint32_t i = 0; i < 3; ++i) {
      uint64_t mask[2];
      LaneMask(mask, 1ull << i);
      Part(i, from);
      Muls(tail_, c16_, half(-1.0f), mask, (uint8_t)(STRIP / 128), UnaryRepeatParams());
    }
    Step();
  }
  // c16_ = the half `i` of three that make up `from`, to be asked for in order. Uses f_[1], f_[2].
  __aicore__ inline void Part(uint32_t i, const LocalTensor<float>& from) {
    if (i == 0) Muls(f_[1], from, 1.0f / 512.0f, (int32_t)STRIP), Step();
    else Remove(i == 1 ? -512.0f : -1.0f, i == 1 ? from : f_[1]);
    if (i == 2) Muls(f_[1], f_[1], 4096.0f, (int32_t)STRIP), Step();
    Cast(c16_, f_[1], RoundMode::CAST_NONE, STRIP), Step();
  }
  __aicore__ inline void Remove(float back, const LocalTensor<float>& from) {  // f_[1] = from + back * c16_
    Cast(f_[2], c16_, RoundMode::CAST_NONE, STRIP), Step();
    Muls(f_[2], f_[2], back, (int32_t)STRIP), Step();
    Add(f_[1], f_[2], from, (int32_t)STRIP), Step();
  }
  // The constants on the other side of a tail, `rows` high, into L1 (only while nothing else runs).
  __aicore__ inline void Constants(const LocalTensor<half>& l1, uint32_t rows) {
    const float values[3] = {512.0f, 1.0f, 1.0f / 4096.0f};
    Duplicate(c16_, half(0.0f), (int32_t)STRIP), Step();
    for (uint32_t i = 0; i < 3; ++i) {
      uint64_t mask[2];
      LaneMask(mask, 1ull << i);
      Duplicate(c16_, half(values[i]), mask, (uint8_t)(STRIP / 128), 1, 8), Step();
    }
    Stop();
    DataCopy(l1, c16_, DataCopyParams(1, rows, 0, 0));
    Stop();
  }

  // ---- which columns a row sees ----
  // `back` and `ahead` in frames of c_.unit tokens; `limit`: columns that exist.
  __aicore__ inline Span Seen(int32_t row, int32_t back, int32_t ahead, int32_t limit) const {
    Span s = {0, limit};
    if (c_.back < 0) return s;
    const int32_t frame = row / c_.unit;
    s.low = frame > back ? (frame - back) * c_.unit : 0;
    const int64_t end = ((int64_t)frame + ahead + 1) * c_.unit;
    s.high = end < limit ? (int32_t)end : limit;
    return s;
  }
  // Scores of tile (row0.., column0..) outside what each row sees become MASKED. x is NZ, bc_ wide.
  __aicore__ inline void Mask(const LocalTensor<half>& x, int32_t row0, int32_t column0, int32_t back, int32_t ahead, int32_t limit) {
    const int32_t end = column0 + (int32_t)bc_;
    if (Seen(row0 + ROWS - 1, back, ahead, limit).low <= column0 && Seen(row0, back, ahead, limit).high >= end) return;
    for (int32_t r = 0; r < (int32_t)ROWS;) {
      const Span s = Seen(row0 + r, back, ahead, limit);
      int32_t next = c_.back < 0 ? (int32_t)ROWS : ((row0 + r) / c_.unit + 1) * c_.unit - row0;
      next = next < (int32_t)ROWS ? next : (int32_t)ROWS;
      Fill(x, r, next, 0, s.low - column0), Step();
      Fill(x, r, next, s.high - column0, bc_);
      r = next;
    }
    Step();
  }
  __aicore__ inline void Fill(const LocalTensor<half>& x, int32_t top, int32_t bottom, int32_t left, int32_t right) {
    left = left < 0 ? 0 : left;
    right = right > (int32_t)bc_ ? (int32_t)bc_ : right;
    for (int32_t c = left / (int32_t)LANES * (int32_t)LANES; c < right; c += LANES) {
      const int32_t from = left > c ? left - c : 0, to = right < c + (int32_t)LANES ? right - c : LANES;
      LocalTensor<half> strip = x[c * ROWS + top * LANES];
      if (from == 0 && to == (int32_t)LANES) {
        Duplicate(strip, half(MASKED), (bottom - top) * (int32_t)LANES);
      } else {  // one row of 16 lanes a repeat
        uint64_t mask[2] = {((1ull << to) - 1) & ~((1ull << from) - 1), 0};
        Duplicate(strip, half(MASKED), mask, (uint8_t)(bottom - top), 1, 1);
      }
    }
  }

  // f_[0], the strip `c` of a result in float, rounded, into the ND rows staged for output. Uses c16_.
  __aicore__ inline void StageOut(uint32_t c) {
    Cast(c16_, f_[0], RoundMode::CAST_NONE, STRIP), Step();
    DataCopy(stage_[c * LANES], c16_, DataCopyParams(ROWS, 1, 0, width_ - 1)), Step();
  }

  AttentionShape t_;
  Control c_;
  uint32_t width_, bc_, bf_;  // d, and the columns of a tile, in fractals
  LocalTensor<half> a2_, b2_, stage_, c16_, tail_;  // stage_: two halves of bc_ rows and a tail
  LocalTensor<float> f_[3];
  TBuf<TPosition::A1> l1a_;
  TBuf<TPosition::B1> l1b_;
  TBuf<TPosition::CO1> l0c_;

 private:
  TPipe pipe_;
  GlobalTensor<int32_t> control_;
  TBuf<TPosition::A2> l0a_;
  TBuf<TPosition::B2> l0b_;
  TBuf<TPosition::VECCALC> ub_;
  uint32_t taken_ = 0, staged_ = 0, multiplied_ = 0;
};
}  // namespace mindlong
#endif
