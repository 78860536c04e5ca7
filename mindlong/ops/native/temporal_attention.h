// Attention over the frames of each pixel, on qkv (B*F, 3*N*D, P) as a 1x1 convolution leaves it.
// Sixteen pixels are sixteen lanes: no layout is changed, and the scores of a pixel never leave the
// cache.
#pragma once
#include "vector.h"

// softmax(turn(q) turn(k)^T * scale + bias) v; pairs (2i, 2i+1) of the first 2E features are turned
// by angle (frame, i).
struct Temporal {
  const float *qkv, *cos, *sin, *bias;
  int64_t B, F_, N, D, P, E, Bb, blocks;
  float scale;
  const float* at(int64_t b, int64_t f, int which, int64_t n) const {
    return qkv + (((b * F_ + f) * 3 + which) * N + n) * D * P;
  }
  const float* bias_of(int64_t b, int64_t n) const {
    return bias + ((Bb == 1 ? 0 : b) * N + n) * F_ * F_;
  }
};
// Work space of one (video, head, sixteen pixels): [frame][feature] vectors.
struct TemporalTile {
  std::vector<f16x> q, k, v, p, g, dk, dv;
  explicit TemporalTile(const Temporal& t, bool backward)
      : q(t.F_ * t.D),
        k(t.F_ * t.D),
        v(t.F_ * t.D),
        p(t.F_ * t.F_),
        g(backward ? t.F_ * t.D : 0),
        dk(g.size()),
        dv(g.size()) {}
};
static inline void load_rows(const float* src, int64_t D, int64_t P, int64_t s, int64_t w,
                             f16x* out) {
  for (int64_t d = 0; d < D; ++d)
    out[d] = w == LANES ? ld(src + d * P + s) : ld_part(src + d * P + s, w);
}
static inline void store_rows(float* dst, int64_t D, int64_t P, int64_t s, int64_t w,
                              const f16x* in) {
  for (int64_t d = 0; d < D; ++d) {
    if (w == LANES)
      st(dst + d * P + s, in[d]);
    else
      st_part(dst + d * P + s, in[d], w);
  }
}
static inline void turn(const Temporal& t, int64_t f, f16x* x, float sign) {
  for (int64_t e = 0; e < t.E; ++e) {
    float c = t.cos[f * t.E + e];
    float s = sign * t.sin[f * t.E + e];
    f16x a = x[2 * e];
    f16x b = x[2 * e + 1];
    x[2 * e] = a * c - b * s;
    x[2 * e + 1] = a * s + b * c;
  }
}
// Loads q, k, v of one tile and leaves the attention weights in tile.p.
static void temporal_weights(const Temporal& t, int64_t b, int64_t n, int64_t s, int64_t w,
                             TemporalTile& m) {
  for (int64_t f = 0; f < t.F_; ++f) {
    load_rows(t.at(b, f, 0, n), t.D, t.P, s, w, &m.q[f * t.D]);
    load_rows(t.at(b, f, 1, n), t.D, t.P, s, w, &m.k[f * t.D]);
    load_rows(t.at(b, f, 2, n), t.D, t.P, s, w, &m.v[f * t.D]);
    for (int64_t d = 0; d < t.D; ++d)
      m.q[f * t.D + d] *= t.scale;
    turn(t, f, &m.q[f * t.D], 1.f);
    turn(t, f, &m.k[f * t.D], 1.f);
  }
  const float* bias = t.bias_of(b, n);
  for (int64_t f = 0; f < t.F_; ++f) {
    f16x top = f16x{} - 3.4e38f, sum = {};
    for (int64_t g = 0; g < t.F_; ++g) {
      f16x acc = f16x{} + bias[f * t.F_ + g], acc2 = {};
      const f16x* q = &m.q[f * t.D];
      const f16x* k = &m.k[g * t.D];
      for (int64_t d = 0; d + 1 < t.D; d += 2) {
        acc += q[d] * k[d];
        acc2 += q[d + 1] * k[d + 1];
      }
      if (t.D & 1)
        acc += q[t.D - 1] * k[t.D - 1];
      m.p[f * t.F_ + g] = acc += acc2;
      top = vmax(top, acc);
    }
    for (int64_t g = 0; g < t.F_; ++g)
      sum += m.p[f * t.F_ + g] = vexp16(m.p[f * t.F_ + g] - top);
    for (int64_t g = 0; g < t.F_; ++g)
      m.p[f * t.F_ + g] /= sum;
  }
}
static void temporal_mix(const Temporal& t, const TemporalTile& m, int64_t f, f16x* out) {
  for (int64_t d = 0; d < t.D; ++d)
    out[d] = f16x{};
  for (int64_t g = 0; g < t.F_; ++g) {
    f16x p = m.p[f * t.F_ + g];
    const f16x* v = &m.v[g * t.D];
    for (int64_t d = 0; d < t.D; ++d)
      out[d] += p * v[d];
  }
}
static Temporal temporal_args(void** P, int64_t** sh, int* nd) {
  Temporal t{F(P[0]), F(P[1]), F(P[2]), F(P[3])};
  t.F_ = sh[1][0];
  t.E = sh[1][1];
  t.N = sh[3][1];
  t.Bb = sh[3][0];
  t.B = sh[0][0] / t.F_;
  t.D = sh[0][1] / (3 * t.N);
  t.P = numel(nd[0] - 2, sh[0] + 2);
  t.blocks = (t.P + LANES - 1) / LANES;
  t.scale = F(P[4])[0];
  return t;
}
static bool temporal_fits(const Temporal& t, int64_t rows, int64_t channels) {
  return t.B * t.F_ == rows && t.D * 3 * t.N == channels && 2 * t.E <= t.D &&
         (t.Bb == 1 || t.Bb == t.B);
}
NK nk_temporal(SIG) {  // qkv cos(F,E) sin bias(B|1,N,F,F) scale(1) -> out(B*F, N*D, ..)
  REQUIRE(np == 6, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Temporal t = temporal_args(P, sh, nd);
  REQUIRE(temporal_fits(t, sh[0][0], sh[0][1]), BAD_SHAPE);
  float* out = F(P[5]);
  ranges(t.B * t.N * t.blocks, t.F_ * t.D * 256, [=](int, int64_t a, int64_t e) {
    TemporalTile m(t, false);
    std::vector<f16x> o(t.D);
    for (int64_t i = a; i < e; ++i) {
      int64_t b = i / (t.N * t.blocks);
      int64_t n = i / t.blocks % t.N;
      int64_t s = i % t.blocks * LANES;
      int64_t w = std::min<int64_t>(LANES, t.P - s);
      temporal_weights(t, b, n, s, w, m);
      for (int64_t f = 0; f < t.F_; ++f) {
        temporal_mix(t, m, f, o.data());
        store_rows(out + ((b * t.F_ + f) * t.N + n) * t.D * t.P, t.D, t.P, s, w, o.data());
      }
    }
  });
  return OK;
}
// One tile of the backward pass; `db` is this chunk's sum of the gradient of the bias (Bb, N, F,
// F).
static void temporal_tile_bwd(const Temporal& t, const float* dout, float* dqkv, double* db,
                              int64_t b, int64_t n, int64_t s, int64_t w, TemporalTile& m,
                              std::vector<f16x>& go, std::vector<f16x>& dp) {
  temporal_weights(t, b, n, s, w, m);
  std::fill(m.dk.begin(), m.dk.end(), f16x{});
  std::fill(m.dv.begin(), m.dv.end(), f16x{});
  double* sums = db + ((t.Bb == 1 ? 0 : b) * t.N + n) * t.F_ * t.F_;
  for (int64_t f = 0; f < t.F_; ++f) {
    load_rows(dout + ((b * t.F_ + f) * t.N + n) * t.D * t.P, t.D, t.P, s, w, go.data());
    f16x mean = {};
    for (int64_t g = 0; g < t.F_; ++g) {
      f16x p = m.p[f * t.F_ + g], acc = {};
      const f16x* v = &m.v[g * t.D];
      f16x* dv = &m.dv[g * t.D];
      for (int64_t d = 0; d < t.D; ++d) {
        acc += go[d] * v[d];
        dv[d] += p * go[d];
      }
      dp[g] = acc;
      mean += p * acc;
    }
    f16x* dq = &m.g[f * t.D];
    const f16x* q = &m.q[f * t.D];
    for (int64_t d = 0; d < t.D; ++d)
      dq[d] = f16x{};
    for (int64_t g = 0; g < t.F_; ++g) {
      f16x ds = m.p[f * t.F_ + g] * (dp[g] - mean);
      const f16x* k = &m.k[g * t.D];
      f16x* dk = &m.dk[g * t.D];
      for (int64_t d = 0; d < t.D; ++d) {
        dq[d] += ds * k[d];
        dk[d] += ds * q[d];
      }
      sums[f * t.F_ + g] += lanes_sum(ds);
    }
  }
  for (int64_t f = 0; f < t.F_; ++f) {
    turn(t, f, &m.g[f * t.D], -1.f);
    turn(t, f, &m.dk[f * t.D], -1.f);
    for (int64_t d = 0; d < t.D; ++d)
      m.g[f * t.D + d] *= t.scale;
    float* row = dqkv + (b * t.F_ + f) * 3 * t.N * t.D * t.P + n * t.D * t.P;
    int64_t third = t.N * t.D * t.P;
    store_rows(row, t.D, t.P, s, w, &m.g[f * t.D]);
    store_rows(row + third, t.D, t.P, s, w, &m.dk[f * t.D]);
    store_rows(row + 2 * third, t.D, t.P, s, w, &m.dv[f * t.D]);
  }
}
NK nk_temporal_bwd(SIG) {  // qkv cos sin bias scale dout -> dqkv dbias
  REQUIRE(np == 8, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Temporal t = temporal_args(P, sh, nd);
  REQUIRE(temporal_fits(t, sh[0][0], sh[0][1]), BAD_SHAPE);
  const float* dout = F(P[5]);
  float* dqkv = F(P[6]);
  float* db = F(P[7]);
  int64_t size = t.Bb * t.N * t.F_ * t.F_;
  std::vector<double> part(size_t(pool().threads()) * 4 * size, 0.0);
  double* W = part.data();
  int chunks = ranges(t.B * t.N * t.blocks, t.F_ * t.D * 512, [=](int id, int64_t a, int64_t e) {
    TemporalTile m(t, true);
    std::vector<f16x> go(t.D), dp(t.F_);
    for (int64_t i = a; i < e; ++i) {
      int64_t b = i / (t.N * t.blocks);
      int64_t n = i / t.blocks % t.N;
      int64_t s = i % t.blocks * LANES;
      temporal_tile_bwd(t, dout, dqkv, W + id * size, b, n, s, std::min<int64_t>(LANES, t.P - s), m,
                        go, dp);
    }
  });
  for (int64_t i = 0; i < size; ++i) {
    double u = 0;
    for (int k = 0; k < chunks; ++k)
      u += W[k * size + i];
    db[i] = float(u);
  }
  return OK;
}
