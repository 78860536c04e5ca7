// The products of an attention's forward pass in bfloat16; scores and sums stay float32.
#pragma once
#include "bf16_tiles.h"
#include "flash_layout.h"

namespace bf16 {
#if HAS_BF16
// Narrow heads and short rows do not fill the tiles.
static bool flash_fits(const Flash& a) { return on() && a.S >= 64 && a.T >= 64 && a.D >= 24; }
// The interface of PlainProducts (flash.h).
struct FlashProducts {
  static const int64_t QUERIES = 64;
  float *keys, *values, *queries, *weights, *rows;
  static int64_t size(const Flash& a) {
    return side_size(a.T, a.D) + side_size(a.Dp, a.T) + side_size(QUERIES, a.D) +
           side_size(QUERIES, BK) + BK * a.Dp;
  }
  FlashProducts(const Flash& a, float* p) {
    keys = p;
    values = keys + side_size(a.T, a.D);
    queries = values + side_size(a.Dp, a.T);
    weights = queries + side_size(QUERIES, a.D);
    rows = weights + side_size(QUERIES, BK);
  }
  void pack(const Flash& a, const Row& r, int64_t low, int64_t high) {
    for (int64_t k0 = low; k0 < high; k0 += BK) {
      const int64_t end = std::min(high, k0 + BK);
      ::pack_rows(a, a.to, r, a.k, k0, end, 1.f, rows);
      pack_rows<true>(rows, a.Dp, end - k0, a.D, keys + k0 / 16 * block_size(a.D));
      ::pack_rows(a, a.to, r, a.v, k0, end, 1.f, rows);
      for (int64_t d = 0; d < a.Dp; d += LANES)
        for (int64_t t = k0; t < end; t += CHUNK)
          pack_across<false>(rows + (t - k0) * a.Dp + d, a.Dp, LANES, end - t,
                             values + d / LANES * block_size(a.T) + t / CHUNK * TILE);
    }
  }
  void take_queries(const Flash& a, const float* q, int64_t n) {
    pack_rows<false>(q, a.Dp, n, a.D, queries);
  }
  void scores(const Flash& a, const float*, int64_t n, int64_t k0, int64_t width, float* s) {
    const int64_t block = block_size(a.D);
    product(n, up16(width) / LANES, chunks_of(a.D), {queries, block},
            {keys + k0 / 16 * block, block}, {s, BK}, {nullptr, 0});
  }
  void weighted(const Flash& a, const float* s, int64_t n, int64_t k0, int64_t width, float* o,
                bool add) {
    product(n, a.Dp / LANES, chunks_of(width), pack_rows<false>(s, BK, n, width, weights),
            {values + k0 / CHUNK * TILE, block_size(a.T)}, {o, a.Dp}, {add ? o : nullptr, a.Dp});
  }
};
#endif
}  // namespace bf16
