// What MindSpore's own CPU kernels do with a table of indices that stays for every place in the
// graph: axes exchanged (8 to 16 bytes an element), numbers of channels that scale and shift (16
// bytes for each sum or product whose sides differ in shape).
#pragma once
#include "vector.h"

// Sixteen rows of `a` by sixteen of `b`: whole lines are read and written.
static void exchange_block(const float* x, int64_t in, float* y, int64_t out, int64_t a,
                           int64_t b) {
  float t[LANES][LANES];
  for (int64_t i = 0; i < a; ++i)
    std::memcpy(t[i], x + i * in, size_t(b) * 4);
  for (int64_t j = 0; j < b; ++j)
    for (int64_t i = 0; i < a; ++i)
      y[j * out + i] = t[i][j];
}
// (A, B) -> (B, A), columns from `first` to `last` of B.
static void exchange_columns(const float* x, float* y, int64_t A, int64_t B, int64_t first,
                             int64_t last) {
  for (int64_t b = first; b < last; b += LANES)
    for (int64_t a = 0; a < A; a += LANES)
      exchange_block(x + a * B + b, B, y + b * A + a, A, std::min<int64_t>(LANES, A - a),
                     std::min<int64_t>(LANES, last - b));
}
NK nk_exchange(SIG) {  // x (N, A, B, I) -> (N, B, A, I)
  REQUIRE(np == 2, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  REQUIRE(nd[0] == 4 && nd[1] == 4, BAD_SHAPE);
  const float* x = F(P[0]);
  float* y = F(P[1]);
  const int64_t A = sh[0][1];
  const int64_t B = sh[0][2];
  const int64_t I = sh[0][3];
  if (I > 1) {
    ranges(sh[0][0] * B, 8 * A * I, [=](int, int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r)
        for (int64_t a = 0; a < A; ++a)
          std::memcpy(y + (r * A + a) * I, x + ((r / B * A + a) * B + r % B) * I, size_t(I) * 4);
    });
    return OK;
  }
  const int64_t strips = (B + LANES - 1) / LANES;
  ranges(sh[0][0] * strips, 8 * A * LANES, [=](int, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      const int64_t b = r % strips * LANES;
      exchange_columns(x + r / strips * A * B, y + r / strips * A * B, A, B, b,
                       std::min(B, b + LANES));
    }
  });
  return OK;
}
NK nk_add_channels(SIG) {  // x (R, C, ..), a (R, C) -> x + a
  REQUIRE(np == 3, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  REQUIRE(nd[0] > 1 && nd[1] == 2 && sh[1][0] == sh[0][0] && sh[1][1] == sh[0][1], BAD_SHAPE);
  const float* x = F(P[0]);
  const float* a = F(P[1]);
  float* y = F(P[2]);
  const int64_t S = numel(nd[0] - 2, sh[0] + 2);
  ranges(sh[0][0] * sh[0][1], 8 * S, [=](int, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      const float* p = x + r * S;
      float* q = y + r * S;
      const float v = a[r];
#pragma omp simd
      for (int64_t i = 0; i < S; ++i)
        q[i] = p[i] + v;
    }
  });
  return OK;
}
NK nk_add_channels_bwd(SIG) {  // dy (R, C, ..) -> da (R, C)
  REQUIRE(np == 2, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* d = F(P[0]);
  float* da = F(P[1]);
  const int64_t S = numel(nd[0] - 2, sh[0] + 2);
  ranges(sh[0][0] * sh[0][1], 4 * S, [=](int, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      double sum = 0;
      for (int64_t i0 = 0; i0 < S; i0 += 4096) {
        float u = 0;
#pragma omp simd reduction(+ : u)
        for (int64_t i = i0; i < std::min(S, i0 + 4096); ++i)
          u += d[r * S + i];
        sum += u;
      }
      da[r] = float(sum);
    }
  });
  return OK;
}

// fn(b, first, count) for strips of the channels of each of B videos: a channel's sum is one
// task's, so that it does not depend on the number of threads.
template <class Fn> static void channel_strips(int64_t B, int64_t D, const Fn& fn) {
  const int64_t strip = 64;
  const int64_t strips = (D + strip - 1) / strip;
  tasks(int(B * strips), [&](int t) {
    const int64_t first = t % strips * strip;
    fn(t / strips, first, std::min(strip, D - first));
  });
}
NK nk_modulate(SIG) {  // x (B, L, D), scale (B, D), shift (B, D) -> x (1 + scale) + shift
  REQUIRE(np == 4, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  REQUIRE(nd[0] == 3 && sh[1][0] == sh[0][0] && sh[1][1] == sh[0][2], BAD_SHAPE);
  const float* x = F(P[0]);
  const float* scale = F(P[1]);
  const float* shift = F(P[2]);
  float* y = F(P[3]);
  const int64_t L = sh[0][1];
  const int64_t D = sh[0][2];
  ranges(sh[0][0] * L, 8 * D, [=](int, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      const float* s = scale + r / L * D;
      const float* m = shift + r / L * D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        y[r * D + i] = x[r * D + i] * (1.f + s[i]) + m[i];
    }
  });
  return OK;
}
NK nk_modulate_bwd(SIG) {  // x, scale, dy -> dx, dscale, dshift
  REQUIRE(np == 6, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* x = F(P[0]);
  const float* scale = F(P[1]);
  const float* dy = F(P[2]);
  float* dx = F(P[3]);
  float* ds = F(P[4]);
  float* dm = F(P[5]);
  const int64_t L = sh[0][1];
  const int64_t D = sh[0][2];
  channel_strips(sh[0][0], D, [=](int64_t b, int64_t c, int64_t n) {
    double s[64] = {0};
    double m[64] = {0};
    for (int64_t r = b * L; r < (b + 1) * L; ++r)
      for (int64_t i = 0; i < n; ++i) {
        const float d = dy[r * D + c + i];
        dx[r * D + c + i] = d * (1.f + scale[b * D + c + i]);
        s[i] += double(d) * x[r * D + c + i];
        m[i] += d;
      }
    for (int64_t i = 0; i < n; ++i) {
      ds[b * D + c + i] = float(s[i]);
      dm[b * D + c + i] = float(m[i]);
    }
  });
  return OK;
}
NK nk_gated(SIG) {  // x (B, L, D), y (B, L, D), gate (B, D) -> x + gate y
  REQUIRE(np == 4, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  REQUIRE(nd[0] == 3 && sh[2][0] == sh[0][0] && sh[2][1] == sh[0][2], BAD_SHAPE);
  REQUIRE(numel(3, sh[0]) == numel(nd[1], sh[1]), BAD_SHAPE);
  const float* x = F(P[0]);
  const float* y = F(P[1]);
  const float* gate = F(P[2]);
  float* out = F(P[3]);
  const int64_t L = sh[0][1];
  const int64_t D = sh[0][2];
  ranges(sh[0][0] * L, 12 * D, [=](int, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r) {
      const float* g = gate + r / L * D;
#pragma omp simd
      for (int64_t i = 0; i < D; ++i)
        out[r * D + i] = x[r * D + i] + g[i] * y[r * D + i];
    }
  });
  return OK;
}
NK nk_gated_bwd(SIG) {  // y, gate, d -> dy, dgate
  REQUIRE(np == 5, BAD_ARITY);
  REQUIRE(all_f32(0, np, dt), BAD_DTYPE);
  const float* y = F(P[0]);
  const float* gate = F(P[1]);
  const float* d = F(P[2]);
  float* dy = F(P[3]);
  float* dg = F(P[4]);
  const int64_t L = sh[0][1];
  const int64_t D = sh[0][2];
  channel_strips(sh[0][0], D, [=](int64_t b, int64_t c, int64_t n) {
    double g[64] = {0};
    for (int64_t r = b * L; r < (b + 1) * L; ++r)
      for (int64_t i = 0; i < n; ++i) {
        dy[r * D + c + i] = d[r * D + c + i] * gate[b * D + c + i];
        g[i] += double(d[r * D + c + i]) * y[r * D + c + i];
      }
    for (int64_t i = 0; i < n; ++i)
      dg[b * D + c + i] = float(g[i]);
  });
  return OK;
}
