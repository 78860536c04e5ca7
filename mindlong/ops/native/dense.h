// The linear layer: y = x w^T + b, and its gradients, by packed panels and the products of
// tile_product.h.
#pragma once
#include "bf16_linear.h"

struct Dense {
  int64_t M, K, N;
};  // rows, inputs, outputs

// w (N, K) as panels of sixteen outputs: [N / 16][K][16].
static void outputs_in_lanes(const Dense& d, const float* w, float* out) {
  tasks(int(d.N / LANES), [=](int p) {
    for (int k = 0; k < LANES; k += 4) {
      const float* r = w + (p * LANES + k) * d.K;
      turn_rows(r, r + d.K, r + 2 * d.K, r + 3 * d.K, d.K, out + p * d.K * LANES + k);
    }
  });
}
// Rows [0, n) of x (.., width) from column `first` as panels of sixteen columns: [vectors][n][16].
static void columns_in_lanes(const float* x, int64_t width, int64_t n, int64_t first,
                             int64_t vectors, float* out) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < vectors; ++j)
      st(out + (j * n + i) * LANES, ld(x + i * width + first + j * LANES));
}
static void by_rows(int64_t M, int64_t vectors, int64_t K, const float* a, const float* panels,
                    const float* bias, float* c) {
  const int64_t rows = M >= 768 ? 96 : 48;
  tasks(int(blocks(M, rows)), [=](int t) {
    int64_t i = t * rows;
    int64_t n = std::min(rows, M - i);
    product(n, vectors, K, {a + i * K, K, 1}, {panels, LANES, K * LANES}, c + i * vectors * LANES,
            vectors * LANES, Start{bias, 0});
  });
}
static void dense_forward(const Dense& d, const float* x, const float* w, const float* b,
                          float* y) {
  float* panels = tl_taps.get(size_t(d.N * d.K));
  outputs_in_lanes(d, w, panels);
  by_rows(d.M, d.N / LANES, d.K, x, panels, b, y);
}
static void dense_inputs(const Dense& d, const float* w, const float* dy, float* dx) {
  float* panels = tl_taps.get(size_t(d.N * d.K));
  tasks(int(d.K / LANES),
        [=](int p) { columns_in_lanes(w, d.K, d.N, p * LANES, 1, panels + p * d.N * LANES); });
  by_rows(d.M, d.K / LANES, d.N, dy, panels, nullptr, dx);
}
// dw (N, K) = dy^T x and db (N): a block of dw by one task, over the rows in order.
static void dense_weights(const Dense& d, const float* x, const float* dy, float* dw, float* db) {
  const int64_t deep = 96;
  int64_t high = 192;
  int64_t wide = 128;  // of a block; the sums are the same for any
  while (high > 48 && blocks(d.N, high) * blocks(d.K, wide) < 4 * pool().threads())
    (wide > 64 ? wide : high) /= 2;
  const int64_t down = blocks(d.N, high);
  const int64_t across = blocks(d.K, wide);
  tasks(int(down * across), [=](int t) {
    int64_t n0 = t / across * high;
    int64_t n = std::min(high, d.N - n0);
    int64_t k0 = t % across * wide;
    int64_t k = std::min(wide, d.K - k0);
    float* panels = tl_tiles.get(size_t(deep * wide));
    double sums[192] = {};
    for (int64_t m = 0; m < d.M; m += deep) {
      int64_t count = std::min(deep, d.M - m);
      columns_in_lanes(x + m * d.K, d.K, count, k0, k / LANES, panels);
      const float* g = dy + m * d.N + n0;
      product(n, k / LANES, count, {g, 1, d.N}, {panels, LANES, count * LANES}, dw + n0 * d.K + k0,
              d.K, m > 0);
      if (!db || k0)
        continue;
      float part[192] = {};
      for (int64_t i = 0; i < count; ++i)
#pragma omp simd
        for (int64_t j = 0; j < n; ++j)
          part[j] += g[i * d.N + j];
      for (int64_t j = 0; j < n; ++j)
        sums[j] += part[j];
    }
    for (int64_t j = 0; db && !k0 && j < n; ++j)
      db[n0 + j] = float(sums[j]);
  });
}
static bool dense_fits(const Dense& d) {
  return d.M > 0 && d.K > 0 && d.N > 0 && d.K % LANES == 0 && d.N % LANES == 0;
}
static int dense_run(bool bias, int np, void** P, int64_t** sh, const char** dt) {
  REQUIRE(np == 3 + bias, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Dense d{sh[0][0], sh[0][1], sh[1][0]};
  REQUIRE(dense_fits(d) && sh[1][1] == d.K, BAD_SHAPE);
  const float* b = bias ? F(P[2]) : nullptr;
  if (!bf16::linear_done(d.M, d.K, d.N, F(P[0]), F(P[1]), b, F(P[2 + bias])))
    dense_forward(d, F(P[0]), F(P[1]), b, F(P[2 + bias]));
  return OK;
}
static int dense_back(bool bias, int np, void** P, int64_t** sh, const char** dt) {
  REQUIRE(np == 5 + bias, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Dense d{sh[0][0], sh[0][1], sh[1][0]};
  REQUIRE(dense_fits(d) && sh[1][1] == d.K && sh[2][0] == d.M && sh[2][1] == d.N, BAD_SHAPE);
  dense_inputs(d, F(P[1]), F(P[2]), F(P[3]));
  dense_weights(d, F(P[0]), F(P[2]), F(P[4]), bias ? F(P[5]) : nullptr);
  return OK;
}
NK nk_linear(SIG) { return dense_run(true, np, P, sh, dt); }  // x (M, K) w (N, K) b (N) -> y (M, N)
NK nk_linear_free(SIG) { return dense_run(false, np, P, sh, dt); }       // without bias
NK nk_linear_bwd(SIG) { return dense_back(true, np, P, sh, dt); }        // x w dy -> dx dw db
NK nk_linear_free_bwd(SIG) { return dense_back(false, np, P, sh, dt); }  // x w dy -> dx dw
