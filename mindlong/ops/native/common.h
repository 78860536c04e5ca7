// What every kernel needs: branch-free maths that the compiler vectorises, moments, and the checks
// of MindSpore's AOT call.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "pool.h"

// Branch-free, so the compiler vectorises loops around them.
template <class To, class From> static inline To same_bits(From v) {
  To out;
  std::memcpy(&out, &v, sizeof(out));
  return out;
}
static inline float as_f(int32_t v) { return same_bits<float>(v); }
static inline int32_t as_i(float v) { return same_bits<int32_t>(v); }
static inline float vexp(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.0f ? 88.0f : x;
  const float magic = 12582912.f;  // 1.5 * 2^23: rounds to nearest integer
  float t = x * 1.44269504088896f + magic;
  float n = t - magic;
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.f / 5040;
  p = p * r + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  return p * as_f((as_i(t) - 0x4B400000 + 127) << 23);
}
static inline float sigm(float x) { return 1.f / (1.f + vexp(-x)); }
// Normal CDF, Abramowitz-Stegun 7.1.26 (absolute error 1.5e-7); also gives exp(-x^2/2), which the
// derivative of GELU needs.
static inline float ncdf(float x, float& e) {
  float z = std::fabs(x) * 0.70710678118f;
  float t = 1.f / (1.f + 0.3275911f * z);
  e = vexp(-z * z);
  float p = t * (0.254829592f +
                 t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  float half = 0.5f * p * e;  // upper tail at |x|
  return x < 0.f ? half : 1.f - half;
}
static inline float gelu1(float x) {
  float e;
  return x * ncdf(x, e);
}
static inline float dgelu1(float x) {
  float e;
  float c = ncdf(x, e);
  return c + x * e * 0.3989422804f;
}

// Mean and sum of squared deviations of runs of floats, chunked (stable, one pass over main
// memory), accumulated in double.
struct Moments {
  double mean = 0;
  double m2 = 0;
  int64_t count = 0;
  void add(const float* x, int64_t n) {
    for (int64_t i = 0; i < n; i += 2048) {
      int64_t k = std::min<int64_t>(2048, n - i);
      const float* p = x + i;
      float s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t j = 0; j < k; ++j)
        s += p[j];
      float mu = s / k;
      float q = 0;
      float c = 0;
#pragma omp simd reduction(+ : q, c)
      for (int64_t j = 0; j < k; ++j) {
        float d = p[j] - mu;
        q += d * d;
        c += d;
      }
      double cm = mu + double(c) / k;
      double cq = q - double(c) * c / k;
      double d = cm - mean;
      m2 += cq + d * d * (double(count) * k / (count + k));
      mean += d * k / (count + k);
      count += k;
    }
  }
};
static void moments(const float* x, int64_t n, double& mean, double& m2) {
  Moments m;
  m.add(x, n);
  mean = m.mean;
  m2 = m.m2;
}

// What MindSpore's AOT call hands over, and its checks.
#define NK extern "C" __attribute__((visibility("default"))) int
#define SIG int np, void **P, int *nd, int64_t **sh, const char **dt, void *, void *
static int64_t numel(int nd, const int64_t* s) {
  int64_t n = 1;
  for (int i = 0; i < nd; ++i)
    n *= s[i];
  return n;
}
static bool all_f32(int from, int to, const char** dt) {
  for (int i = from; i < to; ++i)
    if (std::strcmp(dt[i], "float32"))
      return false;
  return true;
}
enum { OK = 0, BAD_ARITY = 1, BAD_DTYPE = 2, BAD_SHAPE = 3, LIB = 4 };
#define REQUIRE(c, code)                                     \
  do {                                                       \
    if (!(c)) {                                              \
      std::fprintf(stderr, "native %s: %s\n", __func__, #c); \
      return code;                                           \
    }                                                        \
  } while (0)
static inline float* F(void* p) { return static_cast<float*>(p); }

NK nk_empty(SIG) { return OK; }
