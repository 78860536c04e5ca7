// Tiles of flash attention on an Ascend 910A (dav-c100: cube and vector unit in one core), in the
// basic Ascend C API: memory, flags, moves and products.
//
// The same files are compiled by CANN for the NPU and by g++ against ../twin for the tests.
//
// Layouts. ND: rows x d in global memory. NZ: [width/16][rows][16], what L1 and UB hold. A tile is
// ROWS = 128 rows of one side by bc_ columns of the other. L0A takes fractals of 16 x 16 as
// [row][k], L0B as [k][column] with each fractal transposed, L0C gives NZ. K in NZ is K^T as L0B
// wants it, so q k^T needs no transpose; the second factor of p v is transposed fractal by fractal
// as it loads.
//
// The vector unit is the narrow one (128 halves a cycle against 4096 products of the cube), so what
// the cube can do it does:
//  * Every operand of a score has 16 further columns ("tail"). On one side they hold a number per
//    row as -(512 a + b + c / 4096), three halves that carry 33 bits; on the other side the
//    constants 512, 1 and 1 / 4096. So the cube subtracts the row's reference (running maximum,
//    log-sum, or delta) in float, and what leaves the accumulator as half is small where it
//    matters: its rounding is that of p.
//  * The 16 further columns of v in the forward pass are ones: the row sums of p come out beside
//    p v.
#ifndef MINDLONG_ATTENTION_TILES_H
#define MINDLONG_ATTENTION_TILES_H
#include "kernel_operator.h"

namespace mindlong {
using namespace AscendC;

constexpr uint32_t ROWS = 128, LANES = 16, FRACTAL = 256;  // rows of a tile, a fractal's side, area
constexpr uint32_t STRIP = ROWS * LANES;                   // elements of one column of fractals
constexpr uint32_t HEAD = 8;            // entries of `control` before the numbers of keys
constexpr uint32_t HALF_OF_L0 = 16384;  // elements: one of two buffers in L0A and in L0B

// What the host knows from the shapes. q and o are (bn, sq, d), k and v (bn, skv, d).
struct AttentionShape {
  uint32_t bn, sq, skv, d;
};

// `control`: int32 [HEAD + batch] = heads, scale (a float, as its bits), frames back (-1: no
// window), frames ahead, tokens of a frame, by how many powers of two the gradient of o shrinks
// while it is worked on, two zeros; then the keys of each batch row that count.
struct Control {
  int32_t heads, back, ahead, unit, keys;
  float scale, shrink, grow;
};

class Tiles {
 protected:
  __aicore__ inline void Open(TPipe* pipe, const AttentionShape& shape, GM_ADDR control,
                              uint32_t columns) {
    pipe_ = pipe;
    t_ = shape;
    width_ = shape.d / LANES;
    bc_ = columns;
    bf_ = columns / LANES;
    control_.SetGlobalBuffer((__gm__ int32_t*)control, HEAD);
    c_.heads = control_.GetValue(0);
    c_.scale = FromBits(control_.GetValue(1));
    c_.back = control_.GetValue(2);
    c_.ahead = control_.GetValue(3);
    c_.unit = control_.GetValue(4);
    const int32_t powers = control_.GetValue(5) & 63;
    c_.shrink = FromBits((127 - powers) << 23);
    c_.grow = FromBits((127 + powers) << 23);
    control_.SetGlobalBuffer((__gm__ int32_t*)control, HEAD + shape.bn / c_.heads);
  }
  __aicore__ inline float FromBits(int32_t bits) const {
    union {
      int32_t bits;
      float number;
    } same;
    same.bits = bits;
    return same.number;
  }
  __aicore__ inline void OpenMemory(uint32_t a1, uint32_t b1, uint32_t c0, uint32_t ub) {
    pipe_->InitBuffer(l1a_, a1);
    pipe_->InitBuffer(l1b_, b1);
    pipe_->InitBuffer(l0a_, 4 * HALF_OF_L0);
    pipe_->InitBuffer(l0b_, 4 * HALF_OF_L0);
    pipe_->InitBuffer(l0c_, c0);
    pipe_->InitBuffer(ub_, ub);
    a2_ = l0a_.Get<half>();
    b2_ = l0b_.Get<half>();
    stage_ = Take<half>(2 * bc_ * (t_.d + LANES));
    for (int i = 0; i < 3; ++i)
      f_[i] = Take<float>(STRIP);
  }
  __aicore__ inline uint32_t TileBytes() const {  // of UB, what OpenMemory takes of it
    return bc_ * (t_.d + LANES) * 4 + STRIP * 3 * 4;
  }
  template <typename T>
  __aicore__ inline LocalTensor<T> Take(uint32_t elements) {  // the next elements of UB
    const uint32_t at = taken_;
    taken_ += elements * sizeof(T);
    return ub_.GetWithOffset<T>(elements, at);
  }
  __aicore__ inline void Batch(uint32_t bn) { c_.keys = control_.GetValue(HEAD + bn / c_.heads); }

  // ---- order ----
  // A free half of L0 and a free stage have their flags up.
  __aicore__ inline void RaiseFlags() {
    for (int i = 0; i < 2; ++i) {
      SetFlag<HardEvent::M_MTE1>(i);
      SetFlag<HardEvent::MTE3_MTE2>(i);
    }
  }
  __aicore__ inline void LowerFlags() {
    for (int i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::M_MTE1>(i);
      WaitFlag<HardEvent::MTE3_MTE2>(i);
    }
  }
  template <HardEvent E> __aicore__ inline void Sync(int32_t id) {
    SetFlag<E>(id);
    WaitFlag<E>(id);
  }
  __aicore__ inline void Step() { PipeBarrier<PIPE_V>(); }
  __aicore__ inline void Stop() { PipeBarrier<PIPE_ALL>(); }

  // ---- rows of global memory into L1 ----
  // `rows` x d of ND halves, times `factor`, become rows [at, at + bc_) of an NZ tile that is
  // `height` rows high; rows past the end are zero. Returns the half of the stage it went through.
  __aicore__ inline uint32_t Load(const LocalTensor<half>& l1, const GlobalTensor<half>& from,
                                  uint32_t rows, uint32_t height, uint32_t at, float factor) {
    const uint32_t s = Ask(from, rows);
    SetFlag<HardEvent::MTE2_MTE3>(s);
    Place(l1, s, rows, height, at, factor);
    SetFlag<HardEvent::MTE3_MTE2>(s);
    return s;
  }
  // The two parts of it, for who has something to do while global memory is read: into the stage,
  // and from there.
  __aicore__ inline uint32_t Ask(const GlobalTensor<half>& from, uint32_t rows) {
    const uint32_t s = staged_++ & 1;
    WaitFlag<HardEvent::MTE3_MTE2>(s);
    if (rows)
      DataCopy(Stage(s), from, rows * t_.d);
    return s;
  }
  __aicore__ inline void Place(const LocalTensor<half>& l1, uint32_t s, uint32_t rows,
                               uint32_t height, uint32_t at, float factor) {
    LocalTensor<half> st = Stage(s);
    WaitFlag<HardEvent::MTE2_MTE3>(s);
    if (rows < bc_ || factor != 1.0f) {
      Sync<HardEvent::MTE2_V>(s);
      if (rows < bc_)
        Duplicate(st[rows * t_.d], half(0.0f), (int32_t)((bc_ - rows) * t_.d));
      if (factor != 1.0f && rows)
        Scale(st, rows * t_.d, factor);
      Sync<HardEvent::V_MTE3>(2 + s);
    }
    for (uint32_t c = 0; c < width_; ++c)
      DataCopy(l1[(c * height + at) * LANES], st[c * LANES], DataCopyParams(bc_, 1, width_ - 1, 0));
  }
  __aicore__ inline LocalTensor<half> Stage(uint32_t s) { return stage_[s * bc_ * (t_.d + LANES)]; }
  // In float, for a factor rounded to half would be a wrong temperature; what is rounded is each
  // product.
  __aicore__ inline void Scale(const LocalTensor<half>& x, uint32_t n, float factor) {
    for (uint32_t i = 0; i < n; i += STRIP) {
      const uint32_t piece = n - i < STRIP ? n - i : STRIP;
      Cast(f_[0], x[i], RoundMode::CAST_NONE, piece);
      Step();
      Muls(f_[0], f_[0], factor, (int32_t)piece);
      Step();
      Cast(x[i], f_[0], RoundMode::CAST_NONE, piece);
      Step();
    }
  }
  // The ROWS rows from `row0` of a tensor of `total` rows for each of the bn.
  __aicore__ inline void LoadRows(const LocalTensor<half>& l1, const GlobalTensor<half>& from,
                                  uint32_t bn, uint32_t row0, uint32_t total, float factor) {
    for (uint32_t at = 0; at < ROWS; at += bc_)
      Load(l1, Rows(from, bn, row0 + at, total), Left(row0 + at, total), ROWS, at, factor);
  }
  __aicore__ inline GlobalTensor<half> Rows(const GlobalTensor<half>& from, uint32_t bn,
                                            uint32_t row, uint32_t total) {
    return from[((uint64_t)bn * total + (row < total ? row : 0)) * t_.d];
  }
  __aicore__ inline uint32_t Left(uint32_t row, uint32_t total) const {
    return row >= total ? 0 : total - row < bc_ ? total - row : bc_;
  }

  // ---- products ----
  // c[columns][ROWS][16] (+)= a b for a[ks][ROWS][16]. b is [ks][16 columns][16], taken as its
  // transpose, or (kAsItIs) [columns][16 ks][16].
  template <bool kAsItIs>
  __aicore__ inline void Multiply(const LocalTensor<float>& c, const LocalTensor<half>& a,
                                  const LocalTensor<half>& b, uint32_t columns, uint32_t ks,
                                  bool fresh) {
    const uint32_t fit = 64 / columns, chunk = fit < 8 ? fit : 8;  // halves of L0 are 32 KB
    for (uint32_t k = 0; k < ks; k += chunk) {
      const uint32_t n = ks - k < chunk ? ks - k : chunk, e = multiplied_++ & 1;
      LocalTensor<half> left = a2_[e * HALF_OF_L0], right = b2_[e * HALF_OF_L0];
      WaitFlag<HardEvent::M_MTE1>(e);
      for (uint32_t m = 0; m < ROWS / LANES; ++m)
        LoadFractals(left[m * n * FRACTAL], a[k * STRIP + m * FRACTAL], n, ROWS / LANES, false);
      if (kAsItIs) {
        for (uint32_t i = 0; i < n; ++i)
          LoadFractals(right[i * columns * FRACTAL], b[(k + i) * FRACTAL], columns, ks, true);
      } else {
        LoadFractals(right, b[k * columns * FRACTAL], n * columns, 1, false);
      }
      Sync<HardEvent::MTE1_M>(e);
      if (k || !fresh)
        PipeBarrier<PIPE_M>();
      MultiplyFractals(c, left, right, columns, n, fresh && k == 0);
      SetFlag<HardEvent::M_MTE1>(e);
    }
  }
  __aicore__ inline void MultiplyFractals(const LocalTensor<float>& c,
                                          const LocalTensor<half>& left,
                                          const LocalTensor<half>& right, uint32_t columns,
                                          uint32_t ks, bool fresh) {
    MmadParams p;
    p.m = ROWS;
    p.n = columns * LANES;
    p.k = ks * LANES;
    p.cmatrixInitVal = fresh;
    Mmad(c, left, right, p);
  }
  __aicore__ inline void LoadFractals(const LocalTensor<half>& to, const LocalTensor<half>& from,
                                      uint32_t count, uint32_t stride, bool transpose) {
    LoadData2DParams p;
    p.startIndex = 0;
    p.repeatTimes = (uint8_t)count;
    p.srcStride = (uint16_t)stride;
    p.ifTranspose = transpose;
    LoadData(to, from, p);
  }
  template <typename T, typename U>  // L0C <-> UB
  __aicore__ inline void Fractals(const LocalTensor<T>& to, const LocalTensor<U>& from,
                                  uint32_t count) {
    DataCopyEnhancedParams e;
    e.blockMode = BlockMode::BLOCK_MODE_MATRIX;
    DataCopy(to, from, DataCopyParams(1, count, 0, 0), e);
  }

  AttentionShape t_;
  Control c_;
  uint32_t width_, bc_, bf_;           // d, and the columns of a tile, in fractals
  LocalTensor<half> a2_, b2_, stage_;  // stage_: two halves of bc_ rows and a tail
  LocalTensor<float> f_[3];            // scratch
  TBuf<TPosition::A1> l1a_;
  TBuf<TPosition::B1> l1b_;
  TBuf<TPosition::CO1> l0c_;

 private:
  TPipe* pipe_;
  GlobalTensor<int32_t> control_;
  TBuf<TPosition::A2> l0a_;
  TBuf<TPosition::B2> l0b_;
  TBuf<TPosition::VECCALC> ub_;
  uint32_t taken_ = 0, staged_ = 0, multiplied_ = 0;
};
}  // namespace mindlong
#endif
