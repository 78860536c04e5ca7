// RMS norm over channels with FiLM and SiLU:
// y = act(x / |x| * sqrt(C) * gamma * (1 + scale) + shift).
#pragma once
#include "layout.h"
#include "norms.h"

// A row r of x belongs to video r / (R / B): frames are folded behind the batch.
struct RmsArgs {
  const float *x, *gamma, *scale, *shift;
  int64_t R, C, S, B, blocks;
  bool silu;
  int64_t batch(int64_t r) const { return r / (R / B); }
  float gain(int64_t r, int64_t c) const {
    return gamma[c] * (scale ? 1.f + scale[batch(r) * C + c] : 1.f);
  }
  float add(int64_t r, int64_t c) const { return shift ? shift[batch(r) * C + c] : 0.f; }
};
static RmsArgs rms_args(bool film, bool silu, void** P, int* nd, int64_t** sh) {
  RmsArgs a{F(P[0]), F(P[1]), film ? F(P[2]) : nullptr, film ? F(P[3]) : nullptr};
  a.R = sh[0][0];
  a.C = sh[0][1];
  a.S = numel(nd[0] - 2, sh[0] + 2);
  a.silu = silu;
  a.B = film ? sh[2][0] : 1;
  a.blocks = (a.S + CW - 1) / CW;
  return a;
}
static const float RMS_FLOOR = 1e-12f;  // of the norm, as torch's normalize

// x gamma [scale shift] -> y inv(R,S), with inv = sqrt(C) / max(|x|, 1e-12)
static int rms_fwd(bool silu, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 4 || np == 6, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int o = np - 2;
  RmsArgs a = rms_args(np == 6, silu, P, nd, sh);
  REQUIRE(a.R % a.B == 0, BAD_SHAPE);
  float* Y = F(P[o]);
  float* inv = F(P[o + 1]);
  float root = std::sqrt(float(a.C));
  ranges(a.R * a.blocks, 8 * a.C * CW, [=](int, int64_t t0, int64_t t1) {
    float q[CW];
    for (int64_t t = t0; t < t1; ++t) {
      int64_t r = t / a.blocks;
      int64_t s0 = (t % a.blocks) * CW;
      int64_t w = std::min(CW, a.S - s0);
      int64_t base = r * a.C * a.S + s0;
      for (int64_t i = 0; i < w; ++i)
        q[i] = 0;
      for (int64_t c = 0; c < a.C; ++c) {
        const float* p = a.x + base + c * a.S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i)
          q[i] += p[i] * p[i];
      }
      for (int64_t i = 0; i < w; ++i)
        inv[r * a.S + s0 + i] = q[i] = root / std::max(std::sqrt(q[i]), RMS_FLOOR);
      for (int64_t c = 0; c < a.C; ++c) {
        const float* p = a.x + base + c * a.S;
        float* y = Y + base + c * a.S;
        float g = a.gain(r, c);
        float z0 = a.add(r, c);
        if (a.silu) {
#pragma omp simd
          for (int64_t i = 0; i < w; ++i) {
            float z = p[i] * q[i] * g + z0;
            y[i] = z * sigm(z);
          }
        } else {
#pragma omp simd
          for (int64_t i = 0; i < w; ++i)
            y[i] = p[i] * q[i] * g + z0;
        }
      }
    }
  });
  return OK;
}
// x gamma [scale shift] inv dy -> dx dgamma [dscale dshift]
static int rms_bwd(bool silu, int np, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(np == 6 || np == 10, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  bool film = np == 10;
  int o = film ? 4 : 2;
  RmsArgs a = rms_args(film, silu, P, nd, sh);
  const float* inv = F(P[o]);
  const float* DY = F(P[o + 1]);
  float* DX = F(P[o + 2]);
  float* dg = F(P[o + 3]);
  float floor_inv = std::sqrt(float(a.C)) / RMS_FLOOR * 0.999f;
  int64_t BC = a.B * a.C;
  std::vector<double> part(size_t(pool().threads()) * 4 * 2 * BC, 0.0);  // per chunk, so no races
  double* W = part.data();
  int chunks = ranges(a.R * a.blocks, 12 * a.C * CW, [=](int id, int64_t t0, int64_t t1) {
    float dot[CW];
    for (int64_t t = t0; t < t1; ++t) {
      int64_t r = t / a.blocks;
      int64_t s0 = (t % a.blocks) * CW;
      int64_t w = std::min(CW, a.S - s0);
      int64_t base = r * a.C * a.S + s0;
      const float* n = inv + r * a.S + s0;
      double* w1 = W + size_t(id) * 2 * BC + a.batch(r) * a.C;
      double* w2 = w1 + BC;
      for (int64_t i = 0; i < w; ++i)
        dot[i] = 0;
      for (int64_t c = 0; c < a.C; ++c) {
        const float* p = a.x + base + c * a.S;
        const float* d = DY + base + c * a.S;
        float* q = DX + base + c * a.S;
        float g = a.gain(r, c);
        float z0 = a.add(r, c);
        float u = 0;
        float v = 0;
        if (a.silu) {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = 0; i < w; ++i) {
            float xn = p[i] * n[i];
            float z = xn * g + z0;
            float s = sigm(z);
            float dz = d[i] * s * (1.f + z * (1.f - s));
            u += dz;
            v += dz * xn;
            q[i] = dz * g;
            dot[i] += dz * g * p[i];
          }
        } else {
#pragma omp simd reduction(+ : u, v)
          for (int64_t i = 0; i < w; ++i) {
            u += d[i];
            v += d[i] * p[i] * n[i];
            q[i] = d[i] * g;
            dot[i] += d[i] * g * p[i];
          }
        }
        w1[c] += u;
        w2[c] += v;
      }
      for (int64_t i = 0; i < w; ++i)
        dot[i] = n[i] >= floor_inv ? 0.f : dot[i] * n[i] * n[i] / float(a.C);
      for (int64_t c = 0; c < a.C; ++c) {
        const float* p = a.x + base + c * a.S;
        float* q = DX + base + c * a.S;
#pragma omp simd
        for (int64_t i = 0; i < w; ++i)
          q[i] = n[i] * (q[i] - p[i] * dot[i]);
      }
    }
  });
  for (int64_t c = 0; c < a.C; ++c) {
    double total = 0;
    for (int64_t b = 0; b < a.B; ++b) {
      double u = 0;
      double v = 0;
      for (int k = 0; k < chunks; ++k) {
        u += W[size_t(k) * 2 * BC + b * a.C + c];
        v += W[size_t(k) * 2 * BC + BC + b * a.C + c];
      }
      total += v * (film ? 1.0 + a.scale[b * a.C + c] : 1.0);
      if (film) {
        F(P[o + 4])[b * a.C + c] = float(v * a.gamma[c]);
        F(P[o + 5])[b * a.C + c] = float(u);
      }
    }
    dg[c] = float(total);
  }
  return OK;
}
NK nk_rms_film(SIG) { return rms_fwd(false, np, P, nd, sh, dt); }
NK nk_rms_film_silu(SIG) { return rms_fwd(true, np, P, nd, sh, dt); }
NK nk_rms_film_bwd(SIG) { return rms_bwd(false, np, P, nd, sh, dt); }
NK nk_rms_film_silu_bwd(SIG) { return rms_bwd(true, np, P, nd, sh, dt); }
NK nk_rms(SIG) { return rms_fwd(false, np, P, nd, sh, dt); }
NK nk_rms_silu(SIG) { return rms_fwd(true, np, P, nd, sh, dt); }
NK nk_rms_bwd(SIG) { return rms_bwd(false, np, P, nd, sh, dt); }
NK nk_rms_silu_bwd(SIG) { return rms_bwd(true, np, P, nd, sh, dt); }

// Over the last axis, with eps beneath the root.
NK nk_rms_last(SIG) {  // x (.., D), gamma (D), eps -> y, rroot (N)
  REQUIRE(np == 5, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const int64_t D = sh[0][nd[0] - 1];
  REQUIRE(sh[1][0] == D, BAD_SHAPE);
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float eps = F(P[2])[0];
  float* y = F(P[3]);
  float* rroot = F(P[4]);
  ranges(numel(nd[4], sh[4]), 8 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float* p = x + r * D;
      double sum = 0;
      for (int64_t i0 = 0; i0 < D; i0 += 512) {
        float u = 0;
#pragma omp simd reduction(+ : u)
        for (int64_t i = i0; i < std::min(D, i0 + 512); ++i)
          u += p[i] * p[i];
        sum += u;
      }
      const float s = float(1.0 / std::sqrt(sum / double(D) + eps));
      rroot[r] = s;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        y[r * D + i] = p[i] * s * ga[i];
    }
  });
  return OK;
}
NK nk_rms_last_bwd(SIG) {  // x gamma rroot dy -> dx dgamma
  REQUIRE(np == 6, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const int64_t D = sh[0][nd[0] - 1];
  const int64_t N = numel(nd[2], sh[2]);
  const float* x = F(P[0]);
  const float* ga = F(P[1]);
  const float* rroot = F(P[2]);
  const float* dy = F(P[3]);
  float* dx = F(P[4]);
  float* dga = F(P[5]);
  ranges(N, 12 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float* p = x + r * D;
      const float* d = dy + r * D;
      const float s = rroot[r];
      double sum = 0;
      for (int64_t i0 = 0; i0 < D; i0 += 512) {
        float u = 0;
#pragma omp simd reduction(+ : u)
        for (int64_t i = i0; i < std::min(D, i0 + 512); ++i)
          u += d[i] * ga[i] * p[i];
        sum += u;
      }
      const float along = float(sum / double(D)) * s * s;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        dx[r * D + i] = s * (d[i] * ga[i] - p[i] * along);
    }
  });
  channel_strips(1, D, [=](int64_t, int64_t c, int64_t n) {
    double g[64] = {0};
    for (int64_t r = 0; r < N; ++r)
      for (int64_t i = 0; i < n; ++i)
        g[i] += double(dy[r * D + c + i]) * x[r * D + c + i] * rroot[r];
    for (int64_t i = 0; i < n; ++i)
      dga[c + i] = float(g[i]);
  });
  return OK;
}
