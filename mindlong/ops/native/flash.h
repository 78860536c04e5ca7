// Attention in blocks of queries and keys with a running softmax (arXiv 2205.14135): memory grows
// with the length only. Scores are kept as exponents of two: the factor log2(e) is on the queries.
#pragma once
#include "bf16_flash.h"
#include "flash_near.h"

static const float LOG2E = 1.44269504088896f;
static const f16x LOWEST = f16x{} - __builtin_inff();

// What lies behind the last key of a block, outside the band, or is shifted by the bias. s is a row
// of scores.
static inline void adjust(const Flash& a, const float* bias, int64_t row, int64_t k0, int64_t width,
                          float* s) {
  if (bias) {
    const float* b = bias + row * a.bias_q + k0;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j)
      s[j] += b[j] * LOG2E;
  }
  int64_t low = std::min(width, a.first_key(row) - k0);
  int64_t high = std::max<int64_t>(0, a.last_key(row) - k0);
  for (int64_t j = 0; j < low; ++j)
    s[j] = -__builtin_inff();
  for (int64_t j = std::min(high, width); j < up16(width); ++j)
    s[j] = -__builtin_inff();
}
// Whether a row needs `adjust`.
static inline bool plain(const Flash& a, int64_t width) {
  return !a.bias && !a.unit && width % LANES == 0;
}

// Scores to weights 2^(s - top) in place; returns their sum and moves `top` to the larger maximum.
static inline float weigh(float* s, int64_t width, float& top) {
  f16x m0 = LOWEST, m1 = LOWEST, s0 = {}, s1 = {};
  int64_t n = up16(width);
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    m0 = vmax(m0, ld(s + j));
    m1 = vmax(m1, ld(s + j + LANES));
  }
  if (j < n)
    m0 = vmax(m0, ld(s + j));
  top = std::max(top, lanes_max(vmax(m0, m1)));
  const float ref = top == -__builtin_inff() ? 0.f : top;
  for (j = 0; j + 2 * LANES <= n; j += 2 * LANES) {
    f16x a = vexp2(ld(s + j) - ref);
    f16x b = vexp2(ld(s + j + LANES) - ref);
    st(s + j, a);
    st(s + j + LANES, b);
    s0 += a;
    s1 += b;
  }
  if (j < n) {
    f16x a = vexp2(ld(s + j) - ref);
    st(s + j, a);
    s0 += a;
  }
  return lanes_sum(s0 + s1);
}
// One row's keys and values as panels and rows, and the products with them.
struct PlainProducts {
  static const int64_t QUERIES = 48;  // of a block
  float *keys, *values;
  static int64_t size(const Flash& a) { return up16(a.T) * (a.D + a.Dp); }
  PlainProducts(const Flash& a, float* p) : keys(p), values(p + up16(a.T) * a.D) {}
  // The keys and values [low, high); low is a multiple of BK.
  void pack(const Flash& a, const Row& r, int64_t low, int64_t high) {
    pack_panels(a, a.to, r, a.k, low, high, keys + low * a.D);
    pack_rows(a, a.to, r, a.v, low, high, 1.f, values + low * a.Dp);
  }
  void take_queries(const Flash&, const float*, int64_t) {}
  // s = the scores of n queries with the keys [k0, k0 + width).
  void scores(const Flash& a, const float* q, int64_t n, int64_t k0, int64_t width, float* s) {
    product(n, up16(width) / LANES, a.D, {q, a.Dp, 1}, {keys + k0 * a.D, LANES, a.D * LANES}, s, BK,
            false);
  }
  // o = or += the weights s of n queries with their values.
  void weighted(const Flash& a, const float* s, int64_t n, int64_t k0, int64_t width, float* o,
                bool add) {
    product(n, a.Dp / LANES, width, {s, BK, 1}, {values + k0 * a.Dp, a.Dp, LANES}, o, a.Dp, add);
  }
};
template <class Products> struct FlashRow {  // one row, and the state of a block of queries
  static const int64_t BQ = Products::QUERIES;
  Products by;
  float *q, *s, *o, *top, *sum;
  static size_t size(const Flash& a) {
    return size_t(Products::size(a) + BQ * (a.Dp * 2 + BK + 2));
  }
  FlashRow(const Flash& a, float* p) : by(a, p) {
    q = p + Products::size(a);
    s = q + BQ * a.Dp;
    o = s + BQ * BK;
    top = o + BQ * a.Dp;
    sum = top + BQ;
  }
};
template <class Products>
static void flash_block(const Flash& a, const Row& r, FlashRow<Products>& w, int64_t s0, int64_t n,
                        float* out, float* lse) {
  const float* bias = a.bias_of(r);
  pack_rows(a, a.from, r, a.q, s0, s0 + n, a.scale * LOG2E, w.q);
  w.by.take_queries(a, w.q, n);
  for (int64_t i = 0; i < n; ++i) {
    w.top[i] = -__builtin_inff();
    w.sum[i] = 0;
  }
  int64_t low = a.first_key(s0) / BK * BK;
  int64_t high = a.last_key(s0 + n - 1);
  bool first = true;
  for (int64_t k0 = low; k0 < high; k0 += BK, first = false) {
    int64_t width = std::min(BK, high - k0);
    w.by.scores(a, w.q, n, k0, width, w.s);
    for (int64_t i = 0; i < n; ++i) {
      float* s = w.s + i * BK;
      float before = w.top[i];
      if (!plain(a, width))
        adjust(a, bias, s0 + i, k0, width, s);
      float sum = weigh(s, width, w.top[i]);
      if (first) {
        w.sum[i] = sum;
        continue;
      }
      float keep = before == w.top[i] ? 1.f : std::exp2(before - w.top[i]);
      w.sum[i] = w.sum[i] * keep + sum;
      if (keep != 1.f)
        for (int64_t d = 0; d < a.Dp; d += LANES)
          st(w.o + i * a.Dp + d, ld(w.o + i * a.Dp + d) * keep);
    }
    w.by.weighted(a, w.s, n, k0, width, w.o, !first);
  }
  each_token(a.from, r, s0, s0 + n, [&](int64_t s, int64_t at) {
    int64_t i = s - s0;
    float inverse = 1.f / w.sum[i];
    const float* o = w.o + i * a.Dp;
    float* y = out + at;
    lse[at / a.D] = w.sum[i] == 0.f ? __builtin_inff() : w.top[i] + std::log2(w.sum[i]);
    if (w.sum[i] == 0.f) {  // it sees nothing, and o may never have been written
      std::fill(y, y + a.D, 0.f);
      return;
    }
    int64_t d = 0;
    for (; d + LANES <= a.D; d += LANES)
      st(y + d, ld(o + d) * inverse);
    if (d < a.D)
      st_part(y + d, ld(o + d) * inverse, a.D - d);
  });
}
// The blocks [b0, b1) of a row's queries.
template <class Products>
static void flash_row(const Flash& a, const Row& r, float* scratch, int64_t b0, int64_t b1,
                      float* out, float* lse) {
  FlashRow<Products> w(a, scratch);
  const int64_t BQ = Products::QUERIES;
  int64_t low = a.first_key(b0 * BQ) / BK * BK;
  int64_t high = a.last_key(std::min(a.S, b1 * BQ) - 1);
  if (low < high)
    w.by.pack(a, r, low, high);
  for (int64_t b = b0; b < b1; ++b)
    flash_block<Products>(a, r, w, b * BQ, std::min(BQ, a.S - b * BQ), out, lse);
}
template <class Products>
static int flash_near(const Flash& a, const Near& near, float* out, float* lse) {
  const size_t row = FlashRow<Products>::size(a);
  int64_t steps = (a.S + Products::QUERIES - 1) / Products::QUERIES;
  int64_t sums = near.size(a.from) / a.D;
  int64_t room = 2 * (near.size(a.from) + near.size(a.to)) + sums;
  each_tile(a, near, row + size_t(room), [&](const Tile& tile, float* scratch) {
    float* at = scratch + row;
    Flash b = tile.flash(at);
    float* o = tile.room(a.from, at);
    for (int64_t i = 0; i < b.rows(); ++i)
      flash_row<Products>(b, b.row(i), scratch, 0, steps, o, at);
    tile.take(a.from, o, out);
    tile.take_sums(at, lse);
  });
  return OK;
}
template <class Products> static int flash_forward(const Flash& a, float* out, float* lse) {
  Near near(a, 2);
  if (near.pixels)
    return flash_near<Products>(a, near, out, lse);
  int64_t rows = a.rows();
  int64_t steps = (a.S + Products::QUERIES - 1) / Products::QUERIES;
  int64_t want = int64_t(pool().threads()) * 8;
  // Parts of a row's queries: their number does not change the numbers.
  int64_t parts = std::max<int64_t>(1, std::min(steps, want / rows));
  int64_t pieces = std::min(rows * parts, rows > want ? want : rows * parts);
  tasks(int(pieces), [&](int piece) {
    float* scratch = tl_flash.get(FlashRow<Products>::size(a));
    for (int64_t u = rows * parts * piece / pieces; u < rows * parts * (piece + 1) / pieces; ++u) {
      int64_t part = u % parts;
      flash_row<Products>(a, a.row(u / parts), scratch, steps * part / parts,
                          steps * (part + 1) / parts, out, lse);
    }
  });
  return OK;
}
static int flash_run(bool bias, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 8 + bias, BAD_ARITY);
  Flash a{};
  if (int e = flash_args(a, bias, P, nd, sh, dt))
    return e;
  float* out = F(P[6 + bias]);
  float* lse = F(P[7 + bias]);
#if HAS_BF16
  if (bf16::flash_fits(a))
    return flash_forward<bf16::FlashProducts>(a, out, lse);
#endif
  return flash_forward<PlainProducts>(a, out, lse);
}
// q k v index scale cfg [bias] -> out (q's shape), log2 of the sum of exponentials: a number for
// each query and head.
NK nk_flash(SIG) { return flash_run(false, np, P, nd, sh, dt); }
NK nk_flash_bias(SIG) { return flash_run(true, np, P, nd, sh, dt); }
