// Small matrix products out of registers: C (M x N) = start + A (M x K) B (K x N), for operands
// that lie packed in the cache. A is read number by number, B and C in vectors of sixteen columns.
#pragma once
#include "vector.h"

static inline int64_t blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }
static inline int64_t up16(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// A(i, k) is at a + i * row + k * step; row or step is 1.
// B's vector j of row k is at b + k * row + j * panel.
struct Left {
  const float* a;
  int64_t row, step;
};
struct Right {
  const float* b;
  int64_t row, panel;
};
// Where C starts from: row i at p + i * row (a row of 0 repeats one row, a bias); null: zeros.
struct Start {
  const float* p;
  int64_t row;
  Start at(int64_t i, int64_t j = 0) const { return {p ? p + i * row + j : nullptr, row}; }
};

// Vectors of columns and rows of a tile, by the number and width of the registers: what a tile adds
// up to stays in them.
#if REGISTER_BYTES == 64
static const int WIDE = 4;
static constexpr int tall(int nv) { return nv == 4 ? 6 : 8; }
#elif REGISTER_BYTES == 32
static const int WIDE = 1;
static constexpr int tall(int) { return 6; }
#elif defined(__aarch64__)
static const int WIDE = 1;
static constexpr int tall(int) { return 5; }
#else
static const int WIDE = 1;
static constexpr int tall(int) { return 2; }
#endif

// The sums are registers in an array, not f16x: only so does the compiler keep them out of memory.
template <int MR, int NV, bool BY_ROW>
ALWAYS_INLINE void tile(Left l, Right r, int64_t K, float* c, int64_t ldc, Start from) {
  constexpr int PARTS = LANES / REGISTER_FLOATS;
  constexpr int N = NV * PARTS;
  reg acc[MR][N];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j)
      acc[i][j] = from.p ? ld_reg(from.p + i * from.row + j * REGISTER_FLOATS) : reg{};
  const float* a = l.a;
  const float* b = r.b;
  int64_t row = BY_ROW ? l.row : 1;
  int64_t step = BY_ROW ? 1 : l.step;
  for (int64_t k = 0; k < K; ++k, a += step, b += r.row) {
    reg v[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j)
      v[j] = ld_reg(b + j / PARTS * r.panel + j % PARTS * REGISTER_FLOATS);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      float s = a[i * row];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j)
        acc[i][j] += s * v[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j)
      st_reg(c + i * ldc + j * REGISTER_FLOATS, acc[i][j]);
}
template <int MR, int NV>
static void tile_either(Left l, Right r, int64_t K, float* c, int64_t ldc, Start from) {
  if (l.step == 1)
    tile<MR, NV, true>(l, r, K, c, ldc, from);
  else
    tile<MR, NV, false>(l, r, K, c, ldc, from);
}
// M rows, at most eight a tile.
template <int NV>
static void stripe(int64_t M, Left l, Right r, int64_t K, float* c, int64_t ldc, Start from) {
  constexpr int MR = tall(NV);
  int64_t i = 0;
  for (; i + MR <= M; i += MR)
    tile_either<MR, NV>({l.a + i * l.row, l.row, l.step}, r, K, c + i * ldc, ldc, from.at(i));
  l.a += i * l.row;
  c += i * ldc;
  from = from.at(i);
  switch (M - i) {
    case 1:
      return tile_either<1, NV>(l, r, K, c, ldc, from);
    case 2:
      return tile_either<2, NV>(l, r, K, c, ldc, from);
    case 3:
      return tile_either<3, NV>(l, r, K, c, ldc, from);
    case 4:
      return tile_either<4, NV>(l, r, K, c, ldc, from);
    case 5:
      return tile_either<5, NV>(l, r, K, c, ldc, from);
    case 6:
      return tile_either<6, NV>(l, r, K, c, ldc, from);
    case 7:
      return tile_either<7, NV>(l, r, K, c, ldc, from);
  }
}
// `vectors` of sixteen columns; B is walked in pieces that stay in the first cache.
static void product(int64_t M, int64_t vectors, int64_t K, Left l, Right r, float* c, int64_t ldc,
                    Start from) {
  const int64_t deep = 96;
  int64_t groups = (vectors + WIDE - 1) / WIDE;
  for (int64_t g = 0; g < groups; ++g) {
    int64_t j = vectors * g / groups;
    int64_t nv = vectors * (g + 1) / groups - j;
    for (int64_t k = 0; k < K; k += deep) {
      int64_t kk = std::min(deep, K - k);
      Left a{l.a + k * l.step, l.row, l.step};
      Right b{r.b + k * r.row + j * r.panel, r.row, r.panel};
      float* out = c + j * LANES;
      Start s = k > 0 ? Start{out, ldc} : from.at(0, j * LANES);
      if (nv == 1)
        stripe<1>(M, a, b, kk, out, ldc, s);
#if REGISTER_BYTES == 64
      else if (nv == 2)
        stripe<2>(M, a, b, kk, out, ldc, s);
      else if (nv == 3)
        stripe<3>(M, a, b, kk, out, ldc, s);
      else
        stripe<4>(M, a, b, kk, out, ldc, s);
#endif
    }
  }
}
static void product(int64_t M, int64_t vectors, int64_t K, Left l, Right r, float* c, int64_t ldc,
                    bool add) {
  product(M, vectors, K, l, r, c, ldc, add ? Start{c, ldc} : Start{nullptr, 0});
}
// Four rows of `n` numbers as four columns of a panel: out[d * 16 + i] = row_i[d].
static inline void turn_rows(const float* r0, const float* r1, const float* r2, const float* r3,
                             int64_t n, float* out) {
  int64_t d = 0;
  for (; d + 4 <= n; d += 4) {
    float* o = out + d * LANES;
    turn4(r0 + d, r1 + d, r2 + d, r3 + d, o, o + LANES, o + 2 * LANES, o + 3 * LANES);
  }
  for (; d < n; ++d) {
    float* o = out + d * LANES;
    o[0] = r0[d];
    o[1] = r1[d];
    o[2] = r2[d];
    o[3] = r3[d];
  }
}
