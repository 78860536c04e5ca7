// Sixteen floats at a time on any machine: one register of AVX-512, two of AVX, four of NEON or
// SSE2.
//
// Only GCC's vector extensions are used. A vector wider than a register is a pair of halves rather
// than a wide vector type: the compiler keeps the halves in registers, and the wide type in memory.
#pragma once
#include <algorithm>
#include <cstring>

#include "common.h"

#if defined(__AVX512F__)
#define REGISTER_BYTES 64
#elif defined(__AVX__)
#define REGISTER_BYTES 32
#else
#define REGISTER_BYTES 16
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float reg __attribute__((vector_size(REGISTER_BYTES)));
typedef int32_t ireg __attribute__((vector_size(REGISTER_BYTES)));
static const int LANES = 16;
static const int REGISTER_FLOATS = REGISTER_BYTES / 4;
ALWAYS_INLINE reg ld_reg(const float* p) {
  reg v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
ALWAYS_INLINE void st_reg(float* p, reg v) { std::memcpy(p, &v, sizeof(v)); }

template <class Half> struct Pair { Half lo, hi; };
#if REGISTER_BYTES == 64
typedef reg f16x;
#elif REGISTER_BYTES == 32
typedef Pair<reg> f16x;
#else
typedef Pair<Pair<reg> > f16x;
#endif

#define PAIR_OPERATOR(OP)                                                                    \
  template <class Half>                                                                      \
  ALWAYS_INLINE Pair<Half> operator OP(const Pair<Half>& a, const Pair<Half>& b) {           \
    return {a.lo OP b.lo, a.hi OP b.hi};                                                     \
  }                                                                                          \
  template <class Half> ALWAYS_INLINE Pair<Half> operator OP(const Pair<Half>& a, float b) { \
    return {a.lo OP b, a.hi OP b};                                                           \
  }                                                                                          \
  template <class Half> ALWAYS_INLINE Pair<Half> operator OP(float a, const Pair<Half>& b) { \
    return {a OP b.lo, a OP b.hi};                                                           \
  }                                                                                          \
  template <class Half, class Other>                                                         \
  ALWAYS_INLINE Pair<Half>& operator OP##=(Pair<Half>& a, const Other& b) {                  \
    return a = a OP b;                                                                       \
  }
PAIR_OPERATOR(+)
PAIR_OPERATOR(-)
PAIR_OPERATOR(*)
PAIR_OPERATOR(/)
#undef PAIR_OPERATOR
template <class Half> ALWAYS_INLINE Pair<Half> operator-(const Pair<Half>& a) {
  return {-a.lo, -a.hi};
}

// f of every register.
template <class Fn> ALWAYS_INLINE reg each(reg x, const Fn& f) { return f(x); }
template <class Half, class Fn> ALWAYS_INLINE Pair<Half> each(const Pair<Half>& x, const Fn& f) {
  return {each(x.lo, f), each(x.hi, f)};
}

// Register by register: a copy of the whole pair would keep it in memory.
ALWAYS_INLINE void put(float* p, reg v) { st_reg(p, v); }
ALWAYS_INLINE void get(const float* p, reg& v) { v = ld_reg(p); }
template <class Half> ALWAYS_INLINE void put(float* p, const Pair<Half>& v) {
  put(p, v.lo);
  put(p + sizeof(Half) / 4, v.hi);
}
template <class Half> ALWAYS_INLINE void get(const float* p, Pair<Half>& v) {
  get(p, v.lo);
  get(p + sizeof(Half) / 4, v.hi);
}
ALWAYS_INLINE f16x ld(const float* p) {
  f16x v;
  get(p, v);
  return v;
}
ALWAYS_INLINE void st(float* p, const f16x& v) { put(p, v); }
ALWAYS_INLINE f16x ld_part(const float* p, int64_t n) {
  float x[LANES] = {};
  std::memcpy(x, p, size_t(n) * 4);
  return ld(x);
}
ALWAYS_INLINE void st_part(float* p, const f16x& v, int64_t n) {
  float x[LANES];
  st(x, v);
  std::memcpy(p, x, size_t(n) * 4);
}
// Numbers `step` apart.
ALWAYS_INLINE f16x ld_every(const float* p, int64_t step) {
  float x[LANES];
  for (int i = 0; i < LANES; ++i)
    x[i] = p[i * step];
  return ld(x);
}
ALWAYS_INLINE void st_every(float* p, int64_t step, const f16x& v) {
  float x[LANES];
  st(x, v);
  for (int i = 0; i < LANES; ++i)
    p[i * step] = x[i];
}
// Sixteen numbers, or the first n of them.
template <bool WHOLE> ALWAYS_INLINE f16x ld_some(const float* p, int64_t n) {
  if constexpr (WHOLE)
    return ld(p);
  return ld_part(p, n);
}
template <bool WHOLE> ALWAYS_INLINE void st_some(float* p, const f16x& v, int64_t n) {
  if constexpr (WHOLE)
    st(p, v);
  else
    st_part(p, v, n);
}
ALWAYS_INLINE reg vmax(reg a, reg b) { return a > b ? a : b; }
template <class Half> ALWAYS_INLINE Pair<Half> vmax(const Pair<Half>& a, const Pair<Half>& b) {
  return {vmax(a.lo, b.lo), vmax(a.hi, b.hi)};
}
ALWAYS_INLINE float lanes_sum(const f16x& v) {
  float x[LANES], s = 0;
  st(x, v);
  for (int i = 0; i < LANES; ++i)
    s += x[i];
  return s;
}
ALWAYS_INLINE float lanes_max(const f16x& v) {
  float x[LANES], m;
  st(x, v);
  m = x[0];
  for (int i = 1; i < LANES; ++i)
    m = std::max(m, x[i]);
  return m;
}

// e^x as common.h's vexp.
ALWAYS_INLINE f16x vexp16(const f16x& x) {
  return each(x, [](reg v) {
    const reg lowest = reg{} - 87.3f, highest = reg{} + 88.0f;
    v = v < lowest ? lowest : v;
    v = v > highest ? highest : v;
    const float magic = 12582912.f;
    reg t = v * 1.44269504088896f + magic;
    reg n = t - magic;
    reg r = v - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    reg p = reg{} + 1.f / 5040;
    p = p * r + 1.f / 720;
    p = p * r + 1.f / 120;
    p = p * r + 1.f / 24;
    p = p * r + 1.f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.f;
    p = p * r + 1.f;
    return reg(p * (reg)((((ireg)t) - 0x4B400000 + 127) << 23));
  });
}
// 2^x: a polynomial on [-1/2, 1/2] (minimax, relative error 1.5e-7) and the exponent's bits; 0
// below 2^-126, NaN stays.
ALWAYS_INLINE f16x vexp2(const f16x& x) {
  return each(x, [](reg v) {
    const reg lowest = reg{} - 127.f, highest = reg{} + 127.f;
    v = lowest > v ? lowest : v;
    v = highest < v ? highest : v;
    const float magic = 12582912.f;
    reg t = v + magic;
    reg r = v - (t - magic);
    reg p = r * 1.3276471e-3f + 9.6755413e-3f;
    p = p * r + 5.5507133e-2f;
    p = p * r + 2.4022120e-1f;
    p = p * r + 6.9314697e-1f;
    p = p * r + 1.0f;
    return reg(p * (reg)((((ireg)t) - 0x4B400000 + 127) << 23));
  });
}

// Four rows of four numbers, and the same with rows and columns exchanged.
typedef float f4x __attribute__((vector_size(16)));
typedef int32_t i4x __attribute__((vector_size(16)));
#ifdef __clang__
#define SHUFFLED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(a, b, ...) __builtin_shuffle(a, b, i4x{__VA_ARGS__})
#endif
ALWAYS_INLINE void turn4(const float* r0, const float* r1, const float* r2, const float* r3,
                         float* c0, float* c1, float* c2, float* c3) {
  f4x a, b, c, d;
  std::memcpy(&a, r0, 16);
  std::memcpy(&b, r1, 16);
  std::memcpy(&c, r2, 16);
  std::memcpy(&d, r3, 16);
  f4x ab = SHUFFLED(a, b, 0, 4, 1, 5);
  f4x cd = SHUFFLED(c, d, 0, 4, 1, 5);
  f4x AB = SHUFFLED(a, b, 2, 6, 3, 7);
  f4x CD = SHUFFLED(c, d, 2, 6, 3, 7);
  a = SHUFFLED(ab, cd, 0, 1, 4, 5);
  b = SHUFFLED(ab, cd, 2, 3, 6, 7);
  c = SHUFFLED(AB, CD, 0, 1, 4, 5);
  d = SHUFFLED(AB, CD, 2, 3, 6, 7);
  std::memcpy(c0, &a, 16);
  std::memcpy(c1, &b, 16);
  std::memcpy(c2, &c, 16);
  std::memcpy(c3, &d, 16);
}
