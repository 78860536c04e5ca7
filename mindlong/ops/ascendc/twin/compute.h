// The cube and the vector unit.
#pragma once
#include <cmath>

#include "move.h"

namespace AscendC {
struct MmadParams {
  uint16_t m = 0, n = 0, k = 0;
  bool isBias = false, cmatrixSource = false, cmatrixInitVal = true;
  uint8_t unitFlag = 0;
};

// c[n/16][m][16] (+)= a[m/16][k/16][16][16] b[k/16][n/16][16][16]: halves in, float sums, in the order of k.
inline void Mmad(const LocalTensor<float>& c, const LocalTensor<half>& a, const LocalTensor<half>& b, const MmadParams& p) {
  TWIN_CHECK(c.memory == L0C && a.memory == L0A && b.memory == L0B, "Mmad: L0A and L0B to L0C");
  TWIN_CHECK(p.m % 16 == 0 && p.n % 16 == 0 && p.k % 16 == 0 && p.m && p.n && p.k, "Mmad: whole fractals");
  const uint32_t rows = p.m, columns = p.n, mf = p.m / 16, nf = p.n / 16, kf = p.k / 16;
  Core& core = TheCore();
  core.Begin(M, mf * nf * kf);
  core.count.macs += static_cast<uint64_t>(mf) * nf * kf * 4096;
  a.Read(M, mf * kf * 512), b.Read(M, kf * nf * 512);
  if (!p.cmatrixInitVal) c.Read(M, rows * columns * 4);
  c.Write(M, rows * columns * 4);
  static thread_local std::vector<float> left, right, sum;
  left.resize(rows * p.k), right.resize(p.k * columns), sum.resize(columns);
  for (uint32_t i = 0; i < rows; ++i)
    for (uint32_t k = 0; k < p.k; ++k) left[i * p.k + k] = a.Data()[((i / 16 * kf + k / 16) * 16 + i % 16) * 16 + k % 16];
  for (uint32_t k = 0; k < p.k; ++k)
    for (uint32_t j = 0; j < columns; ++j) right[k * columns + j] = b.Data()[((k / 16 * nf + j / 16) * 16 + j % 16) * 16 + k % 16];
  for (uint32_t i = 0; i < rows; ++i) {
    float* out = c.Data() + i * 16;  // element (i, j) is at (j / 16) * rows * 16 + i * 16 + j % 16
    for (uint32_t j = 0; j < columns; ++j) sum[j] = p.cmatrixInitVal ? 0.0f : out[j / 16 * rows * 16 + j % 16];
    for (uint32_t k = 0; k < p.k; ++k) {
      const float x = left[i * p.k + k];
      const float* y = &right[k * columns];
      for (uint32_t j = 0; j < columns; ++j) sum[j] += x * y[j];
    }
    for (uint32_t j = 0; j < columns; ++j) out[j / 16 * rows * 16 + j % 16] = sum[j];
  }
}

inline void BeginVector(uint64_t bytes, double weight = 1) { TheCore().Begin(V, std::ceil(bytes / TheCore().rates.vector) * weight); }
template <typename T> void CheckVector(const LocalTensor<T>& t) {
  TWIN_CHECK(t.memory == UB, "a vector operand is in UB");
  CheckAligned(t.offset);
}

template <typename T, typename F> void Unary(const LocalTensor<T>& to, const LocalTensor<T>& from, int32_t n, double weight, F f) {
  CheckVector(to), CheckVector(from);
  TWIN_CHECK(n > 0, "a vector instruction has at least one element");
  BeginVector(n * sizeof(T), weight);
  from.Read(V, n * sizeof(T)), to.Write(V, n * sizeof(T));
  T* y = to.Data();
  const T* x = from.Data();
  for (int32_t i = 0; i < n; ++i) y[i] = static_cast<T>(f(static_cast<float>(x[i])));
}
template <typename T, typename F> void Binary(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int32_t n, F f) {
  CheckVector(to), CheckVector(a), CheckVector(b);
  TWIN_CHECK(n > 0, "a vector instruction has at least one element");
  BeginVector(n * sizeof(T));
  a.Read(V, n * sizeof(T)), b.Read(V, n * sizeof(T)), to.Write(V, n * sizeof(T));
  T* y = to.Data();
  const T *u = a.Data(), *v = b.Data();
  for (int32_t i = 0; i < n; ++i) y[i] = static_cast<T>(f(static_cast<float>(u[i]), static_cast<float>(v[i])));
}
inline float Larger(float x, float y) { return std::isnan(x) || std::isnan(y) ? NAN : x > y ? x : y; }
inline float Smaller(float x, float y) { return std::isnan(x) || std::isnan(y) ? NAN : x < y ? x : y; }

#define TWIN_SCALAR(name, expression) \
  template <typename T> void name(const LocalTensor<T>& to, const LocalTensor<T>& from, const T& s, const int32_t& n) { \
    Unary(to, from, n, 1, [&](float x) { const float k = static_cast<float>(s); return expression; }); }
TWIN_SCALAR(Muls, x * k)
TWIN_SCALAR(Adds, x + k)
TWIN_SCALAR(Maxs, Larger(x, k))
TWIN_SCALAR(Mins, Smaller(x, k))
template <typename T> void Exp(const LocalTensor<T>& to, const LocalTensor<T>& from, const int32_t& n) {
  Unary(to, from, n, TheCore().rates.exp, [](float x) { return std::exp(x); });
}
template <typename T> void Ln(const LocalTensor<T>& to, const LocalTensor<T>& from, const int32_t& n) {
  Unary(to, from, n, TheCore().rates.exp, [](float x) { return std::log(x); });
}
#define TWIN_BINARY(name, expression) \
  template <typename T> void name(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, const int32_t& n) { \
    Binary(to, a, b, n, [](float x, float y) { return expression; }); }
TWIN_BINARY(Add, x + y)
TWIN_BINARY(Sub, x - y)
TWIN_BINARY(Mul, x * y)
TWIN_BINARY(Div, x / y)
TWIN_BINARY(Max, Larger(x, y))

// ---- forms with a mask of lanes and repeats; strides in blocks of 32 bytes ----
struct UnaryRepeatParams {
  uint16_t dstBlkStride = 1, srcBlkStride = 1;
  uint8_t dstRepStride = 8, srcRepStride = 8;
};
struct BinaryRepeatParams { uint8_t dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1, dstRepStride = 8, src0RepStride = 8, src1RepStride = 8; };

template <typename T> uint32_t Place(int repeat, uint32_t lane, int block_stride, int repeat_stride) {
  constexpr uint32_t block = 32 / sizeof(T);
  return (repeat * repeat_stride + lane / block * block_stride) * block + lane % block;
}
template <typename T> bool Lane(const uint64_t* mask, uint32_t lane) {
  return lane < 256 / sizeof(T) && (mask[lane / 64] >> (lane % 64) & 1);
}
template <typename T> void Duplicate(const LocalTensor<T>& to, const T& value, const int32_t& n) {
  CheckVector(to);
  TWIN_CHECK(n > 0, "a vector instruction has at least one element");
  BeginVector(n * sizeof(T));
  to.Write(V, n * sizeof(T));
  std::fill(to.Data(), to.Data() + n, value);
}
template <typename T> void Duplicate(const LocalTensor<T>& to, const T& value, uint64_t mask[2], uint8_t repeats, uint16_t block_stride, uint8_t repeat_stride) {
  CheckVector(to);
  BeginVector(repeats * 256);
  for (int r = 0; r < repeats; ++r)
    for (uint32_t e = 0; e < 256 / sizeof(T); ++e)
      if (Lane<T>(mask, e)) {
        const uint32_t at = Place<T>(r, e, block_stride, repeat_stride);
        to[at / 16 * 16].Write(V, 32), to.Data()[at] = value;
      }
}
template <typename T>
void Muls(const LocalTensor<T>& to, const LocalTensor<T>& from, const T& s, uint64_t mask[2], uint8_t repeats, const UnaryRepeatParams& p) {
  CheckVector(to), CheckVector(from);
  BeginVector(repeats * 256);
  for (int r = 0; r < repeats; ++r)
    for (uint32_t e = 0; e < 256 / sizeof(T); ++e)
      if (Lane<T>(mask, e)) {
        const uint32_t y = Place<T>(r, e, p.dstBlkStride, p.dstRepStride), x = Place<T>(r, e, p.srcBlkStride, p.srcRepStride);
        from[x / 16 * 16].Read(V, 32), to[y / 16 * 16].Write(V, 32);
        to.Data()[y] = static_cast<T>(static_cast<float>(from.Data()[x]) * static_cast<float>(s));
      }
}
template <typename T>
void Max(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& p) {
  CheckVector(to), CheckVector(a), CheckVector(b);
  TWIN_CHECK(lanes >= 1 && lanes <= 256 / sizeof(T) && repeats >= 1, "lanes or repeats out of range");
  BeginVector(repeats * 256);
  for (int r = 0; r < repeats; ++r)
    for (uint32_t e = 0; e < lanes; ++e) {
      const uint32_t y = Place<T>(r, e, p.dstBlkStride, p.dstRepStride), u = Place<T>(r, e, p.src0BlkStride, p.src0RepStride),
                     v = Place<T>(r, e, p.src1BlkStride, p.src1RepStride);
      a[u / 16 * 16].Read(V, 32), b[v / 16 * 16].Read(V, 32), to[y / 16 * 16].Write(V, 32);
      to.Data()[y] = static_cast<T>(Larger(a.Data()[u], b.Data()[v]));
    }
}

enum class RoundMode { CAST_NONE };
template <typename T, typename U> void Cast(const LocalTensor<T>& to, const LocalTensor<U>& from, RoundMode, const uint32_t n) {
  CheckVector(to), CheckVector(from);
  BeginVector(n * std::max(sizeof(T), sizeof(U)));
  from.Read(V, n * sizeof(U)), to.Write(V, n * sizeof(T));
  for (uint32_t i = 0; i < n; ++i) to.Data()[i] = static_cast<T>(static_cast<float>(from.Data()[i]));
}

struct TransDataTo5HDParams {
  bool dstHighHalf = false, srcHighHalf = false;
  uint8_t repeatTimes = 1;
  uint16_t dstRepStride = 0, srcRepStride = 0;
};
// Each repeat transposes 16 rows of 16 halves, wherever the rows are.
template <typename T> void TransDataTo5HD(const LocalTensor<T> (&to)[16], const LocalTensor<T> (&from)[16], const TransDataTo5HDParams& p) {
  static_assert(sizeof(T) == 2, "16-bit elements on 910A");
  TheCore().Begin(V, p.repeatTimes * 16);
  for (int r = 0; r < p.repeatTimes; ++r) {
    T rows[16][16];
    for (int i = 0; i < 16; ++i) {
      CheckVector(from[i]);
      const auto x = from[i][r * p.srcRepStride * 16];
      x.Read(V, 32), std::memcpy(rows[i], x.Data(), 32);
    }
    for (int i = 0; i < 16; ++i) {
      CheckVector(to[i]);
      const auto y = to[i][r * p.dstRepStride * 16];
      y.Write(V, 32);
      for (int j = 0; j < 16; ++j) y.Data()[j] = rows[j][i];
    }
  }
}
}  // namespace AscendC
