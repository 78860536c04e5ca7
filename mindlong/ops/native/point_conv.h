// Convolutions of one pixel, which are products: y (O, S) = w (O, I) x (I, S) + b for the S pixels
// of every image. oneDNN's form keeps copies of input and output in a layout of its own.
#pragma once
#include "dense.h"

struct PointShape {
  int64_t R, S, cin, cout;
};

// f(image, first pixel, vectors of sixteen pixels) for strips of pixels, of at most half a
// megabyte.
template <class Fn> static void pixel_strips(int64_t R, int64_t S, int64_t channels, const Fn& fn) {
  int64_t wide = 16 * LANES;
  while (wide > 4 * LANES && channels * wide > (128 << 10))
    wide /= 2;
  const int64_t strips = blocks(S, wide);
  tasks(int(R * strips), [&](int t) {
    const int64_t first = t % strips * wide;
    fn(t / strips, first, std::min(wide, S - first) / LANES);
  });
}
// out (R, M, S) = a (M, K) in (R, K, S) + bias; a(m, k) is at w + m * row + k * step. Both strips
// lie packed: lines of images, a power of two apart, would push each other out of the cache.
static void point_product(int64_t R, int64_t S, int64_t M, int64_t K, Left w, const float* in,
                          const float* bias, float* out) {
  pixel_strips(R, S, M + K, [=](int64_t r, int64_t first, int64_t vectors) {
    const int64_t wide = vectors * LANES;
    float* panels = tl_tiles.get(size_t((K + M) * wide));
    float* c = panels + K * wide;
    columns_in_lanes(in + r * K * S, S, K, first, vectors, panels);
    for (int64_t m = 0; bias && m < M; ++m)
      std::fill(c + m * wide, c + (m + 1) * wide, bias[m]);
    product(M, vectors, K, w, {panels, LANES, K * LANES}, c, wide, bias != nullptr);
    for (int64_t m = 0; m < M; ++m)
      std::memcpy(out + (r * M + m) * S + first, c + m * wide, size_t(wide) * 4);
  });
}
// Whether a convolution with these shapes and this cfg (strides, padding before and after) is one.
static bool point_fits(int nd, const int64_t* x, const int64_t* w, const int64_t* cfg) {
  const int n = nd - 2;
  for (int i = 0; i < n; ++i)
    if (w[2 + i] != 1 || cfg[i] != 1 || cfg[n + i] || cfg[2 * n + i])
      return false;
  return x[1] % LANES == 0 && numel(n, x + 2) % LANES == 0 && numel(nd, x) > 0;
}
static PointShape point_shape(int nd, const int64_t* x, const int64_t* w) {
  return {x[0], numel(nd - 2, x + 2), x[1], w[0]};
}
static void point_forward(const PointShape& s, const float* x, const float* w, const float* b,
                          float* y) {
  point_product(s.R, s.S, s.cout, s.cin, {w, s.cin, 1}, x, b, y);
}
static void point_inputs(const PointShape& s, const float* w, const float* dy, float* dx) {
  point_product(s.R, s.S, s.cin, s.cout, {w, 1, s.cin}, dy, nullptr, dx);
}
