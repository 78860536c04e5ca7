// Convolution with 3 x 3 or 3 x 1 kernels and stride 1 by minimal filtering (Winograd; arXiv
// 1509.09308): a tile of m x m outputs costs (m + 2)^2 products instead of 9 m^2. Sixteen channels
// are sixteen lanes; products run over tiles x channels.
#pragma once
#include "scratch.h"
#include "tile_product.h"
#include "winograd_tiles.h"

// Images: (row r, channel c, line h, column w) is at p + r * row + c * channel + h * line + w.
struct Plane {
  float* p;
  int64_t row, channel, line;
};
struct Shape {
  int64_t R, H, W, cin, cout;
};

template <class TH, class TW> struct Winograd {
  static constexpr int A = TH::A * TW::A;
  static constexpr int TAPS = TH::K * TW::K;
  static constexpr int DEEP = TH::M + TH::K - 1;
  // Tiles in runs of at most 48 along a line; a block is some runs.
  struct Grid {
    int64_t lines, across, segments, run, runs, block;
    explicit Grid(const Shape& s) {
      lines = (s.H + TH::M - 1) / TH::M;
      across = (s.W + TW::M - 1) / TW::M;
      segments = (across + 47) / 48;
      run = (across + segments - 1) / segments;
      runs = s.R * lines * segments;
      block = std::max<int64_t>(1, 48 / run);
    }
    int64_t blocks() const { return (runs + block - 1) / block; }
  };
  struct Run {
    int64_t row, line, first, tiles;
  };
  static Run run_of(const Grid& g, int64_t i) {
    int64_t s = i % g.segments;
    int64_t l = i / g.segments % g.lines;
    int64_t first = s * g.run;
    return {i / g.segments / g.lines, l, first, std::min(g.run, g.across - first)};
  }
  static int64_t width(const Grid& g) { return g.run * TW::M + TW::K - 1; }
  // Lines [h0, h0 + count) and columns [w0, w0 + n) of sixteen channels as [line][column][channel],
  // zeros outside the image.
  static void fetch(const Shape& s, const Plane& x, int64_t row, int64_t c, int64_t h0, int count,
                    int64_t w0, int64_t n, float* out) {
    int64_t a = std::max<int64_t>(0, -w0);
    int64_t b = std::min(n, s.W - w0);
    for (int i = 0; i < count; ++i, out += n * LANES) {
      int64_t h = h0 + i;
      if (h < 0 || h >= s.H || b <= a) {
        std::memset(out, 0, size_t(n * LANES) * 4);
        continue;
      }
      std::memset(out, 0, size_t(a * LANES) * 4);
      std::memset(out + b * LANES, 0, size_t((n - b) * LANES) * 4);
      const float* p = x.p + row * x.row + c * x.channel + h * x.line + w0 + a;
      for (int k = 0; k < LANES; k += 4)
        turn_rows(p + k * x.channel, p + (k + 1) * x.channel, p + (k + 2) * x.channel,
                  p + (k + 3) * x.channel, b - a, out + a * LANES + k);
    }
  }
  // v[xi * plane + tile * step] of one tile from [line][column][channel].
  template <bool BACK>
  static inline void tile_in(const float* pix, int64_t n, float* v, int64_t plane) {
    constexpr int NH = BACK ? TH::M : DEEP;
    constexpr int NW = BACK ? TW::M : TW::M + TW::K - 1;
    f16x d[NW][NH], t[NW][TH::A], e[NW];
    for (int j = 0; j < NW; ++j) {
      for (int i = 0; i < NH; ++i)
        d[j][i] = ld(pix + (i * n + j) * LANES);
      if (BACK)
        TH::out_back(d[j], t[j]);
      else
        TH::in(d[j], t[j]);
    }
    for (int i = 0; i < TH::A; ++i) {
      f16x o[TW::A];
      for (int j = 0; j < NW; ++j)
        e[j] = t[j][i];
      if (BACK)
        TW::out_back(e, o);
      else
        TW::in(e, o);
      for (int j = 0; j < TW::A; ++j)
        st(v + (i * TW::A + j) * plane, o[j]);
    }
  }
  // The transformed tiles of a run: channel c of tile k is at
  // v + xi * plane + k * tile + (c / 16) * group + c % 16.
  template <bool BACK>
  static void run_in(const Shape& s, const Grid& g, const Plane& x, int64_t channels, const Run& r,
                     float* pix, float* v, int64_t plane, int64_t tile, int64_t group) {
    int64_t halo_h = BACK ? 0 : TH::K / 2;
    int64_t halo_w = BACK ? 0 : TW::K / 2;
    int64_t n = r.tiles * TW::M + 2 * halo_w;
    for (int64_t c = 0; c < channels; c += LANES) {
      fetch(s, x, r.row, c, r.line * TH::M - halo_h, BACK ? TH::M : DEEP, r.first * TW::M - halo_w,
            n, pix);
      for (int64_t k = 0; k < r.tiles; ++k)
        tile_in<BACK>(pix + k * TW::M * LANES, n, v + k * tile + c / LANES * group, plane);
    }
  }
  // The outputs of a run from the products m[xi * plane + k * channels + c], with the bias added.
  static void run_out(const Shape& s, const Plane& y, int64_t channels, const Run& r,
                      const float* bias, const float* m, int64_t plane, float* pix) {
    int64_t n = r.tiles * TW::M;
    int64_t wide = std::min(n, s.W - r.first * TW::M);
    int64_t high = std::min<int64_t>(TH::M, s.H - r.line * TH::M);
    for (int64_t c = 0; c < channels; c += LANES) {
      f16x b = bias ? ld(bias + c) : f16x{};
      for (int64_t k = 0; k < r.tiles; ++k) {
        f16x t[TH::M][TW::A], a[TH::A], o[TH::M], y2[TW::M];
        for (int j = 0; j < TW::A; ++j) {
          for (int i = 0; i < TH::A; ++i)
            a[i] = ld(m + (i * TW::A + j) * plane + k * channels + c);
          TH::out(a, o);
          for (int i = 0; i < TH::M; ++i)
            t[i][j] = o[i];
        }
        for (int i = 0; i < TH::M; ++i) {
          TW::out(t[i], y2);
          for (int j = 0; j < TW::M; ++j)
            st(pix + (i * n + k * TW::M + j) * LANES, y2[j] + b);
        }
      }
      for (int64_t i = 0; i < high; ++i)
        unturn(
            pix + i * n * LANES, wide,
            y.p + r.row * y.row + c * y.channel + (r.line * TH::M + i) * y.line + r.first * TW::M,
            y.channel);
    }
  }
  // [column][channel] back to sixteen rows `step` apart.
  static inline void unturn(const float* pix, int64_t n, float* out, int64_t step) {
    for (int k = 0; k < LANES; k += 4) {
      float* o0 = out + k * step;
      float* o1 = o0 + step;
      float* o2 = o1 + step;
      float* o3 = o2 + step;
      int64_t w = 0;
      for (; w + 4 <= n; w += 4) {
        const float* p = pix + w * LANES + k;
        turn4(p, p + LANES, p + 2 * LANES, p + 3 * LANES, o0 + w, o1 + w, o2 + w, o3 + w);
      }
      for (; w < n; ++w) {
        o0[w] = pix[w * LANES + k];
        o1[w] = pix[w * LANES + k + 1];
        o2[w] = pix[w * LANES + k + 2];
        o3[w] = pix[w * LANES + k + 3];
      }
    }
  }
  // u[xi][out / 16][in][out % 16] of weights whose tap t of (out o, in i) is at
  // w + o * ostep + i * istep + t, or flipped.
  static void taps(const float* w, int64_t in, int64_t out, int64_t ostep, int64_t istep, bool flip,
                   float* u) {
    tasks(int(out / LANES), [=](int p) {
      for (int64_t i = 0; i < in; ++i) {
        f16x g[TW::K][TH::K], t[TW::K][TH::A], e[TW::K], o[TW::A];
        for (int k = 0; k < TAPS; ++k)
          g[k % TW::K][k / TW::K] =
              ld_every(w + p * LANES * ostep + i * istep + (flip ? TAPS - 1 - k : k), ostep);
        for (int j = 0; j < TW::K; ++j)
          TH::tap(g[j], t[j]);
        for (int a = 0; a < TH::A; ++a) {
          for (int j = 0; j < TW::K; ++j)
            e[j] = t[j][a];
          TW::tap(e, o);
          for (int b = 0; b < TW::A; ++b)
            st(u + ((a * TW::A + b) * out + p * LANES) * in + i * LANES, o[b]);
        }
      }
    });
  }
  // y (cout) = x (cin) * w + bias.
  static void run_all(const Shape& s, Plane x, Plane y, const float* w, int64_t ostep,
                      int64_t istep, bool flip, const float* bias) {
    Grid g(s);
    float* u = tl_taps.get(size_t(A * s.cin * s.cout));
    taps(w, s.cin, s.cout, ostep, istep, flip, u);
    int64_t most = g.block * g.run;
    int64_t in_plane = most * s.cin + LANES;
    int64_t out_plane = most * s.cout + LANES;
    tasks(int(g.blocks()), [=](int b) {
      float* v = tl_tiles.get(size_t(A * (in_plane + out_plane) + DEEP * width(g) * LANES));
      float* m = v + A * in_plane;
      float* pix = m + A * out_plane;
      int64_t first = b * g.block;
      int64_t last = std::min(g.runs, first + g.block);
      int64_t n = 0;
      for (int64_t i = first; i < last; ++i) {
        Run r = run_of(g, i);
        run_in<false>(s, g, x, s.cin, r, pix, v + n * s.cin, in_plane, s.cin, LANES);
        n += r.tiles;
      }
      for (int xi = 0; xi < A; ++xi)
        product(n, s.cout / LANES, s.cin, {v + xi * in_plane, s.cin, 1},
                {u + xi * s.cin * s.cout, LANES, s.cin * LANES}, m + xi * out_plane, s.cout, false);
      n = 0;
      for (int64_t i = first; i < last; ++i) {
        Run r = run_of(g, i);
        run_out(s, y, s.cout, r, bias, m + n * s.cout, out_plane, pix);
        n += r.tiles;
      }
    });
  }
};
