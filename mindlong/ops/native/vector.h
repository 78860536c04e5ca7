// Sixteen floats at a time; the compiler maps them to one, two or four registers of the machine.
#pragma once
#include <cstring>

#include "common.h"

typedef float f16x __attribute__((vector_size(64)));
typedef int32_t i16x __attribute__((vector_size(64)));
static const int LANES = 16;
static inline f16x ld(const float *p) { f16x v; std::memcpy(&v, p, 64); return v; }
static inline void st(float *p, f16x v) { std::memcpy(p, &v, 64); }
static inline f16x ld_part(const float *p, int64_t n) { f16x v = {}; std::memcpy(&v, p, size_t(n) * 4); return v; }
static inline void st_part(float *p, f16x v, int64_t n) { std::memcpy(p, &v, size_t(n) * 4); }
static inline f16x vmax(f16x a, f16x b) { return a > b ? a : b; }
static inline f16x vexp16(f16x x) {
  for (int i = 0; i < LANES; ++i) x[i] = vexp(x[i]);  // branch-free, so this becomes vector code
  return x;
}
static inline float lanes_sum(f16x v) { float s = 0; for (int i = 0; i < LANES; ++i) s += v[i]; return s; }
