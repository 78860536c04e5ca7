// SiLU, exact GELU and GEGLU.
#pragma once
#include "common.h"

template <class Fn> static void map1(int64_t n, const Fn& fn) {
  ranges(n, 8, [&](int, int64_t a, int64_t b) { fn(a, b); });
}
NK nk_silu(SIG) {  // x -> y
  REQUIRE(np == 2, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* x = F(P[0]);
  float* y = F(P[1]);
  map1(numel(nd[0], sh[0]), [=](int64_t a, int64_t b) {
#pragma omp simd
    for (int64_t i = a; i < b; ++i)
      y[i] = x[i] * sigm(x[i]);
  });
  return OK;
}
NK nk_silu_bwd(SIG) {  // x, dy -> dx
  REQUIRE(np == 3, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* x = F(P[0]);
  const float* g = F(P[1]);
  float* d = F(P[2]);
  map1(numel(nd[0], sh[0]), [=](int64_t a, int64_t b) {
#pragma omp simd
    for (int64_t i = a; i < b; ++i) {
      float s = sigm(x[i]);
      d[i] = g[i] * s * (1.f + x[i] * (1.f - s));
    }
  });
  return OK;
}
NK nk_gelu(SIG) {
  REQUIRE(np == 2, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* x = F(P[0]);
  float* y = F(P[1]);
  map1(numel(nd[0], sh[0]), [=](int64_t a, int64_t b) {
#pragma omp simd
    for (int64_t i = a; i < b; ++i)
      y[i] = gelu1(x[i]);
  });
  return OK;
}
NK nk_gelu_bwd(SIG) {
  REQUIRE(np == 3, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* x = F(P[0]);
  const float* g = F(P[1]);
  float* d = F(P[2]);
  map1(numel(nd[0], sh[0]), [=](int64_t a, int64_t b) {
#pragma omp simd
    for (int64_t i = a; i < b; ++i)
      d[i] = g[i] * dgelu1(x[i]);
  });
  return OK;
}
NK nk_geglu(SIG) {  // x(N, 2D) -> y(N, D) = x[:, :D] * gelu(x[:, D:])
  REQUIRE(np == 2, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[1][nd[1] - 1];
  int64_t N = numel(nd[1], sh[1]) / std::max<int64_t>(D, 1);
  REQUIRE(sh[0][nd[0] - 1] == 2 * D, BAD_SHAPE);
  const float* X = F(P[0]);
  float* Y = F(P[1]);
  ranges(N, 12 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float* h = X + r * 2 * D;
      const float* g = h + D;
      float* y = Y + r * D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        y[i] = h[i] * gelu1(g[i]);
    }
  });
  return OK;
}
NK nk_geglu_bwd(SIG) {  // x(N, 2D), dy(N, D) -> dx(N, 2D)
  REQUIRE(np == 3, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  int64_t D = sh[1][nd[1] - 1];
  int64_t N = numel(nd[1], sh[1]) / std::max<int64_t>(D, 1);
  const float* X = F(P[0]);
  const float* G = F(P[1]);
  float* DX = F(P[2]);
  ranges(N, 20 * D, [=](int, int64_t a, int64_t b) {
    for (int64_t r = a; r < b; ++r) {
      const float* h = X + r * 2 * D;
      const float* g = h + D;
      const float* dy = G + r * D;
      float* dh = DX + r * 2 * D;
      float* dg = dh + D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i) {
        float e, c = ncdf(g[i], e);
        dh[i] = dy[i] * g[i] * c;
        dg[i] = dy[i] * h[i] * (c + g[i] * e * 0.3989422804f);
      }
    }
  });
  return OK;
}
