// Which convolutions winograd.h computes, their gradients, and the convolution over frames of
// folded images.
#pragma once
#include "bf16_conv.h"
#include "winograd.h"

// Gradient of the weights: the products of a batch of tiles at a time, each number of dU by one
// task in the order of the tiles, so that it does not depend on the number of threads.
template <class TH, class TW> struct WinogradGrad : Winograd<TH, TW> {
  using Base = Winograd<TH, TW>;
  using Grid = typename Base::Grid;
  using Run = typename Base::Run;
  static constexpr int A = Base::A;

  // Runs of one batch: transformed tiles of both sides of about 16 MB.
  static int64_t batch(const Shape& s, const Grid& g) {
    int64_t tiles = std::max<int64_t>(96, (4 << 20) / (A * (s.cin + s.cout)));
    return std::max<int64_t>(1, std::min(g.runs, tiles / g.run));
  }
  static void weights(const Shape& s, Plane x, Plane dy, float* dw) {
    Grid g(s);
    int64_t runs = batch(s, g);
    int64_t most = runs * g.run;
    int64_t vp = most * s.cin + LANES;
    int64_t dp = most * s.cout + LANES;
    int64_t size = s.cin * s.cout;
    Scratch memory;  // not kept: larger than what the other kernels need
    float* v = memory.get(size_t(A * (vp + dp + size)));
    float* d = v + A * vp;
    float* du = d + A * dp;
    const int64_t rows = 96;
    const int64_t chunks = (s.cin + rows - 1) / rows;
    for (int64_t first = 0; first < g.runs; first += runs) {
      int64_t count = std::min(runs, g.runs - first);
      int64_t last = first + count - 1;
      auto before = [=](int64_t i) { return tiles_before(g, i) - tiles_before(g, first); };
      int64_t n = before(last) + Base::run_of(g, last).tiles;
      tasks(int(count), [=](int k) {
        float* pix = tl_tiles.get(size_t(Base::DEEP * Base::width(g) * LANES));
        Run r = Base::run_of(g, first + k);
        int64_t at = before(first + k);
        Base::template run_in<false>(s, g, x, s.cin, r, pix, v + at * s.cin, vp, s.cin, LANES);
        Base::template run_in<true>(s, g, dy, s.cout, r, pix, d + at * LANES, dp, LANES,
                                    most * LANES);
      });
      tasks(int(A * chunks), [=](int t) {
        int64_t xi = t / chunks;
        int64_t c = t % chunks * rows;
        product(std::min(rows, s.cin - c), s.cout / LANES, n, {v + xi * vp + c, 1, s.cin},
                {d + xi * dp, LANES, most * LANES}, du + xi * size + c * s.cout, s.cout, first > 0);
      });
    }
    collect(s, du, dw);
  }
  static int64_t tiles_before(const Grid& g, int64_t i) {
    return i / g.segments * g.across + i % g.segments * g.run;
  }
  // dw (cout, cin, taps) from dU (xi, cin, cout).
  static void collect(const Shape& s, const float* du, float* dw) {
    tasks(int(s.cout / LANES), [=](int p) {
      for (int64_t i = 0; i < s.cin; ++i) {
        f16x t[TH::K][TW::A], a[TH::A], g[TH::K], e[TW::K];
        for (int j = 0; j < TW::A; ++j) {
          for (int k = 0; k < TH::A; ++k)
            a[k] = ld(du + ((k * TW::A + j) * s.cin + i) * s.cout + p * LANES);
          TH::tap_back(a, g);
          for (int k = 0; k < TH::K; ++k)
            t[k][j] = g[k];
        }
        for (int k = 0; k < TH::K; ++k) {
          TW::tap_back(t[k], e);
          for (int j = 0; j < TW::K; ++j)
            st_every(dw + (p * LANES * s.cin + i) * Base::TAPS + k * TW::K + j, s.cin * Base::TAPS,
                     e[j]);
        }
      }
    });
  }
};
// The sum over rows, lines and columns of every channel.
static void channel_sums(int64_t R, int64_t H, int64_t W, int64_t channels, Plane y, float* out) {
  ranges(channels, 4 * R * H * W, [=](int, int64_t a, int64_t e) {
    for (int64_t c = a; c < e; ++c) {
      double sum = 0;
      for (int64_t i = 0; i < R * H; ++i) {
        const float* p = y.p + i / H * y.row + c * y.channel + i % H * y.line;
        float u = 0;
#pragma omp simd reduction(+ : u)
        for (int64_t j = 0; j < W; ++j)
          u += p[j];
        sum += u;
      }
      out[c] = float(sum);
    }
  });
}

enum class Taps { none, square, frames };
// What a convolution with these shapes and this cfg (strides, padding before and after) is to
// winograd.h.
static Taps winograd_fits(int nd, const int64_t* x, const int64_t* w, const int64_t* cfg) {
  if (nd != 4 || cfg[0] != 1 || cfg[1] != 1 || x[1] % LANES || w[0] % LANES)
    return Taps::none;
  if (std::min(x[2], x[3]) >= 2 && w[2] == 3 && w[3] == 3 && cfg[2] == 1 && cfg[3] == 1 &&
      cfg[4] == 1 && cfg[5] == 1)
    return Taps::square;
  return w[2] == 3 && w[3] == 1 && cfg[2] == 1 && cfg[3] == 0 && cfg[4] == 1 && cfg[5] == 0 &&
                 x[2] >= 2
             ? Taps::frames
             : Taps::none;
}
static Plane plain_plane(void* p, int64_t channels, int64_t H, int64_t W) {
  return {F(p), channels * H * W, H * W, W};
}
// Row (b, f) of folded images as line f of the tall image b.
static Plane folded_plane(void* p, int64_t frames, int64_t channels, int64_t pixels) {
  return {F(p), frames * channels * pixels, pixels, channels * pixels};
}
// Four outputs a tile along lines where that costs less, two along columns: 3 products an output
// instead of 9 (frames: 1.5 instead of 3), with errors of a few 1e-6. Four along both would
// cost 2.25, with errors of 1e-5.
static bool by_four(int64_t lines) {
  return (lines + 3) / 4 * Tile4::A < (lines + 1) / 2 * Tile2::A;
}
template <class TH, class TW> struct WinogradBoth {
  static void forward(const Shape& s, Plane x, Plane y, const float* w, const float* bias) {
    constexpr int64_t taps = TH::K * TW::K;
    Winograd<TH, TW>::run_all(s, x, y, w, s.cin * taps, taps, false, bias);
  }
  static void backward(const Shape& s, Plane x, Plane dy, Plane dx, const float* w, float* dw) {
    constexpr int64_t taps = TH::K * TW::K;
    Winograd<TH, TW>::run_all({s.R, s.H, s.W, s.cout, s.cin}, dy, dx, w, taps, s.cin * taps, true,
                              nullptr);
    WinogradGrad<TH, TW>::weights(s, x, dy, dw);
  }
};
// f(the tiles for this convolution).
template <class Fn> static void with_tiles(Taps kind, int64_t lines, const Fn& f) {
  if (kind == Taps::square && by_four(lines))
    f(WinogradBoth<Tile4, Tile2>());
  else if (kind == Taps::square)
    f(WinogradBoth<Tile2, Tile2>());
  else if (by_four(lines))
    f(WinogradBoth<Tile4, Tile1>());
  else
    f(WinogradBoth<Tile2, Tile1>());
}
static void winograd_forward(Taps kind, const Shape& s, Plane x, Plane y, const float* w,
                             const float* bias) {
  if (bf16::convolution_done(s, kind == Taps::square ? 3 : 1, x, y, w, bias))
    return;
  with_tiles(kind, s.H, [&](auto tiles) { tiles.forward(s, x, y, w, bias); });
}
static void winograd_backward(Taps kind, const Shape& s, Plane x, Plane dy, Plane dx,
                              const float* w, float* dw, float* db) {
  with_tiles(kind, s.H, [&](auto tiles) { tiles.backward(s, x, dy, dx, w, dw); });
  if (db)
    channel_sums(s.R, s.H, s.W, s.cout, dy, db);
}
// A convolution over frames, zeros beyond both ends:
// x (B*F, I, ..), w (O, I, 3), b (O), cfg (int64: frames) -> y (B*F, O, ..)
static bool frames_fit(int np, int64_t* const* sh, const char** dt, int nd, const int64_t* frames,
                       int wide) {
  return !std::strcmp(dt[wide], "int64") && sh[0][1] % LANES == 0 && sh[1][0] % LANES == 0 &&
         sh[1][1] == sh[0][1] && sh[1][2] == 3 && *frames > 0 && sh[0][0] % *frames == 0 &&
         numel(nd, sh[0]) > 0;
}
NK nk_frames_conv(SIG) {
  REQUIRE(np == 5, BAD_ARITY);
  REQUIRE(all_f32(0, 3, dt), BAD_DTYPE);
  const int64_t frames = *static_cast<int64_t*>(P[3]);
  const int64_t pixels = numel(nd[0] - 2, sh[0] + 2);
  const int64_t I = sh[0][1];
  const int64_t O = sh[1][0];
  REQUIRE(frames_fit(np, sh, dt, nd[0], &frames, 3), BAD_SHAPE);
  Shape s{sh[0][0] / frames, frames, pixels, I, O};
  winograd_forward(Taps::frames, s, folded_plane(P[0], frames, I, pixels),
                   folded_plane(P[4], frames, O, pixels), F(P[1]), F(P[2]));
  return OK;
}
NK nk_frames_conv_bwd(SIG) {  // x w dy cfg -> dx dw db
  REQUIRE(np == 7, BAD_ARITY);
  REQUIRE(all_f32(0, 3, dt), BAD_DTYPE);
  const int64_t frames = *static_cast<int64_t*>(P[3]);
  const int64_t pixels = numel(nd[0] - 2, sh[0] + 2);
  const int64_t I = sh[0][1];
  const int64_t O = sh[1][0];
  REQUIRE(frames_fit(np, sh, dt, nd[0], &frames, 3), BAD_SHAPE);
  Shape s{sh[0][0] / frames, frames, pixels, I, O};
  winograd_backward(Taps::frames, s, folded_plane(P[0], frames, I, pixels),
                    folded_plane(P[2], frames, O, pixels), folded_plane(P[4], frames, I, pixels),
                    F(P[1]), F(P[5]), F(P[6]));
  return OK;
}
