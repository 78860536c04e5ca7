// GroupNorm with FiLM and SiLU: y = act(((x - mean) * rstd * gamma + beta) * (1 + scale) + shift).
#pragma once
#include "common.h"

// x (R, C, ..) gamma (C) beta (C) [scale (B, C) shift (B, C)] eps (eps[, frames])
//   -> y mean (R, G) rstd (R, G)
//
// With `frames` the statistics are those of that many rows together, B = R / frames, else B = R,
// and the first B rows of mean and rstd hold them.
static int gn_fwd(bool silu, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 7 || np == 9, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  bool film = np == 9;
  int o = film ? 5 : 3;
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float* be = F(P[2]);
  const float* sc = film ? F(P[3]) : nullptr;
  const float* shf = film ? F(P[4]) : nullptr;
  float eps = F(P[o])[0];
  float* y = F(P[o + 1]);
  float* mo = F(P[o + 2]);
  float* ro = F(P[o + 3]);
  int64_t Fr = sh[o][0] > 1 ? int64_t(F(P[o])[1]) : 1;
  int64_t B = sh[0][0] / std::max<int64_t>(Fr, 1);
  int64_t C = sh[0][1];
  int64_t S = numel(nd[0] - 2, sh[0] + 2);
  int64_t G = sh[o + 2][1];
  int64_t K = C / G;
  REQUIRE(K * G == C && Fr > 0 && B * Fr == sh[0][0], BAD_SHAPE);
  REQUIRE(!film || (sh[3][0] == B && sh[4][0] == B), BAD_SHAPE);
  std::fill(mo + B * G, mo + B * Fr * G, 0.f);
  std::fill(ro + B * G, ro + B * Fr * G, 0.f);
  tasks(int(B * G), [=](int t) {
    int64_t b = t / G;
    int64_t g = t % G;
    Moments all;
    for (int64_t f = 0; f < Fr; ++f)
      all.add(x + ((b * Fr + f) * C + g * K) * S, K * S);
    float m = float(all.mean);
    float r = float(1.0 / std::sqrt(all.m2 / double(K * S * Fr) + eps));
    mo[t] = m;
    ro[t] = r;
    for (int64_t i = 0; i < K * Fr; ++i) {
      int64_t k = i % K;
      int64_t c = g * K + k;
      int64_t off = ((b * Fr + i / K) * C + g * K) * S;
      float h = film ? 1.f + sc[b * C + c] : 1.f;
      float a = r * ga[c] * h;
      float z0 = be[c] * h + (film ? shf[b * C + c] : 0.f);
      const float* p = x + off + k * S;
      float* q = y + off + k * S;
      if (silu) {
#pragma omp simd
        for (int64_t i = 0; i < S; ++i) {
          float z = (p[i] - m) * a + z0;
          q[i] = z * sigm(z);
        }
      } else {
#pragma omp simd
        for (int64_t i = 0; i < S; ++i)
          q[i] = (p[i] - m) * a + z0;
      }
    }
  });
  return OK;
}
// x gamma beta [scale shift] eps mean rstd dy -> dx dgamma dbeta [dscale dshift]
static int gn_bwd(bool silu, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 10 || np == 14, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  bool film = np == 14;
  int o = film ? 6 : 4;
  int64_t Fr = sh[o - 1][0] > 1 ? int64_t(F(P[o - 1])[1]) : 1;
  REQUIRE(Fr > 0 && sh[0][0] % Fr == 0, BAD_SHAPE);
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float* be = F(P[2]);
  const float* sc = film ? F(P[3]) : nullptr;
  const float* shf = film ? F(P[4]) : nullptr;
  const float* mi = F(P[o]);
  const float* ri = F(P[o + 1]);
  const float* dy = F(P[o + 2]);
  float* dx = F(P[o + 3]);
  float* dga = F(P[o + 4]);
  float* dbe = F(P[o + 5]);
  float* dsc = film ? F(P[o + 6]) : nullptr;
  float* dsh = film ? F(P[o + 7]) : nullptr;
  int64_t B = sh[0][0] / Fr;
  int64_t C = sh[0][1];
  int64_t S = numel(nd[0] - 2, sh[0] + 2);
  int64_t G = sh[o][1];
  int64_t K = C / G;
  std::vector<double> sums(2 * B * C);
  double* s1 = sums.data();
  double* s2 = s1 + B * C;
  tasks(int(B * G), [=](int t) {
    int64_t b = t / G;
    int64_t g = t % G;
    float m = mi[t];
    float r = ri[t];
    double A = 0;
    double Q = 0;
    for (int64_t n = 0; n < K * Fr; ++n) {
      int64_t k = n % K;
      int64_t c = g * K + k;
      int64_t bc = b * C + c;
      int64_t off = ((b * Fr + n / K) * C + g * K) * S;
      float h = film ? 1.f + sc[bc] : 1.f;
      float a = r * ga[c] * h;
      float z0 = be[c] * h + (film ? shf[bc] : 0.f);
      const float* p = x + off + k * S;
      const float* d = dy + off + k * S;
      float* q = dx + off + k * S;
      double t1 = 0;
      double t2 = 0;
      for (int64_t i0 = 0; i0 < S; i0 += 4096) {
        int64_t i1 = std::min(S, i0 + 4096);
        float u = 0;
        float v = 0;
        if (silu) {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = i0; i < i1; ++i) {
            float xc = p[i] - m;
            float z = xc * a + z0;
            float s = sigm(z);
            float dz = d[i] * s * (1.f + z * (1.f - s));
            q[i] = dz;
            u += dz;
            v += dz * xc;
          }
        } else {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = i0; i < i1; ++i) {
            u += d[i];
            v += d[i] * (p[i] - m);
          }
        }
        t1 += u;
        t2 += v;
      }
      t2 *= r;
      s1[bc] += t1;
      s2[bc] += t2;
      A += double(ga[c]) * h * t1;
      Q += double(ga[c]) * h * t2;
    }
    float Am = float(A / double(K * S * Fr)) * r;
    float Qm = float(Q / double(K * S * Fr)) * r * r;
    for (int64_t n = 0; n < K * Fr; ++n) {
      int64_t k = n % K;
      int64_t c = g * K + k;
      int64_t bc = b * C + c;
      int64_t off = ((b * Fr + n / K) * C + g * K) * S;
      float a = r * ga[c] * (film ? 1.f + sc[bc] : 1.f);
      const float* p = x + off + k * S;
      float* q = dx + off + k * S;
      const float* d = silu ? q : dy + off + k * S;
#pragma omp simd
      for (int64_t i = 0; i < S; ++i)
        q[i] = a * d[i] - Am - (p[i] - m) * Qm;
    }
  });
  for (int64_t c = 0; c < C; ++c) {
    double u = 0;
    double v = 0;
    for (int64_t b = 0; b < B; ++b) {
      int64_t bc = b * C + c;
      double h = film ? 1.0 + sc[bc] : 1.0;
      u += h * s1[bc];
      v += h * s2[bc];
      if (film) {
        dsc[bc] = float(ga[c] * s2[bc] + be[c] * s1[bc]);
        dsh[bc] = float(s1[bc]);
      }
    }
    dbe[c] = float(u);
    dga[c] = float(v);
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
