// Small matrix products out of registers: C (M x N) = start + A (M x K) B (K x N), for operands that lie packed in the cache.
// A is read number by number, B and C in vectors of sixteen columns.
#pragma once
#include "vector.h"

// A(i, k) at a + i * row + k * step; one of the two is 1. B's vector j of row k at b + k * row + j * panel.
struct Left { const float *a; int64_t row, step; };
struct Right { const float *b; int64_t row, panel; };
// Where C starts from: row i at p + i * row (a row of 0 repeats one row, a bias); null: zeros.
struct Start {
  const float *p; int64_t row;
  Start at(int64_t i, int64_t j = 0) const { return {p ? p + i * row + j : nullptr, row}; }
};

#ifdef __AVX512F__
static const int WIDE = 4;  // vectors of columns at once, by the number of registers
static constexpr int tall(int nv) { return nv == 4 ? 6 : 8; }
#else
static const int WIDE = 1;
static constexpr int tall(int) { return 6; }
#endif

template <int MR, int NV, bool BY_ROW>
static inline __attribute__((always_inline)) void tile(Left l, Right r, int64_t K, float *c, int64_t ldc, Start from) {
  f16x acc[MR][NV];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) acc[i][j] = from.p ? ld(from.p + i * from.row + j * LANES) : f16x{};
  const float *a = l.a, *b = r.b;
  int64_t row = BY_ROW ? l.row : 1, step = BY_ROW ? 1 : l.step;
  for (int64_t k = 0; k < K; ++k, a += step, b += r.row) {
    f16x v[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) v[j] = ld(b + j * r.panel);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      float s = a[i * row];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] += s * v[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) st(c + i * ldc + j * LANES, acc[i][j]);
}
template <int MR, int NV>
static void tile_either(Left l, Right r, int64_t K, float *c, int64_t ldc, Start from) {
  if (l.step == 1) tile<MR, NV, true>(l, r, K, c, ldc, from);
  else tile<MR, NV, false>(l, r, K, c, ldc, from);
}
// M rows, at most eight a tile.
template <int NV>
static void stripe(int64_t M, Left l, Right r, int64_t K, float *c, int64_t ldc, Start from) {
  constexpr int MR = tall(NV);
  int64_t i = 0;
  for (; i + MR <= M; i += MR) tile_either<MR, NV>({l.a + i * l.row, l.row, l.step}, r, K, c + i * ldc, ldc, from.at(i));
  l.a += i * l.row, c += i * ldc, from = from.at(i);
  switch (M - i) {
    case 1: return tile_either<1, NV>(l, r, K, c, ldc, from);
    case 2: return tile_either<2, NV>(l, r, K, c, ldc, from);
    case 3: return tile_either<3, NV>(l, r, K, c, ldc, from);
    case 4: return tile_either<4, NV>(l, r, K, c, ldc, from);
    case 5: return tile_either<5, NV>(l, r, K, c, ldc, from);
    case 6: return tile_either<6, NV>(l, r, K, c, ldc, from);
    case 7: return tile_either<7, NV>(l, r, K, c, ldc, from);
  }
}
// `vectors` of sixteen columns; B is walked in pieces that stay in the first cache.
static void product(int64_t M, int64_t vectors, int64_t K, Left l, Right r, float *c, int64_t ldc, Start from) {
  const int64_t deep = 96;
  int64_t groups = (vectors + WIDE - 1) / WIDE;
  for (int64_t g = 0; g < groups; ++g) {
    int64_t j = vectors * g / groups, nv = vectors * (g + 1) / groups - j;
    for (int64_t k = 0; k < K; k += deep) {
      int64_t kk = std::min(deep, K - k);
      Left a{l.a + k * l.step, l.row, l.step};
      Right b{r.b + k * r.row + j * r.panel, r.row, r.panel};
      float *out = c + j * LANES;
      Start s = k > 0 ? Start{out, ldc} : from.at(0, j * LANES);
      if (nv == 1) stripe<1>(M, a, b, kk, out, ldc, s);
#ifdef __AVX512F__
      else if (nv == 2) stripe<2>(M, a, b, kk, out, ldc, s);
      else if (nv == 3) stripe<3>(M, a, b, kk, out, ldc, s);
      else stripe<4>(M, a, b, kk, out, ldc, s);
#endif
    }
  }
}
static void product(int64_t M, int64_t vectors, int64_t K, Left l, Right r, float *c, int64_t ldc, bool add) {
  product(M, vectors, K, l, r, c, ldc, add ? Start{c, ldc} : Start{nullptr, 0});
}
// Four rows of `n` numbers, written as columns `at` to `at + 3` of panels: out[d * 16 + at + i] = row_i[d].
static inline void turn_rows(const float *r0, const float *r1, const float *r2, const float *r3, int64_t n, float *out) {
  int64_t d = 0;
  for (; d + 4 <= n; d += 4) {
    __m128 a = _mm_loadu_ps(r0 + d), b = _mm_loadu_ps(r1 + d), c = _mm_loadu_ps(r2 + d), e = _mm_loadu_ps(r3 + d);
    _MM_TRANSPOSE4_PS(a, b, c, e);
    float *o = out + d * LANES;
    _mm_storeu_ps(o, a), _mm_storeu_ps(o + LANES, b), _mm_storeu_ps(o + 2 * LANES, c), _mm_storeu_ps(o + 3 * LANES, e);
  }
  for (; d < n; ++d) {
    float *o = out + d * LANES;
    o[0] = r0[d], o[1] = r1[d], o[2] = r2[d], o[3] = r3[d];
  }
}
// 2^x: a polynomial on [-1/2, 1/2] (minimax, relative error 1.5e-7) and the exponent's bits; 0 below 2^-126, NaN stays.
static inline f16x vexp2(f16x x) {
  const f16x lowest = f16x{} - 127.f, highest = f16x{} + 127.f;
  x = lowest > x ? lowest : x;
  x = highest < x ? highest : x;
  const float magic = 12582912.f;
  f16x t = x + magic, r = x - (t - magic);
  f16x p = r * 1.3276471e-3f + 9.6755413e-3f;
  p = p * r + 5.5507133e-2f;
  p = p * r + 2.4022120e-1f;
  p = p * r + 6.9314697e-1f;
  p = p * r + 1.0f;
  return p * (f16x)((((i16x)t) - 0x4B400000 + 127) << 23);
}
