// Convolution and transposed convolution: by minimal filtering or as a product where that fits,
// else by oneDNN.
#pragma once
#include "onednn.h"
#include "point_conv.h"
#include "winograd_conv.h"

// fwd: x w [b] cfg(int64: strides, pads before, pads after) -> y
NK nk_conv(SIG) {
  REQUIRE(np == 4 || np == 5, BAD_ARITY);
  bool bias = np == 5;
  int c = bias ? 3 : 2;
  int n = nd[0] - 2;
  REQUIRE(all_f32(0, c, dt) && !std::strcmp(dt[c], "int64"), BAD_DTYPE);
  REQUIRE((n == 2 || n == 3) && sh[c][0] == 3 * n, BAD_SHAPE);
  const int64_t* cfg = static_cast<int64_t*>(P[c]);
  if (Taps kind = winograd_fits(nd[0], sh[0], sh[1], cfg); kind != Taps::none) {
    const int64_t* x = sh[0];
    const int64_t O = sh[1][0];
    winograd_forward(kind, {x[0], x[2], x[3], x[1], O}, plain_plane(P[0], x[1], x[2], x[3]),
                     plain_plane(P[c + 1], O, x[2], x[3]), F(P[1]), bias ? F(P[2]) : nullptr);
    return OK;
  }
  if (point_fits(nd[0], sh[0], sh[1], cfg)) {
    point_forward(point_shape(nd[0], sh[0], sh[1]), F(P[0]), F(P[1]), bias ? F(P[2]) : nullptr,
                  F(P[c + 1]));
    return OK;
  }
  std::lock_guard<std::mutex> l(dn::g_m);
  REQUIRE(dn::load(), LIB);
  auto* pl = dn::plan(0, nd[0], sh[0], sh[1], sh[c + 1], bias, cfg, cfg + n, cfg + 2 * n);
  REQUIRE(pl, LIB);
  std::vector<void*> d{P[0], P[1]};
  if (bias)
    d.push_back(P[2]);
  d.push_back(P[c + 1]);
  return dn::exec(pl, d.data());
}
// bwd: x w dy cfg -> dx dw [db]
NK nk_conv_bwd(SIG) {
  REQUIRE(np == 6 || np == 7, BAD_ARITY);
  bool bias = np == 7;
  int n = nd[0] - 2;
  REQUIRE(all_f32(0, 3, dt) && !std::strcmp(dt[3], "int64"), BAD_DTYPE);
  const int64_t* cfg = static_cast<int64_t*>(P[3]);
  if (Taps kind = winograd_fits(nd[0], sh[0], sh[1], cfg); kind != Taps::none) {
    const int64_t* x = sh[0];
    const int64_t O = sh[1][0];
    winograd_backward(kind, {x[0], x[2], x[3], x[1], O}, plain_plane(P[0], x[1], x[2], x[3]),
                      plain_plane(P[2], O, x[2], x[3]), plain_plane(P[4], x[1], x[2], x[3]),
                      F(P[1]), F(P[5]), bias ? F(P[6]) : nullptr);
    return OK;
  }
  std::lock_guard<std::mutex> l(dn::g_m);
  REQUIRE(dn::load(), LIB);
  if (point_fits(nd[0], sh[0], sh[1], cfg)) {
    point_inputs(point_shape(nd[0], sh[0], sh[1]), F(P[1]), F(P[2]), F(P[4]));
  } else {
    auto* a = dn::plan(1, nd[0], sh[0], sh[1], sh[2], false, cfg, cfg + n, cfg + 2 * n);
    REQUIRE(a, LIB);
    void* da[3] = {P[2], P[1], P[4]};
    if (int e = dn::exec(a, da))
      return e;
  }
  auto* b = dn::plan(2, nd[0], sh[0], sh[1], sh[2], bias, cfg, cfg + n, cfg + 2 * n);
  REQUIRE(b, LIB);
  void* db[4] = {P[0], P[2], P[5], bias ? P[6] : nullptr};
  return dn::exec(b, db);
}

NK nk_conv_free(SIG) { return nk_conv(np, P, nd, sh, dt, nullptr, nullptr); }
NK nk_conv_free_bwd(SIG) { return nk_conv_bwd(np, P, nd, sh, dt, nullptr, nullptr); }

// Transposed convolution is the convolution's backward-data pass, and the other way round.
// fwd: x w b cfg(int64: strides, pads before, pads after) -> y
NK nk_deconv(SIG) {
  REQUIRE(np == 5, BAD_ARITY);
  int n = nd[0] - 2;
  REQUIRE(all_f32(0, 3, dt) && !std::strcmp(dt[3], "int64"), BAD_DTYPE);
  const int64_t* cfg = static_cast<int64_t*>(P[3]);
  {
    std::lock_guard<std::mutex> l(dn::g_m);
    REQUIRE(dn::load(), LIB);
    auto* pl = dn::plan(1, nd[0], sh[4], sh[1], sh[0], false, cfg, cfg + n, cfg + 2 * n);
    REQUIRE(pl, LIB);
    void* d[3] = {P[0], P[1], P[4]};
    if (int e = dn::exec(pl, d))
      return e;
  }
  int64_t C = sh[4][1];
  int64_t S = numel(nd[4] - 2, sh[4] + 2);
  const float* b = F(P[2]);
  float* y = F(P[4]);
  ranges(sh[4][0] * C, 8 * S, [=](int, int64_t a, int64_t e) {
    for (int64_t r = a; r < e; ++r) {
      float* q = y + r * S;
      float v = b[r % C];
#pragma omp simd
      for (int64_t i = 0; i < S; ++i)
        q[i] += v;
    }
  });
  return OK;
}
// bwd: x w dy cfg -> dx dw db
NK nk_deconv_bwd(SIG) {
  REQUIRE(np == 7, BAD_ARITY);
  int n = nd[0] - 2;
  REQUIRE(all_f32(0, 3, dt) && !std::strcmp(dt[3], "int64"), BAD_DTYPE);
  const int64_t* cfg = static_cast<int64_t*>(P[3]);
  {
    std::lock_guard<std::mutex> l(dn::g_m);
    REQUIRE(dn::load(), LIB);
    auto* a = dn::plan(0, nd[0], sh[2], sh[1], sh[0], false, cfg, cfg + n, cfg + 2 * n);
    auto* b = dn::plan(2, nd[0], sh[2], sh[1], sh[0], false, cfg, cfg + n, cfg + 2 * n);
    REQUIRE(a && b, LIB);
    void* da[3] = {P[2], P[1], P[4]};
    if (int e = dn::exec(a, da))
      return e;
    void* db[3] = {P[2], P[0], P[5]};
    if (int e = dn::exec(b, db))
      return e;
  }
  int64_t B = sh[2][0];
  int64_t C = sh[2][1];
  int64_t S = numel(nd[2] - 2, sh[2] + 2);
  const float* dy = F(P[2]);
  float* db = F(P[6]);
  tasks(int(C), [=](int c) {
    double sum = 0;
    for (int64_t r = 0; r < B; ++r) {
      const float* p = dy + (r * C + c) * S;
      for (int64_t i0 = 0; i0 < S; i0 += 4096) {
        float u = 0;
        int64_t i1 = std::min(S, i0 + 4096);
#pragma omp simd reduction(+ : u)
        for (int64_t i = i0; i < i1; ++i)
          u += p[i];
        sum += u;
      }
    }
    db[c] = float(sum);
  });
  return OK;
}
