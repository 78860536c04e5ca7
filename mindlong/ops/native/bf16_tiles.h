// Products of bfloat16 numbers with sums in float32, on the matrix unit of newer Intel processors
// (AMX): for runs that ask for it (env.bf16), where the processor and the kernel have it.
//
// Both sides are packed as tiles of a kibibyte, 16 rows (or columns) by 32 steps of the sum:
// [block of 16][chunk of 32 steps][16][32]. A tile of the left side has a row for each of the
// sixteen; one of the right side has a row for each pair of steps.
#pragma once
#include "scratch.h"
#include "tile_product.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define HAS_BF16 1
#include <immintrin.h>
#include <sys/syscall.h>

#include <type_traits>
#else
#define HAS_BF16 0
#endif

namespace bf16 {
static std::atomic<bool> g_wanted{false};
// Whether this process may use the unit: the kernel is asked once.
static bool allowed() {
#if HAS_BF16
  const int ARCH_REQ_XCOMP_PERM = 0x1023;
  const int TILE_DATA = 18;
  static const bool granted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
  return granted;
#else
  return false;
#endif
}
static bool on() { return g_wanted && allowed(); }

static const int64_t CHUNK = 32;  // steps of the sum in a tile
static const int64_t TILE = 256;  // floats of memory
static int64_t chunks_of(int64_t K) { return (K + CHUNK - 1) / CHUNK; }
// Floats of a block of sixteen rows or columns, and of all blocks.
static int64_t block_size(int64_t K) { return chunks_of(K) * TILE; }
static int64_t side_size(int64_t M, int64_t K) { return (M + 15) / 16 * block_size(K); }

// One packed side: block i is at p + i * block.
struct Packed {
  const float* p;
  int64_t block;
};
// Where a product goes. `past_cache`: by stores that do not read the lines before, for what is too
// large to stay in the cache; c and ldc are then multiples of a line.
struct Target {
  float* c;
  int64_t ldc;
  bool past_cache = false;
  Target at(int64_t i, int64_t j = 0) const { return {c + i * ldc + j, ldc, past_cache}; }
};

#if HAS_BF16
typedef __m512i Numbers;

// Sixteen rows of sixteen 32-bit numbers with rows and columns exchanged, in place.
static void turn(float* tile) {
  Numbers r[16], t[16];
  for (int i = 0; i < 16; ++i)
    r[i] = _mm512_load_si512(tile + i * 16);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  // r[4 g + c] holds, in quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
  for (int c = 0; c < 4; ++c) {
    const Numbers a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
    const Numbers b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const Numbers d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xDD);
    const Numbers e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xDD);
    _mm512_store_si512(tile + c * 16, _mm512_shuffle_i32x4(a, b, 0x88));
    _mm512_store_si512(tile + (8 + c) * 16, _mm512_shuffle_i32x4(a, b, 0xDD));
    _mm512_store_si512(tile + (4 + c) * 16, _mm512_shuffle_i32x4(d, e, 0x88));
    _mm512_store_si512(tile + (12 + c) * 16, _mm512_shuffle_i32x4(d, e, 0xDD));
  }
}
ALWAYS_INLINE __m512 ld_first(const float* p, int64_t n) {
  const __mmask16 lanes = n >= 16 ? 0xFFFF : n <= 0 ? 0 : __mmask16((1u << n) - 1);
  return _mm512_maskz_loadu_ps(lanes, p);
}
// The numbers of a, then those of b, rounded to nearest.
ALWAYS_INLINE Numbers rounded(__m512 a, __m512 b) { return Numbers(_mm512_cvtne2ps_pbh(b, a)); }
// The same, each number of a beside its neighbour in b.
ALWAYS_INLINE Numbers rounded_pairs(__m512 a, __m512 b) {
  const Numbers mixed = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(mixed, rounded(a, b));
}
// A tile of at most sixteen rows whose steps lie side by side; zeros behind `steps` and `rows`.
template <bool TURN>
static void pack_along(const float* x, int64_t row, int64_t rows, int64_t steps, float* tile) {
  for (int i = 0; i < 16; ++i) {
    const float* p = x + i * row;
    _mm512_store_si512(tile + i * 16,
                       i < rows ? rounded(ld_first(p, steps), ld_first(p + 16, steps - 16))
                                : _mm512_setzero_si512());
  }
  if (TURN)
    turn(tile);
}
// The same where the sixteen rows lie side by side, and a step is `step` behind the last.
template <bool TURN>
static void pack_across(const float* x, int64_t step, int64_t rows, int64_t steps, float* tile) {
  auto at = [&](int64_t k) {
    return k < steps ? ld_first(x + k * step, rows) : _mm512_setzero_ps();
  };
  for (int k = 0; k < 16; ++k)
    _mm512_store_si512(tile + k * 16, rounded_pairs(at(2 * k), at(2 * k + 1)));
  if (TURN)
    turn(tile);
}
// A left side of M rows of K steps, and a right side of `rows` columns that lie as rows.
template <bool RIGHT>
static Packed pack_rows(const float* x, int64_t row, int64_t M, int64_t K, float* room) {
  for (int64_t i = 0; i < M; i += 16)
    for (int64_t k = 0; k < K; k += CHUNK)
      pack_along<RIGHT>(x + i * row + k, row, M - i, K - k,
                        room + i / 16 * block_size(K) + k / CHUNK * TILE);
  return {room, block_size(K)};
}

// The instructions, with numbers of tiles that the compiler knows.
template <int T> ALWAYS_INLINE void zero() { asm volatile("tilezero %%tmm%c0" ::"i"(T)); }
template <int T> ALWAYS_INLINE void load(const float* p, int64_t step) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(step * 4), "i"(T) : "memory");
}
template <int T> ALWAYS_INLINE void store(float* p, int64_t step) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(step * 4), "i"(T) : "memory");
}
template <int SUM, int A, int B> ALWAYS_INLINE void add_product() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
struct alignas(64) Layout {  // eight tiles of sixteen rows of 64 bytes
  uint8_t palette = 1;
  uint8_t start = 0;
  uint8_t unused[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
struct Session {  // of this thread
  Session() {
    static const Layout layout;
    asm volatile("ldtilecfg %0" ::"m"(layout) : "memory");
  }
  ~Session() { asm volatile("tilerelease"); }
};

// RI x CJ tiles of sums, in registers 0 ..; then RI of the left side and CJ of the right.
template <int RI, int CJ> struct Block {
  static constexpr int A = RI * CJ;
  static constexpr int B = A + RI;
  // f(number of a tile as a type, its row, its column).
  template <int T = 0, class Fn> ALWAYS_INLINE void each(const Fn& f) {
    f(std::integral_constant<int, T>(), T / CJ, T % CJ);
    if constexpr (T + 1 < RI * CJ)
      each<T + 1>(f);
  }
  template <int I = 0> ALWAYS_INLINE void load_left(const float* p, int64_t block) {
    load<A + I>(p + I * block, 16);
    if constexpr (I + 1 < RI)
      load_left<I + 1>(p, block);
  }
  template <int J = 0> ALWAYS_INLINE void load_right(const float* p, int64_t block) {
    load<B + J>(p + J * block, 16);
    if constexpr (J + 1 < CJ)
      load_right<J + 1>(p, block);
  }
  template <int T = 0> ALWAYS_INLINE void multiply() {
    constexpr int LEFT = A + T / CJ;
    constexpr int RIGHT = B + T % CJ;
    add_product<T, LEFT, RIGHT>();
    if constexpr (T + 1 < RI * CJ)
      multiply<T + 1>();
  }
  ALWAYS_INLINE void add(const float* l, int64_t lb, const float* r, int64_t rb) {
    load_left(l, lb);
    load_right(r, rb);
    multiply();
  }
};
// Rows [0, rows) of RI blocks; the last may be short.
template <int RI, int CJ>
static void block_product(int64_t rows, int64_t chunks, Packed l, Packed r, Target to, Start from) {
  typedef Block<RI, CJ> B;
  alignas(64) float edge[16 * 16];
  auto whole = [&](int i) { return rows - i * 16 >= 16; };
  B::each([&](auto tile, int i, int j) {
    constexpr int T = decltype(tile)::value;
    const Start s = from.at(i * 16, j * LANES);
    if (!s.p)
      return zero<T>();
    if (whole(i))
      return load<T>(s.p, s.row);
    for (int64_t k = 0; k < 16; ++k)
      st(edge + k * 16, k < rows - i * 16 ? ld(s.p + k * s.row) : f16x{});
    load<T>(edge, 16);
  });
  for (int64_t k = 0; k < chunks; ++k)
    B::add(l.p + k * TILE, l.block, r.p + k * TILE, r.block);
  B::each([&](auto tile, int i, int j) {
    constexpr int T = decltype(tile)::value;
    const Target out = to.at(i * 16, j * LANES);
    if (whole(i) && !to.past_cache)
      return store<T>(out.c, out.ldc);
    store<T>(edge, 16);
    for (int64_t k = 0; k < std::min<int64_t>(16, rows - i * 16); ++k)
      if (to.past_cache)
        _mm512_stream_ps(out.at(k).c, ld(edge + k * 16));
      else
        st(out.at(k).c, ld(edge + k * 16));
  });
}
// A stripe of 16 CJ columns, by `RI` blocks of rows as long as there are so many, then by fewer.
template <int RI, int CJ>
static void stripe(int64_t M, int64_t chunks, Packed l, Packed r, Target to, Start from) {
  constexpr int64_t rows = RI * 16;
  int64_t i = 0;
  auto left = [&] { return Packed{l.p + i / 16 * l.block, l.block}; };
  for (; M - i > rows - 16; i += rows)
    block_product<RI, CJ>(std::min(rows, M - i), chunks, left(), r, to.at(i), from.at(i));
  if constexpr (RI > 1) {
    constexpr int FEWER = RI - 1;
    if (i < M)
      stripe<FEWER, CJ>(M - i, chunks, left(), r, to.at(i), from.at(i));
  }
}
// `to` (M x 16 vectors) = start + the sides' product over `chunks`.
static void product(int64_t M, int64_t vectors, int64_t chunks, Packed l, Packed r, Target to,
                    Start from) {
  Session session;
  for (int64_t j = 0; j < vectors; j += 2) {
    const Packed b{r.p + j * r.block, r.block};
    const Start s = from.at(0, j * LANES);
    if (j + 1 < vectors)
      stripe<2, 2>(M, chunks, l, b, to.at(0, j * LANES), s);
    else
      stripe<2, 1>(M, chunks, l, b, to.at(0, j * LANES), s);
  }
  if (to.past_cache)
    _mm_sfence();
}
#endif
}  // namespace bf16
