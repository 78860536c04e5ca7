// Linear attention over the pixels of a frame, on qkv (R, 3*N*D, P): softmax over features for q, over pixels for k.
#pragma once
#include "vector.h"

// C[i][j] = sum_p A[i][p] B[j][p] * scale, rows of A and B contiguous.
static void rows_by_rows(const float *A, const float *B, int64_t M, int64_t N, int64_t P, float scale, float *C) {
  for (int64_t i = 0; i < M; ++i)
    for (int64_t j0 = 0; j0 < N; j0 += 4) {
      int64_t jn = std::min<int64_t>(4, N - j0);
      f16x acc[4] = {};
      int64_t p = 0;
      for (; p + LANES <= P; p += LANES) {
        f16x a = ld(A + i * P + p);
        for (int64_t j = 0; j < jn; ++j) acc[j] += a * ld(B + (j0 + j) * P + p);
      }
      for (int64_t j = 0; j < jn; ++j) {
        float s = lanes_sum(acc[j]);
        for (int64_t r = p; r < P; ++r) s += A[i * P + r] * B[(j0 + j) * P + r];
        C[i * N + j0 + j] = s * scale;
      }
    }
}
// O[j][p] = sum_i A[i * ai + j * aj] B[i][p]: a small matrix, read either way round, times rows.
static void small_by_rows(const float *A, int64_t ai, int64_t aj, const float *B, int64_t M, int64_t N, int64_t P, float *O) {
  for (int64_t j0 = 0; j0 < N; j0 += 4) {
    int64_t jn = std::min<int64_t>(4, N - j0);
    for (int64_t p = 0; p < P; p += LANES) {
      int64_t w = std::min<int64_t>(LANES, P - p);
      f16x acc[4] = {};
      for (int64_t i = 0; i < M; ++i) {
        f16x b = w == LANES ? ld(B + i * P + p) : ld_part(B + i * P + p, w);
        for (int64_t j = 0; j < jn; ++j) acc[j] += A[i * ai + (j0 + j) * aj] * b;
      }
      for (int64_t j = 0; j < jn; ++j) {
        if (w == LANES) st(O + (j0 + j) * P + p, acc[j]);
        else st_part(O + (j0 + j) * P + p, acc[j], w);
      }
    }
  }
}
static void softmax_features(const float *q, int64_t D, int64_t P, float *out) {
  for (int64_t p = 0; p < P; p += LANES) {
    int64_t w = std::min<int64_t>(LANES, P - p);
    f16x top = f16x{} - 3.4e38f, sum = {};
    for (int64_t d = 0; d < D; ++d) top = vmax(top, w == LANES ? ld(q + d * P + p) : ld_part(q + d * P + p, w));
    for (int64_t d = 0; d < D; ++d) {
      f16x e = vexp16((w == LANES ? ld(q + d * P + p) : ld_part(q + d * P + p, w)) - top);
      sum += e;
      st_part(out + d * P + p, e, w);
    }
    for (int64_t d = 0; d < D; ++d) st_part(out + d * P + p, ld_part(out + d * P + p, w) / sum, w);
  }
}
static void softmax_pixels(const float *k, int64_t D, int64_t P, float *out) {
  for (int64_t d = 0; d < D; ++d) {
    const float *x = k + d * P; float *y = out + d * P, top = x[0], sum = 0;
#pragma omp simd reduction(max : top)
    for (int64_t p = 0; p < P; ++p) top = x[p] > top ? x[p] : top;
#pragma omp simd reduction(+ : sum)
    for (int64_t p = 0; p < P; ++p) sum += y[p] = vexp(x[p] - top);
    float r = 1.f / sum;
#pragma omp simd
    for (int64_t p = 0; p < P; ++p) y[p] *= r;
  }
}
struct Linear {
  int64_t R, N, D, P;
  float scale;
};
static Linear linear_args(void **P, int64_t **sh, int *nd, int out) {
  Linear l;
  l.R = sh[0][0], l.P = numel(nd[0] - 2, sh[0] + 2), l.D = int64_t(F(P[1])[1]), l.scale = F(P[1])[0];
  l.N = sh[out][1] / l.D;
  return l;
}
NK nk_linear_attention(SIG) {  // qkv cfg(scale, D) -> out(R, N*D, ..)
  REQUIRE(np == 3, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Linear l = linear_args(P, sh, nd, 2);
  REQUIRE(3 * l.N * l.D == sh[0][1], BAD_SHAPE);
  const float *qkv = F(P[0]); float *out = F(P[2]);
  ranges(l.R * l.N, l.D * l.P * 64, [=](int, int64_t a, int64_t e) {
    int64_t T = l.D * l.P;
    std::vector<float> q(T), k(T), c(l.D * l.D);
    for (int64_t i = a; i < e; ++i) {
      const float *x = qkv + (i / l.N * 3 * l.N + i % l.N) * T;
      softmax_features(x, l.D, l.P, q.data());
      softmax_pixels(x + l.N * T, l.D, l.P, k.data());
      rows_by_rows(k.data(), x + 2 * l.N * T, l.D, l.D, l.P, l.scale, c.data());
      small_by_rows(c.data(), l.D, 1, q.data(), l.D, l.D, l.P, out + i * T);
    } });
  return OK;
}
NK nk_linear_attention_bwd(SIG) {  // qkv cfg dout -> dqkv
  REQUIRE(np == 4, BAD_ARITY); REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  Linear l = linear_args(P, sh, nd, 2);
  REQUIRE(3 * l.N * l.D == sh[0][1], BAD_SHAPE);
  const float *qkv = F(P[0]), *dout = F(P[2]); float *dqkv = F(P[3]);
  ranges(l.R * l.N, l.D * l.P * 128, [=](int, int64_t a, int64_t e) {
    int64_t T = l.D * l.P, D = l.D, Pn = l.P;
    std::vector<float> q(T), k(T), c(D * D), dc(D * D);
    for (int64_t i = a; i < e; ++i) {
      int64_t at = (i / l.N * 3 * l.N + i % l.N) * T;
      const float *x = qkv + at, *v = x + 2 * l.N * T, *g = dout + i * T;
      float *dq = dqkv + at, *dk = dq + l.N * T, *dv = dk + l.N * T;
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
        for (int64_t d = 0; d < D; ++d) dot += ld_part(&q[d * Pn + p], w) * ld_part(dq + d * Pn + p, w);
        for (int64_t d = 0; d < D; ++d)
          st_part(dq + d * Pn + p, ld_part(&q[d * Pn + p], w) * (ld_part(dq + d * Pn + p, w) - dot), w);
      }
      for (int64_t d = 0; d < D; ++d) {
        const float *s = &k[d * Pn]; float *t = dk + d * Pn, dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t p = 0; p < Pn; ++p) dot += s[p] * t[p];
#pragma omp simd
        for (int64_t p = 0; p < Pn; ++p) t[p] = s[p] * (t[p] - dot);
      }
    } });
  return OK;
}
