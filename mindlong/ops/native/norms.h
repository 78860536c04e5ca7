// GroupNorm with FiLM and SiLU, LayerNorm over the last axis, and the norm over channels.
#pragma once
#include "common.h"

// fwd: x(R,C,..) gamma(C) beta(C) [scale(R,C) shift(R,C)] eps(eps[, frames]) -> y mean(R,G) rstd(R,G)
// With `frames` the statistics are those of that many rows together, B = R / frames, and the first B rows of mean and rstd hold them.
// y = act(((x - mean) * rstd * gamma + beta) * (1 + scale) + shift)
static int gn_fwd(bool silu, int np, void **P, int *nd, int64_t **sh, const char **dt) {
  REQUIRE(np == 7 || np == 9, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  bool film = np == 9;
  int o = film ? 5 : 3;
  const float *x = F(P[0]), *ga = F(P[1]), *be = F(P[2]);
  const float *sc = film ? F(P[3]) : nullptr, *shf = film ? F(P[4]) : nullptr;
  float eps = F(P[o])[0], *y = F(P[o + 1]), *mo = F(P[o + 2]), *ro = F(P[o + 3]);
  int64_t Fr = sh[o][0] > 1 ? int64_t(F(P[o])[1]) : 1;
  int64_t B = sh[0][0] / std::max<int64_t>(Fr, 1), C = sh[0][1], S = numel(nd[0] - 2, sh[0] + 2), G = sh[o + 2][1], K = C / G;
  REQUIRE(K * G == C && Fr > 0 && B * Fr == sh[0][0] && !(film && Fr > 1), BAD_SHAPE);
  std::fill(mo + B * G, mo + B * Fr * G, 0.f), std::fill(ro + B * G, ro + B * Fr * G, 0.f);
  tasks(int(B * G), [=](int t) {
    int64_t b = t / G, g = t % G;
    Moments all;
    for (int64_t f = 0; f < Fr; ++f) all.add(x + ((b * Fr + f) * C + g * K) * S, K * S);
    float m = float(all.mean), r = float(1.0 / std::sqrt(all.m2 / double(K * S * Fr) + eps));
    mo[t] = m, ro[t] = r;
    for (int64_t i = 0; i < K * Fr; ++i) {
      int64_t k = i % K, c = g * K + k, off = ((b * Fr + i / K) * C + g * K) * S;
      float h = film ? 1.f + sc[b * C + c] : 1.f;
      float a = r * ga[c] * h, z0 = be[c] * h + (film ? shf[b * C + c] : 0.f);
      const float *p = x + off + k * S; float *q = y + off + k * S;
      if (silu) {
#pragma omp simd
        for (int64_t i = 0; i < S; ++i) { float z = (p[i] - m) * a + z0; q[i] = z * sigm(z); }
      } else {
#pragma omp simd
        for (int64_t i = 0; i < S; ++i) q[i] = (p[i] - m) * a + z0;
      }
    } });
  return OK;
}
// bwd: x gamma beta [scale shift] eps mean rstd dy -> dx dgamma dbeta [dscale dshift]
static int gn_bwd(bool silu, int np, void **P, int *nd, int64_t **sh, const char **dt) {
  REQUIRE(np == 10 || np == 14, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  bool film = np == 14;
  int o = film ? 6 : 4;
  int64_t Fr = sh[o - 1][0] > 1 ? int64_t(F(P[o - 1])[1]) : 1;
  REQUIRE(Fr > 0 && sh[0][0] % Fr == 0, BAD_SHAPE);
  const float *x = F(P[0]), *ga = F(P[1]), *be = F(P[2]);
  const float *sc = film ? F(P[3]) : nullptr, *shf = film ? F(P[4]) : nullptr;
  const float *mi = F(P[o]), *ri = F(P[o + 1]), *dy = F(P[o + 2]);
  float *dx = F(P[o + 3]), *dga = F(P[o + 4]), *dbe = F(P[o + 5]);
  float *dsc = film ? F(P[o + 6]) : nullptr, *dsh = film ? F(P[o + 7]) : nullptr;
  int64_t B = sh[0][0] / Fr, C = sh[0][1], S = numel(nd[0] - 2, sh[0] + 2), G = sh[o][1], K = C / G;
  std::vector<double> sums(2 * B * C);
  double *s1 = sums.data(), *s2 = s1 + B * C;
  tasks(int(B * G), [=](int t) {
    int64_t b = t / G, g = t % G;
    float m = mi[t], r = ri[t];
    double A = 0, Q = 0;
    for (int64_t n = 0; n < K * Fr; ++n) {
      int64_t k = n % K, c = g * K + k, bc = b * C + c, off = ((b * Fr + n / K) * C + g * K) * S;
      float h = film ? 1.f + sc[bc] : 1.f;
      float a = r * ga[c] * h, z0 = be[c] * h + (film ? shf[bc] : 0.f);
      const float *p = x + off + k * S, *d = dy + off + k * S; float *q = dx + off + k * S;
      double t1 = 0, t2 = 0;
      for (int64_t i0 = 0; i0 < S; i0 += 4096) {
        int64_t i1 = std::min(S, i0 + 4096);
        float u = 0, v = 0;
        if (silu) {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = i0; i < i1; ++i) {
            float xc = p[i] - m, z = xc * a + z0, s = sigm(z);
            float dz = d[i] * s * (1.f + z * (1.f - s));
            q[i] = dz, u += dz, v += dz * xc;
          }
        } else {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = i0; i < i1; ++i) { u += d[i]; v += d[i] * (p[i] - m); }
        }
        t1 += u, t2 += v;
      }
      t2 *= r;
      s1[bc] += t1, s2[bc] += t2;
      A += double(ga[c]) * h * t1, Q += double(ga[c]) * h * t2;
    }
    float Am = float(A / double(K * S * Fr)) * r, Qm = float(Q / double(K * S * Fr)) * r * r;
    for (int64_t n = 0; n < K * Fr; ++n) {
      int64_t k = n % K, c = g * K + k, bc = b * C + c, off = ((b * Fr + n / K) * C + g * K) * S;
      float a = r * ga[c] * (film ? 1.f + sc[bc] : 1.f);
      const float *p = x + off + k * S; float *q = dx + off + k * S;
      const float *d = silu ? q : dy + off + k * S;
#pragma omp simd
      for (int64_t i = 0; i < S; ++i) q[i] = a * d[i] - Am - (p[i] - m) * Qm;
    } });
  for (int64_t c = 0; c < C; ++c) {
    double u = 0, v = 0;
    for (int64_t b = 0; b < B; ++b) {
      int64_t bc = b * C + c;
      double h = film ? 1.0 + sc[bc] : 1.0;
      u += h * s1[bc], v += h * s2[bc];
      if (film) dsc[bc] = float(ga[c] * s2[bc] + be[c] * s1[bc]), dsh[bc] = float(s1[bc]);
    }
    dbe[c] = float(u), dga[c] = float(v);
  }
  return OK;
}
// With and without FiLM under names of their own: MindSpore keeps one backward graph for each name.
NK nk_gn_film(SIG) { return gn_fwd(false, np, P, nd, sh, dt); }
NK nk_gn_film_silu(SIG) { return gn_fwd(true, np, P, nd, sh, dt); }
NK nk_gn_film_bwd(SIG) { return gn_bwd(false, np, P, nd, sh, dt); }
NK nk_gn_film_silu_bwd(SIG) { return gn_bwd(true, np, P, nd, sh, dt); }
NK nk_gn(SIG) { return gn_fwd(false, np, P, nd, sh, dt); }
NK nk_gn_silu(SIG) { return gn_fwd(true, np, P, nd, sh, dt); }
NK nk_gn_bwd(SIG) { return gn_bwd(false, np, P, nd, sh, dt); }
NK nk_gn_silu_bwd(SIG) { return gn_bwd(true, np, P, nd, sh, dt); }

// ----------------------------------------------------------------- LayerNorm
NK nk_ln(SIG) {  // x(..,D) gamma beta eps -> y mean(N) rstd(N)
  REQUIRE(np == 7, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[0][nd[0] - 1], N = numel(nd[5], sh[5]);
  const float *x = F(P[0]), *ga = F(P[1]), *be = F(P[2]); float eps = F(P[3])[0];
  float *y = F(P[4]), *mo = F(P[5]), *ro = F(P[6]);
  ranges(N, 8 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float *p = x + r * D; float *q = y + r * D;
      double mu, m2;
      moments(p, D, mu, m2);
      float m = float(mu), s = float(1.0 / std::sqrt(m2 / double(D) + eps));
      mo[r] = m, ro[r] = s;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i) q[i] = (p[i] - m) * s * ga[i] + be[i];
    } });
  return OK;
}
NK nk_ln_bwd(SIG) {  // x gamma mean rstd dy -> dx dgamma dbeta
  REQUIRE(np == 8, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[0][nd[0] - 1], N = numel(nd[2], sh[2]);
  const float *x = F(P[0]), *ga = F(P[1]), *mi = F(P[2]), *ri = F(P[3]), *dy = F(P[4]);
  float *dx = F(P[5]), *dga = F(P[6]), *dbe = F(P[7]);
  int K = pool().threads() * 4;
  std::vector<float> part(size_t(K) * 2 * D, 0.f);  // per chunk, so no races
  float *W = part.data();
  ranges(N, 12 * D, [=](int id, int64_t a, int64_t b) {
    float *pg = W + id * 2 * D, *pb = pg + D;
    for (int64_t r = a; r < b; ++r) {
      const float *p = x + r * D, *d = dy + r * D; float *q = dx + r * D;
      float m = mi[r], s = ri[r], u = 0, v = 0;
#pragma omp simd reduction(+ : u, v)
      for (int64_t i = 0; i < D; ++i) {
        float xh = (p[i] - m) * s, g = d[i] * ga[i];
        u += g, v += g * xh;
        pg[i] += d[i] * xh, pb[i] += d[i];
      }
      u /= D, v /= D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i) q[i] = s * (d[i] * ga[i] - u - (p[i] - m) * s * v);
    } });
  for (int64_t i = 0; i < D; ++i) {
    double u = 0, v = 0;
    for (int k = 0; k < K; ++k) u += W[k * 2 * D + i], v += W[k * 2 * D + D + i];
    dga[i] = float(u), dbe[i] = float(v);
  }
  return OK;
}

// -------------------------------------------- channel norm (over dim 1, gamma)
static const int64_t CW = 256;  // columns per block: a block of C rows stays in L2
NK nk_cn(SIG) {  // x(B,C,..) gamma(C) eps -> y mean(B,S) rstd(B,S)
  REQUIRE(np == 6, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t B = sh[0][0], C = sh[0][1], S = numel(nd[0] - 2, sh[0] + 2), NB = (S + CW - 1) / CW;
  const float *X = F(P[0]), *ga = F(P[1]); float eps = F(P[2])[0];
  float *Y = F(P[3]), *mo = F(P[4]), *ro = F(P[5]);
  ranges(B * NB, 8 * C * CW, [=](int, int64_t a, int64_t e) {
    float s[CW], q[CW];
    for (int64_t t = a; t < e; ++t) {
      int64_t b = t / NB, s0 = (t % NB) * CW, w = std::min(CW, S - s0), base = b * C * S + s0;
      for (int64_t i = 0; i < w; ++i) s[i] = q[i] = 0;
      for (int64_t c = 0; c < C; ++c) {
        const float *p = X + base + c * S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i) s[i] += p[i];
      }
      for (int64_t i = 0; i < w; ++i) s[i] /= C;
      for (int64_t c = 0; c < C; ++c) {
        const float *p = X + base + c * S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i) { float d = p[i] - s[i]; q[i] += d * d; }
      }
      for (int64_t i = 0; i < w; ++i) {
        q[i] = 1.f / std::sqrt(q[i] / C + eps);
        mo[b * S + s0 + i] = s[i], ro[b * S + s0 + i] = q[i];
      }
      for (int64_t c = 0; c < C; ++c) {
        const float *p = X + base + c * S; float *y = Y + base + c * S, g = ga[c];
#pragma omp simd
        for (int64_t i = 0; i < w; ++i) y[i] = (p[i] - s[i]) * q[i] * g;
      }
    } });
  return OK;
}
NK nk_cn_bwd(SIG) {  // x gamma mean rstd dy -> dx dgamma
  REQUIRE(np == 7, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t B = sh[0][0], C = sh[0][1], S = numel(nd[0] - 2, sh[0] + 2), NB = (S + CW - 1) / CW;
  const float *X = F(P[0]), *ga = F(P[1]), *mi = F(P[2]), *ri = F(P[3]), *DY = F(P[4]);
  float *DX = F(P[5]), *dga = F(P[6]);
  int K = pool().threads() * 4;
  std::vector<double> part(size_t(K) * C, 0.0);
  double *W = part.data();
  ranges(B * NB, 12 * C * CW, [=](int id, int64_t a, int64_t e) {
    float u[CW], v[CW];
    for (int64_t t = a; t < e; ++t) {
      int64_t b = t / NB, s0 = (t % NB) * CW, w = std::min(CW, S - s0), base = b * C * S + s0;
      const float *m = mi + b * S + s0, *r = ri + b * S + s0;
      for (int64_t i = 0; i < w; ++i) u[i] = v[i] = 0;
      for (int64_t c = 0; c < C; ++c) {
        const float *p = X + base + c * S, *d = DY + base + c * S;
        float g = ga[c], acc = 0;
#pragma omp simd reduction(+ : acc)
        for (int64_t i = 0; i < w; ++i) {
          float t2 = d[i] * ((p[i] - m[i]) * r[i]);
          acc += t2, u[i] += d[i] * g, v[i] += t2 * g;
        }
        W[id * C + c] += acc;
      }
      for (int64_t i = 0; i < w; ++i) u[i] /= C, v[i] /= C;
      for (int64_t c = 0; c < C; ++c) {
        const float *p = X + base + c * S, *d = DY + base + c * S; float *q = DX + base + c * S, g = ga[c];
#pragma omp simd
        for (int64_t i = 0; i < w; ++i) q[i] = r[i] * (d[i] * g - u[i] - (p[i] - m[i]) * r[i] * v[i]);
      }
    } });
  for (int64_t c = 0; c < C; ++c) {
    double u = 0;
    for (int k = 0; k < K; ++k) u += W[k * C + c];
    dga[c] = float(u);
  }
  return OK;
}

