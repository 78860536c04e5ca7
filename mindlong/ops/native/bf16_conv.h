// Convolutions with 3 x 3 or 3 x 1 kernels and stride 1 in bfloat16: nine (or three) products of
// the image, moved by a pixel or a line, with the weights of a tap. Minimal filtering would lose
// digits that bfloat16 does not have.
//
// A part of the image lies as [chunk of 32 channels][line][column][32], with zeros around: sixteen
// pixels side by side are a tile of the left side, wherever they start.
#pragma once
#include "bf16_tiles.h"
#include "winograd.h"

namespace bf16 {
#if HAS_BF16
// How an image is cut: `band` lines by `seg` columns a part, which lies in lines of `wide` columns.
struct Cut {
  int64_t half, seg, segments, band, bands, wide, pixels;
  Cut(const Shape& s, int64_t taps_across) {
    half = taps_across / 2;
    segments = (s.W + 63) / 64;
    seg = (s.W + segments - 1) / segments;
    wide = seg + 2 * half;
    bands = (s.H * wide + 383) / 384;
    band = (s.H + bands - 1) / bands;
    bands = (s.H + band - 1) / band;
    pixels = up16((band - 1) * wide + seg);  // from a part's first output to its last
  }
  // Floats of a chunk: the lines above and below too, and what tiles read and packing writes
  // beyond.
  int64_t chunk() const { return ((band + 2) * wide + 64) * 16; }
};
struct Part {
  int64_t row, h, w, lines, columns;
  Part(const Shape& s, const Cut& c, int64_t i) {
    w = i % c.segments * c.seg;
    h = i / c.segments % c.bands * c.band;
    row = i / c.segments / c.bands;
    lines = std::min(c.band, s.H - h);
    columns = std::min(c.seg, s.W - w);
  }
};
// The taps of sixteen outputs: [tap][chunk] tiles from w (.., cin, taps).
static void pack_taps(const float* w, int64_t cin, int64_t taps, float* room, float* tiles) {
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t i = 0; i < LANES * cin; ++i)
      room[i] = w[i * taps + t];
    pack_rows<true>(room, cin, LANES, cin, tiles + t * block_size(cin));
  }
}
static void bring_part(const Shape& s, const Cut& c, const Part& p, const Plane& x, float* out) {
  std::memset(out, 0, size_t(chunks_of(s.cin) * c.chunk()) * 4);
  const int64_t first = std::max<int64_t>(0, p.w - c.half);
  const int64_t last = std::min(s.W, p.w + p.columns + c.half);
  for (int64_t k = 0; k < s.cin; k += CHUNK, out += c.chunk())
    for (int64_t h = std::max<int64_t>(0, p.h - 1); h < std::min(s.H, p.h + p.lines + 1); ++h) {
      const float* in = x.p + p.row * x.row + k * x.channel + h * x.line;
      float* line = out + ((h - p.h + 1) * c.wide + c.half - p.w) * 16;
      // what the last tile of a line writes beyond it is zeros, and the next line comes later
      for (int64_t w = first; w < last; w += 16)
        pack_across<true>(in + w, x.channel, last - w, s.cin - k, line + w * 16);
    }
}
// out (16 CJ channels, pixels) for 16 RI pixels from `pixel` on.
template <int RI, int CJ>
static void part_block(const Cut& c, int64_t cin, int64_t taps_across, const float* part,
                       int64_t pixel, const float* weights, int64_t block, float* out) {
  typedef Block<RI, CJ> B;
  const int64_t chunks = chunks_of(cin);
  B::each([](auto tile, int, int) { zero<decltype(tile)::value>(); });
  const float* r = weights;
  for (int64_t up = 0; up < 3; ++up)
    for (int64_t side = 0; side < taps_across; ++side) {
      const float* l = part + (pixel + up * c.wide + side) * 16;
      for (int64_t k = 0; k < chunks; ++k, l += c.chunk(), r += TILE)
        B::add(l, TILE, r, block);
    }
  alignas(64) float edge[16 * 16];
  B::each([&](auto tile, int i, int j) {
    store<decltype(tile)::value>(edge, 16);
    turn(edge);
    for (int64_t k = 0; k < 16; ++k)
      st(out + (j * 16 + k) * c.pixels + pixel + i * 16, ld(edge + k * 16));
  });
}
template <int CJ>
static void part_columns(const Cut& c, int64_t cin, int64_t taps_across, const float* part,
                         const float* weights, int64_t block, float* out) {
  int64_t i = 0;
  for (; i + 32 <= c.pixels; i += 32)
    part_block<2, CJ>(c, cin, taps_across, part, i, weights, block, out);
  if (i < c.pixels)
    part_block<1, CJ>(c, cin, taps_across, part, i, weights, block, out);
}
static void convolve(const Shape& s, int64_t taps_across, Plane x, Plane y, const float* w,
                     const float* bias) {
  const Cut c(s, taps_across);
  const int64_t taps = 3 * taps_across;
  const int64_t block = taps * block_size(s.cin);
  float* weights = tl_taps.get(size_t(s.cout / LANES * block));
  tasks(int(s.cout / LANES), [=](int p) {
    float* room = tl_tiles.get(size_t(LANES * s.cin));
    pack_taps(w + p * LANES * s.cin * taps, s.cin, taps, room, weights + p * block);
  });
  tasks(int(s.R * c.bands * c.segments), [=](int t) {
    const Part p(s, c, t);
    float* part = tl_tiles.get(size_t(chunks_of(s.cin) * c.chunk() + s.cout * c.pixels));
    float* out = part + chunks_of(s.cin) * c.chunk();
    bring_part(s, c, p, x, part);
    {
      Session session;
      int64_t o = 0;
      for (; o + 32 <= s.cout; o += 32)
        part_columns<2>(c, s.cin, taps_across, part, weights + o / LANES * block, block,
                        out + o * c.pixels);
      if (o < s.cout)
        part_columns<1>(c, s.cin, taps_across, part, weights + o / LANES * block, block,
                        out + o * c.pixels);
    }
    for (int64_t o = 0; o < s.cout; ++o)
      for (int64_t h = 0; h < p.lines; ++h) {
        const float* from = out + o * c.pixels + h * c.wide;
        float* to = y.p + p.row * y.row + o * y.channel + (p.h + h) * y.line + p.w;
        const float b = bias ? bias[o] : 0.f;
#pragma omp simd
        for (int64_t i = 0; i < p.columns; ++i)
          to[i] = from[i] + b;
      }
  });
}
#endif
// Whether it was done so. Few channels do not fill the tiles.
static bool convolution_done(const Shape& s, int64_t taps_across, Plane x, Plane y, const float* w,
                             const float* bias) {
#if HAS_BF16
  if (on() && s.cin >= 32) {
    convolve(s, taps_across, x, y, w, bias);
    return true;
  }
#endif
  return false;
}
}  // namespace bf16
