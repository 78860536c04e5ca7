// The linear layer's forward pass in bfloat16.
#pragma once
#include "bf16_tiles.h"

namespace bf16 {
#if HAS_BF16
// Rows at once: as tiles in half a megabyte of the second cache, and enough blocks for all threads.
// Their number changes no bit.
static int64_t rows_at_once(int64_t M, int64_t K) {
  const int64_t fit = (128 << 10) / (block_size(K) / 16);
  const int64_t fair = blocks(M, 4 * pool().threads());
  return std::max<int64_t>(32, std::min<int64_t>({384, fit, fair}) / 32 * 32);
}
static void linear(int64_t M, int64_t K, int64_t N, const float* x, const float* w, const float* b,
                   float* y) {
  const int64_t block = block_size(K);
  float* columns = tl_taps.get(size_t(side_size(N, K)));
  tasks(int(N / LANES),
        [=](int p) { pack_rows<true>(w + p * LANES * K, K, LANES, K, columns + p * block); });
  const int64_t rows = rows_at_once(M, K);
  const bool past_cache = M * N >= 4 << 20 && reinterpret_cast<uintptr_t>(y) % 64 == 0;
  tasks(int(blocks(M, rows)), [=](int t) {
    const int64_t i = t * rows;
    const int64_t n = std::min(rows, M - i);
    const Packed left = pack_rows<false>(x + i * K, K, n, K, tl_tiles.get(size_t(side_size(n, K))));
    product(n, N / LANES, chunks_of(K), left, {columns, block}, Target{y + i * N, N, past_cache},
            Start{b, 0});
  });
}
#endif
// Whether it was done so: however many rows there are, as a row's numbers must not depend on how
// many others it has beside it.
static bool linear_done(int64_t M, int64_t K, int64_t N, const float* x, const float* w,
                        const float* b, float* y) {
#if HAS_BF16
  if (on()) {
    linear(M, K, N, x, w, b, y);
    return true;
  }
#endif
  return false;
}
}  // namespace bf16
