// Linear attention over the pixels of a frame, on qkv (R, 3*N*D, P): softmax over features for q,
// over pixels for k.
#pragma once
#include "tile_product.h"

// C[i][j] = sum_p A[i][p] B[j][p] * scale, rows of A and B contiguous; four rows of B at once.
static void rows_by_rows(const float* A, const float* B, int64_t M, int64_t N, int64_t P,
                         float scale, float* C) {
  const int64_t whole = P / LANES * LANES;
  for (int64_t i = 0; i < M; ++i)
    for (int64_t j = 0; j < N; j += 4) {
      const float *a = A + i * P, *b[4];
      for (int64_t k = 0; k < 4; ++k)
        b[k] = B + std::min(j + k, N - 1) * P;  // the last row again where there are no four
      f16x s0 = {}, s1 = {}, s2 = {}, s3 = {};
      for (int64_t p = 0; p < whole; p += LANES) {
        const f16x x = ld(a + p);
        s0 += x * ld(b[0] + p);
        s1 += x * ld(b[1] + p);
        s2 += x * ld(b[2] + p);
        s3 += x * ld(b[3] + p);
      }
      float sums[4] = {lanes_sum(s0), lanes_sum(s1), lanes_sum(s2), lanes_sum(s3)};
      for (int64_t k = 0; k < std::min<int64_t>(4, N - j); ++k) {
        for (int64_t p = whole; p < P; ++p)
          sums[k] += a[p] * b[k][p];
        C[i * N + j + k] = sums[k] * scale;
      }
    }
}
// O[j][p] = sum_i A[i * ai + j * aj] B[i][p]: a small matrix times rows, read either way round (ai
// or aj is 1).
static void small_by_rows(const float* A, int64_t ai, int64_t aj, const float* B, int64_t M,
                          int64_t N, int64_t P, float* O) {
  product(N, P / LANES, M, {A, aj, ai}, {B, P, LANES}, O, P, false);
  const int64_t p = P / LANES * LANES;
  const int64_t w = P - p;
  for (int64_t j = 0; w && j < N; ++j) {
    f16x sum = {};
    for (int64_t i = 0; i < M; ++i)
      sum += A[i * ai + j * aj] * ld_part(B + i * P + p, w);
    st_part(O + j * P + p, sum, w);
  }
}
// Softmax over the D features of `width` pixels from p on, at most sixteen.
template <bool WHOLE>
static inline void softmax_of_pixels(const float* q, int64_t D, int64_t P, int64_t width,
                                     float* out) {
  f16x top = f16x{} - 3.4e38f, sum = {};
  for (int64_t d = 0; d < D; ++d)
    top = vmax(top, ld_some<WHOLE>(q + d * P, width));
  for (int64_t d = 0; d < D; ++d) {
    const f16x e = vexp16(ld_some<WHOLE>(q + d * P, width) - top);
    sum += e;
    st_some<WHOLE>(out + d * P, e, width);
  }
  for (int64_t d = 0; d < D; ++d)
    st_some<WHOLE>(out + d * P, ld_some<WHOLE>(out + d * P, width) / sum, width);
}
static void softmax_features(const float* q, int64_t D, int64_t P, float* out) {
  int64_t p = 0;
  for (; p + LANES <= P; p += LANES)
    softmax_of_pixels<true>(q + p, D, P, LANES, out + p);
  if (p < P)
    softmax_of_pixels<false>(q + p, D, P, P - p, out + p);
}
static void softmax_pixels(const float* k, int64_t D, int64_t P, float* out) {
  for (int64_t d = 0; d < D; ++d) {
    const float* x = k + d * P;
    float* y = out + d * P;
    float top = x[0];
    float sum = 0;
#pragma omp simd reduction(max : top)
    for (int64_t p = 0; p < P; ++p)
      top = x[p] > top ? x[p] : top;
#pragma omp simd reduction(+ : sum)
    for (int64_t p = 0; p < P; ++p)
      sum += y[p] = vexp(x[p] - top);
    float r = 1.f / sum;
#pragma omp simd
    for (int64_t p = 0; p < P; ++p)
      y[p] *= r;
  }
}
struct Linear {
  int64_t R, N, D, P;
  float scale;
};
static Linear linear_args(void** P, int64_t** sh, int* nd, int out) {
  Linear l;
  l.R = sh[0][0];
  l.P = numel(nd[0] - 2, sh[0] + 2);
  l.D = int64_t(F(P[1])[1]);
  l.scale = F(P[1])[0];
  l.N = sh[out][1] / l.D;
  return l;
}
NK nk_linear_attention(SIG) {  // qkv cfg(scale, D) -> out(R, N*D, ..)
  REQUIRE(np == 3, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Linear l = linear_args(P, sh, nd, 2);
  REQUIRE(3 * l.N * l.D == sh[0][1], BAD_SHAPE);
  const float* qkv = F(P[0]);
  float* out = F(P[2]);
  ranges(l.R * l.N, l.D * l.P * 64, [=](int, int64_t a, int64_t e) {
    int64_t T = l.D * l.P;
    std::vector<float> q(T), k(T), c(l.D * l.D);
    for (int64_t i = a; i < e; ++i) {
      const float* x = qkv + (i / l.N * 3 * l.N + i % l.N) * T;
      softmax_features(x, l.D, l.P, q.data());
      softmax_pixels(x + l.N * T, l.D, l.P, k.data());
      rows_by_rows(k.data(), x + 2 * l.N * T, l.D, l.D, l.P, l.scale, c.data());
      small_by_rows(c.data(), l.D, 1, q.data(), l.D, l.D, l.P, out + i * T);
    }
  });
  return OK;
}
NK nk_linear_attention_bwd(SIG) {  // qkv cfg dout -> dqkv
  REQUIRE(np == 4, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Linear l = linear_args(P, sh, nd, 2);
  REQUIRE(3 * l.N * l.D == sh[0][1], BAD_SHAPE);
  const float* qkv = F(P[0]);
  const float* dout = F(P[2]);
  float* dqkv = F(P[3]);
  ranges(l.R * l.N, l.D * l.P * 128, [=](int, int64_t a, int64_t e) {
    int64_t T = l.D * l.P;
    int64_t D = l.D;
    int64_t Pn = l.P;
    std::vector<float> q(T), k(T), c(D * D), dc(D * D);
    for (int64_t i = a; i < e; ++i) {
      int64_t at = (i / l.N * 3 * l.N + i % l.N) * T;
      const float* x = qkv + at;
      const float* v = x + 2 * l.N * T;
      const float* g = dout + i * T;
      float* dq = dqkv + at;
      float* dk = dq + l.N * T;
      float* dv = dk + l.N * T;
      softmax_features(x, D, Pn, q.data());
      softmax_pixels(x + l.N * T, D, Pn, k.data());
      rows_by_rows(k.data(), v, D, D, Pn, l.scale, c.data());
      rows_by_rows(q.data(), g, D, D, Pn, l.scale, dc.data());
      small_by_rows(c.data(), 1, D, g, D, D, Pn, dq);
      small_by_rows(dc.data(), D, 1, k.data(), D, D, Pn, dv);
      small_by_rows(dc.data(), 1, D, v, D, D, Pn, dk);
      for (int64_t p = 0; p < Pn; p += LANES) {
        int64_t w = std::min<int64_t>(LANES, Pn - p);
        f16x dot = {};
        for (int64_t d = 0; d < D; ++d)
          dot += ld_part(&q[d * Pn + p], w) * ld_part(dq + d * Pn + p, w);
        for (int64_t d = 0; d < D; ++d)
          st_part(dq + d * Pn + p, ld_part(&q[d * Pn + p], w) * (ld_part(dq + d * Pn + p, w) - dot),
                  w);
      }
      for (int64_t d = 0; d < D; ++d) {
        const float* s = &k[d * Pn];
        float* t = dk + d * Pn;
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t p = 0; p < Pn; ++p)
          dot += s[p] * t[p];
#pragma omp simd
        for (int64_t p = 0; p < Pn; ++p)
          t[p] = s[p] * (t[p] - dot);
      }
    }
  });
  return OK;
}
