// LayerNorm over the last axis, and the norm over channels.
#pragma once
#include "common.h"

NK nk_ln(SIG) {  // x(..,D) gamma beta eps -> y mean(N) rstd(N)
  REQUIRE(np == 7, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[0][nd[0] - 1];
  int64_t N = numel(nd[5], sh[5]);
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float* be = F(P[2]);
  float eps = F(P[3])[0];
  float* y = F(P[4]);
  float* mo = F(P[5]);
  float* ro = F(P[6]);
  ranges(N, 8 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float* p = x + r * D;
      float* q = y + r * D;
      double mu, m2;
      moments(p, D, mu, m2);
      float m = float(mu);
      float s = float(1.0 / std::sqrt(m2 / double(D) + eps));
      mo[r] = m;
      ro[r] = s;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        q[i] = (p[i] - m) * s * ga[i] + be[i];
    }
  });
  return OK;
}
NK nk_ln_bwd(SIG) {  // x gamma mean rstd dy -> dx dgamma dbeta
  REQUIRE(np == 8, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[0][nd[0] - 1];
  int64_t N = numel(nd[2], sh[2]);
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float* mi = F(P[2]);
  const float* ri = F(P[3]);
  const float* dy = F(P[4]);
  float* dx = F(P[5]);
  float* dga = F(P[6]);
  float* dbe = F(P[7]);
  int K = pool().threads() * 4;
  std::vector<float> part(size_t(K) * 2 * D, 0.f);  // per chunk, so no races
  float* W = part.data();
  ranges(N, 12 * D, [=](int id, int64_t a, int64_t b) {
    float* pg = W + id * 2 * D;
    float* pb = pg + D;
    for (int64_t r = a; r < b; ++r) {
      const float* p = x + r * D;
      const float* d = dy + r * D;
      float* q = dx + r * D;
      float m = mi[r];
      float s = ri[r];
      float u = 0;
      float v = 0;
#pragma omp simd reduction(+ : u, v)
      for (int64_t i = 0; i < D; ++i) {
        float xh = (p[i] - m) * s;
        float g = d[i] * ga[i];
        u += g;
        v += g * xh;
        pg[i] += d[i] * xh;
        pb[i] += d[i];
      }
      u /= D;
      v /= D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        q[i] = s * (d[i] * ga[i] - u - (p[i] - m) * s * v);
    }
  });
  for (int64_t i = 0; i < D; ++i) {
    double u = 0;
    double v = 0;
    for (int k = 0; k < K; ++k) {
      u += W[k * 2 * D + i];
      v += W[k * 2 * D + D + i];
    }
    dga[i] = float(u);
    dbe[i] = float(v);
  }
  return OK;
}

// The norm over channels (axis 1). Columns of a block: a block of C rows stays in the second cache.
static const int64_t CW = 256;
NK nk_cn(SIG) {  // x(B,C,..) gamma(C) eps -> y mean(B,S) rstd(B,S)
  REQUIRE(np == 6, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t B = sh[0][0];
  int64_t C = sh[0][1];
  int64_t S = numel(nd[0] - 2, sh[0] + 2);
  int64_t NB = (S + CW - 1) / CW;
  const float* X = F(P[0]);
  const float* ga = F(P[1]);
  float eps = F(P[2])[0];
  float* Y = F(P[3]);
  float* mo = F(P[4]);
  float* ro = F(P[5]);
  ranges(B * NB, 8 * C * CW, [=](int, int64_t a, int64_t e) {
    float s[CW], q[CW];
    for (int64_t t = a; t < e; ++t) {
      int64_t b = t / NB;
      int64_t s0 = (t % NB) * CW;
      int64_t w = std::min(CW, S - s0);
      int64_t base = b * C * S + s0;
      for (int64_t i = 0; i < w; ++i)
        s[i] = q[i] = 0;
      for (int64_t c = 0; c < C; ++c) {
        const float* p = X + base + c * S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i)
          s[i] += p[i];
      }
      for (int64_t i = 0; i < w; ++i)
        s[i] /= C;
      for (int64_t c = 0; c < C; ++c) {
        const float* p = X + base + c * S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i) {
          float d = p[i] - s[i];
          q[i] += d * d;
        }
      }
      for (int64_t i = 0; i < w; ++i) {
        q[i] = 1.f / std::sqrt(q[i] / C + eps);
        mo[b * S + s0 + i] = s[i];
        ro[b * S + s0 + i] = q[i];
      }
      for (int64_t c = 0; c < C; ++c) {
        const float* p = X + base + c * S;
        float* y = Y + base + c * S;
        float g = ga[c];
#pragma omp simd
        for (int64_t i = 0; i < w; ++i)
          y[i] = (p[i] - s[i]) * q[i] * g;
      }
    }
  });
  return OK;
}
NK nk_cn_bwd(SIG) {  // x gamma mean rstd dy -> dx dgamma
  REQUIRE(np == 7, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t B = sh[0][0];
  int64_t C = sh[0][1];
  int64_t S = numel(nd[0] - 2, sh[0] + 2);
  int64_t NB = (S + CW - 1) / CW;
  const float* X = F(P[0]);
  const float* ga = F(P[1]);
  const float* mi = F(P[2]);
  const float* ri = F(P[3]);
  const float* DY = F(P[4]);
  float* DX = F(P[5]);
  float* dga = F(P[6]);
  int K = pool().threads() * 4;
  std::vector<double> part(size_t(K) * C, 0.0);
  double* W = part.data();
  ranges(B * NB, 12 * C * CW, [=](int id, int64_t a, int64_t e) {
    float u[CW], v[CW];
    for (int64_t t = a; t < e; ++t) {
      int64_t b = t / NB;
      int64_t s0 = (t % NB) * CW;
      int64_t w = std::min(CW, S - s0);
      int64_t base = b * C * S + s0;
      const float* m = mi + b * S + s0;
      const float* r = ri + b * S + s0;
      for (int64_t i = 0; i < w; ++i)
        u[i] = v[i] = 0;
      for (int64_t c = 0; c < C; ++c) {
        const float* p = X + base + c * S;
        const float* d = DY + base + c * S;
        float g = ga[c];
        float acc = 0;
#pragma omp simd reduction(+ : acc)
        for (int64_t i = 0; i < w; ++i) {
          float t2 = d[i] * ((p[i] - m[i]) * r[i]);
          acc += t2;
          u[i] += d[i] * g;
          v[i] += t2 * g;
        }
        W[id * C + c] += acc;
      }
      for (int64_t i = 0; i < w; ++i) {
        u[i] /= C;
        v[i] /= C;
      }
      for (int64_t c = 0; c < C; ++c) {
        const float* p = X + base + c * S;
        const float* d = DY + base + c * S;
        float* q = DX + base + c * S;
        float g = ga[c];
#pragma omp simd
        for (int64_t i = 0; i < w; ++i)
          q[i] = r[i] * (d[i] * g - u[i] - (p[i] - m[i]) * r[i] * v[i]);
      }
    }
  });
  for (int64_t c = 0; c < C; ++c) {
    double u = 0;
    for (int k = 0; k < K; ++k)
      u += W[k * C + c];
    dga[c] = float(u);
  }
  return OK;
}
