// Gradients of the attention of flash.h: the weights are computed again block by block from the
// saved log-sums. Keys are the outer loop: a row's part of the keys collects dk and dv and adds to
// dq, always in the same order, so that the numbers do not depend on the number of threads.
#pragma once
#include "flash.h"

static const int64_t GQ = 48;
static const int64_t GK = 128;

struct FlashGrad {
  const float *out, *lse, *grad;
  float *dq, *dk, *dv, *partial;
  int64_t splits;  // of a row's keys, where there are few rows; by shape alone
};
struct GradRow {
  float *q, *g, *dq, *delta,
      *sums;  // of all queries: packed q and gradient, dq, sum(out * gradient), log-sums
  float *keys, *rows, *values, *dk, *dv;  // of a block of keys
  float *p, *s;
  static size_t size(const Flash& a) {
    return size_t(up16(a.S) * (3 * a.Dp + 2) + GK * (2 * a.D + 3 * a.Dp) + 2 * GQ * GK);
  }
  GradRow(const Flash& a, float* m) {
    int64_t S = up16(a.S);
    q = m;
    g = q + S * a.Dp;
    dq = g + S * a.Dp;
    keys = dq + S * a.Dp;
    values = keys + GK * a.D;
    rows = values + GK * a.D;
    dk = rows + GK * a.Dp;
    dv = dk + GK * a.Dp;
    p = dv + GK * a.Dp;
    s = p + GQ * GK;
    delta = s + GQ * GK;
    sums = delta + S;
  }
};
static void grad_open(const Flash& a, const FlashGrad& x, const Row& r, GradRow& w) {
  pack_rows(a, a.from, r, a.q, 0, a.S, a.scale * LOG2E, w.q);
  pack_rows(a, a.from, r, x.grad, 0, a.S, 1.f, w.g);
  std::fill(w.dq, w.dq + a.S * a.Dp, 0.f);
  each_token(a.from, r, 0, a.S, [&](int64_t s, int64_t at) {
    const float* o = x.out + at;
    const float* g = x.grad + at;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < a.D; ++d)
      sum += o[d] * g[d];
    w.delta[s] = sum;
    w.sums[s] = x.lse[at / a.D];
  });
}
// Scores and their gradients to weights and the gradients of the scores, in place.
static void grad_scores(const Flash& a, const float* bias, const GradRow& w, int64_t s0, int64_t n,
                        int64_t k0, int64_t width) {
  for (int64_t i = 0; i < n; ++i) {
    float* p = w.p + i * GK;
    float* s = w.s + i * GK;
    float sum = w.sums[s0 + i];
    float delta = w.delta[s0 + i];
    if (!plain(a, width))
      adjust(a, bias, s0 + i, k0, width, p);
    for (int64_t j = 0; j < up16(width); j += LANES) {
      f16x weight = vexp2(ld(p + j) - sum);
      st(p + j, weight);
      st(s + j, weight * (ld(s + j) - delta));
    }
  }
}
static void grad_block(const Flash& a, const float* bias, const GradRow& w, int64_t s0, int64_t n,
                       int64_t k0, int64_t width) {
  int64_t vectors = up16(width) / LANES;
  int64_t deep = a.Dp / LANES;
  const float* q = w.q + s0 * a.Dp;
  const float* g = w.g + s0 * a.Dp;
  product(n, vectors, a.D, {q, a.Dp, 1}, {w.keys, LANES, a.D * LANES}, w.p, GK, false);
  product(n, vectors, a.D, {g, a.Dp, 1}, {w.values, LANES, a.D * LANES}, w.s, GK, false);
  grad_scores(a, bias, w, s0, n, k0, width);
  product(width, deep, n, {w.p, 1, GK}, {g, a.Dp, LANES}, w.dv, a.Dp, true);
  product(width, deep, n, {w.s, 1, GK}, {q, a.Dp, LANES}, w.dk, a.Dp, true);
  product(n, deep, width, {w.s, GK, 1}, {w.rows, a.Dp, LANES}, w.dq + s0 * a.Dp, a.Dp, true);
}
static void spread(const Flash& a, const Side& side, const Row& r, int64_t t0, int64_t t1,
                   const float* in, float factor, bool add, float* out) {
  each_token(side, r, t0, t1, [&](int64_t t, int64_t at) {
    const float* p = in + (t - t0) * a.Dp;
    float* y = out + at;
    if (add) {
#pragma omp simd
      for (int64_t d = 0; d < a.D; ++d)
        y[d] += p[d] * factor;
    } else {
#pragma omp simd
      for (int64_t d = 0; d < a.D; ++d)
        y[d] = p[d] * factor;
    }
  });
}
// One row's blocks of keys [b0, b1).
static void grad_row(const Flash& a, const FlashGrad& x, const Row& r, int64_t b0, int64_t b1,
                     float* partial, GradRow& w) {
  grad_open(a, x, r, w);
  const float* bias = a.bias_of(r);
  for (int64_t b = b0; b < b1; ++b) {
    int64_t k0 = b * GK;
    int64_t width = std::min(GK, a.T - k0);
    pack_panels(a, a.to, r, a.k, k0, k0 + width, w.keys);
    pack_panels(a, a.to, r, a.v, k0, k0 + width, w.values);
    pack_rows(a, a.to, r, a.k, k0, k0 + width, 1.f, w.rows);
    std::fill(w.dk, w.dk + 2 * GK * a.Dp, 0.f);
    for (int64_t s0 = 0; s0 < a.S; s0 += GQ) {
      int64_t n = std::min(GQ, a.S - s0);
      if (a.first_key(s0) < k0 + width && a.last_key(s0 + n - 1) > k0)
        grad_block(a, bias, w, s0, n, k0, width);
    }
    spread(a, a.to, r, k0, k0 + width, w.dk, 1.f / LOG2E, a.to.index, x.dk);
    spread(a, a.to, r, k0, k0 + width, w.dv, 1.f, a.to.index, x.dv);
  }
  if (!partial)
    return spread(a, a.from, r, 0, a.S, w.dq, a.scale, false, x.dq);
  std::memcpy(partial, w.dq, size_t(a.S * a.Dp) * 4);
}
// The sum of the parts' dq, in order.
static void grad_collect(const Flash& a, const FlashGrad& x) {
  int64_t size = a.S * a.Dp;
  tasks(int(a.rows()), [&](int i) {
    float* sum = x.partial + i * x.splits * size;
    for (int64_t k = 1; k < x.splits; ++k) {
      const float* p = sum + k * size;
#pragma omp simd
      for (int64_t j = 0; j < size; ++j)
        sum[j] += p[j];
    }
    spread(a, a.from, a.row(i), 0, a.S, sum, a.scale, false, x.dq);
  });
}
// Rows whose keys are the same frames, one after the other: unit i of a.rows() / `shared`.
static void grad_unit(const Flash& a, const FlashGrad& x, int64_t i, int64_t shared, int64_t b0,
                      int64_t b1, float* partial, GradRow& w) {
  int64_t inner = a.groups * a.heads;
  for (int64_t block = 0; block < shared; ++block) {
    int64_t row = shared == 1 ? i : (i / inner * a.blocks + block) * inner + i % inner;
    grad_row(a, x, a.row(row), b0, b1, partial, w);
  }
}
static int64_t shared_rows(const Flash& a) { return a.to.index ? a.blocks : 1; }
static int grad_near(const Flash& a, const Near& near, const FlashGrad& x) {
  int64_t shared = shared_rows(a);
  int64_t sums = near.size(a.from) / a.D;
  size_t room = GradRow::size(a) + size_t(4 * (near.size(a.from) + near.size(a.to)) + sums);
  each_tile(a, near, room, [&](const Tile& tile, float* scratch) {
    GradRow w(a, scratch);
    float* at = scratch + GradRow::size(a);
    Flash b = tile.flash(at);
    FlashGrad y = x;
    y.out = tile.bring(a.from, x.out, at);
    y.grad = tile.bring(a.from, x.grad, at);
    y.dq = tile.room(a.from, at);
    y.dk = tile.room(a.to, at);
    y.dv = tile.room(a.to, at);
    y.lse = at;
    tile.bring_sums(x.lse, at);
    std::fill(y.dk, at, 0.f);  // frames that nothing reads get zeros
    for (int64_t i = 0; i < b.rows() / shared; ++i)
      grad_unit(b, y, i, shared, 0, (a.T + GK - 1) / GK, nullptr, w);
    tile.take(a.from, y.dq, x.dq);
    tile.take(a.to, y.dk, x.dk);
    tile.take(a.to, y.dv, x.dv);
  });
  return OK;
}
static int flash_backward(const Flash& a, FlashGrad x) {
  int64_t steps = (a.T + GK - 1) / GK;
  int64_t rows = a.rows();
  int64_t shared = shared_rows(a);
  int64_t units = rows / shared;
  x.splits = shared > 1 || units >= 16 ? 1 : std::min((16 + units - 1) / units, steps);
  Near near(a, 4);
  if (near.pixels && x.splits == 1)
    return grad_near(a, near, x);
  Scratch partial;
  if (x.splits > 1)
    x.partial = partial.get(size_t(rows * x.splits * a.S * a.Dp));
  int64_t total = units * x.splits;
  int64_t pieces = std::min<int64_t>(total, int64_t(pool().threads()) * 8);
  if (a.to.index) {  // frames that nothing reads get zeros
    int64_t n = a.videos * a.to.video;
    ranges(n, 8, [&](int, int64_t b, int64_t e) {
      std::fill(x.dk + b, x.dk + e, 0.f);
      std::fill(x.dv + b, x.dv + e, 0.f);
    });
  }
  tasks(int(pieces), [&](int piece) {
    GradRow w(a, tl_flash.get(GradRow::size(a)));
    for (int64_t u = total * piece / pieces; u < total * (piece + 1) / pieces; ++u) {
      int64_t i = u / x.splits;
      int64_t part = u % x.splits;
      float* mine = x.partial ? x.partial + (i * x.splits + part) * a.S * a.Dp : nullptr;
      grad_unit(a, x, i, shared, steps * part / x.splits, steps * (part + 1) / x.splits, mine, w);
    }
  });
  if (x.splits > 1)
    grad_collect(a, x);
  return OK;
}
static int flash_grad_run(bool bias, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 12 + bias, BAD_ARITY);
  Flash a{};
  if (int e = flash_args(a, bias, P, nd, sh, dt))
    return e;
  int o = 6 + bias;
  REQUIRE(all_f32(o, np, dt), BAD_DTYPE);
  return flash_backward(
      a, {F(P[o]), F(P[o + 1]), F(P[o + 2]), F(P[o + 3]), F(P[o + 4]), F(P[o + 5]), nullptr, 1});
}
// q k v index scale cfg [bias] out lse dout -> dq dk dv
NK nk_flash_bwd(SIG) { return flash_grad_run(false, np, P, nd, sh, dt); }
NK nk_flash_bias_bwd(SIG) { return flash_grad_run(true, np, P, nd, sh, dt); }
