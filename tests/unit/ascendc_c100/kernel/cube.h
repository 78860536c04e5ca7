// L1 to L0, and the cube.
#pragma once
#include "chip.h"

inline void chip_load(const chip::Box& box, half* d, half* s, uint16_t base, uint8_t count,
                      uint16_t stride, bool transpose) {
  chip::Need(count >= 1 && (stride >= 1 || count == 1), "a load has fractals and a stride");
  for (int r = 0; r < count; ++r) {
    half *x = s + (base + r * uint32_t(stride)) * 256, *y = d + r * 256;
    chip::Inside(chip::l1, x, 512, 32);
    chip::Inside(box, y, 512, 512);
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 16; ++j)
        y[i * 16 + j] = transpose ? x[j * 16 + i] : x[i * 16 + j];
  }
}
inline void load_cbuf_to_ca(half* d, half* s, uint16_t base, uint8_t count, uint16_t stride,
                            uint8_t, int transpose, addr_cal_mode_t) {
  chip_load(chip::l0a, d, s, base, count, stride, transpose);
}
inline void load_cbuf_to_cb(half* d, half* s, uint16_t base, uint8_t count, uint16_t stride,
                            uint8_t, int transpose, addr_cal_mode_t) {
  chip_load(chip::l0b, d, s, base, count, stride, transpose);
}
// c [n/16][m/16][16][16] (+)= a [m/16][k/16][16][16] b [k/16][n/16][16 of n][16 of k].
inline void mad(float* c, half* a, half* b, uint16_t m, uint16_t k, uint16_t n, bool fresh) {
  const bool whole = m % 16 == 0 && k % 16 == 0 && n % 16 == 0;
  chip::Need(whole && m && k && n && m <= 4095 && k <= 4095 && n <= 4095, "sizes of a product");
  chip::Inside(chip::l0a, a, m * k * 2u, 512);
  chip::Inside(chip::l0b, b, k * n * 2u, 512);
  chip::Inside(chip::l0c, c, m * n * 4u, 1024);
  const int kf = k / 16, nf = n / 16;
  std::vector<float> left(m * k), right(k * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < k; ++j)
      left[i * k + j] = chip::From(a[(i / 16 * kf + j / 16) * 256 + i % 16 * 16 + j % 16]);
  for (int i = 0; i < k; ++i)
    for (int j = 0; j < n; ++j)
      right[i * n + j] = chip::From(b[(i / 16 * nf + j / 16) * 256 + j % 16 * 16 + i % 16]);
  for (int i = 0; i < m; ++i) {
    std::vector<float> sum(n, 0.0f);
    auto out = [&](int j) -> float& {
      return c[(j / 16 * (m / 16) + i / 16) * 256 + i % 16 * 16 + j % 16];
    };
    for (int j = 0; j < n && !fresh; ++j)
      sum[j] = out(j);
    for (int x = 0; x < k; ++x)
      for (int j = 0; j < n; ++j)
        sum[j] += left[i * k + x] * right[x * n + j];
    for (int j = 0; j < n; ++j)
      out(j) = sum[j];
  }
}
