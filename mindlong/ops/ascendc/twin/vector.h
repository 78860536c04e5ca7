// The vector unit.
#pragma once
#include <cmath>

#include "move.h"

namespace AscendC {
inline void BeginVector(uint64_t bytes, double weight = 1) {
  TheCore().Begin(V, std::ceil(bytes / TheCore().rates.vector) * weight);
}
template <typename T> void CheckVector(const LocalTensor<T>& t) {
  TWIN_CHECK(t.memory == UB, "a vector operand is in UB");
  CheckAligned(t.offset);
}
inline void CheckCount(int64_t n) {
  TWIN_CHECK(n > 0, "a vector instruction has at least one element");
}

// ---- n elements in a row ----
template <typename T, typename F>
void Unary(const LocalTensor<T>& to, const LocalTensor<T>& from, int32_t n, double weight, F f) {
  CheckVector(to);
  CheckVector(from);
  CheckCount(n);
  BeginVector(n * sizeof(T), weight);
  from.Read(V, n * sizeof(T));
  to.Write(V, n * sizeof(T));
  T* y = to.Data();
  const T* x = from.Data();
  for (int32_t i = 0; i < n; ++i)
    y[i] = static_cast<T>(f(static_cast<float>(x[i])));
}
template <typename T, typename F>
void Binary(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, int32_t n,
            F f) {
  CheckVector(to);
  CheckVector(a);
  CheckVector(b);
  CheckCount(n);
  BeginVector(n * sizeof(T));
  a.Read(V, n * sizeof(T));
  b.Read(V, n * sizeof(T));
  to.Write(V, n * sizeof(T));
  T* y = to.Data();
  const T *u = a.Data(), *v = b.Data();
  for (int32_t i = 0; i < n; ++i)
    y[i] = static_cast<T>(f(static_cast<float>(u[i]), static_cast<float>(v[i])));
}
inline float Larger(float x, float y) {
  return std::isnan(x) || std::isnan(y) ? NAN : std::max(x, y);
}
inline float Smaller(float x, float y) {
  return std::isnan(x) || std::isnan(y) ? NAN : std::min(x, y);
}

template <typename T>
void Muls(const LocalTensor<T>& to, const LocalTensor<T>& from, const T& s, const int32_t& n) {
  Unary(to, from, n, 1, [&](float x) { return x * static_cast<float>(s); });
}
template <typename T>
void Adds(const LocalTensor<T>& to, const LocalTensor<T>& from, const T& s, const int32_t& n) {
  Unary(to, from, n, 1, [&](float x) { return x + static_cast<float>(s); });
}
template <typename T>
void Exp(const LocalTensor<T>& to, const LocalTensor<T>& from, const int32_t& n) {
  Unary(to, from, n, TheCore().rates.exp, [](float x) { return std::exp(x); });
}
template <typename T>
void Ln(const LocalTensor<T>& to, const LocalTensor<T>& from, const int32_t& n) {
  Unary(to, from, n, TheCore().rates.exp, [](float x) { return std::log(x); });
}
#define TWIN_BINARY(name, expression)                                                   \
  template <typename T>                                                                 \
  void name(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, \
            const int32_t& n) {                                                         \
    Binary(to, a, b, n, [](float x, float y) { return expression; });                   \
  }
TWIN_BINARY(Add, x + y)
TWIN_BINARY(Sub, x - y)
TWIN_BINARY(Mul, x* y)
TWIN_BINARY(Div, x / y)
TWIN_BINARY(Max, Larger(x, y))

template <typename T> void Duplicate(const LocalTensor<T>& to, const T& value, const int32_t& n) {
  CheckVector(to);
  CheckCount(n);
  BeginVector(n * sizeof(T));
  to.Write(V, n * sizeof(T));
  std::fill(to.Data(), to.Data() + n, value);
}

enum class RoundMode { CAST_NONE };
template <typename T, typename U>
void Cast(const LocalTensor<T>& to, const LocalTensor<U>& from, RoundMode, const uint32_t n) {
  CheckVector(to);
  CheckVector(from);
  CheckCount(n);
  BeginVector(n * std::max(sizeof(T), sizeof(U)));
  from.Read(V, n * sizeof(U));
  to.Write(V, n * sizeof(T));
  for (uint32_t i = 0; i < n; ++i)
    to.Data()[i] = static_cast<T>(static_cast<float>(from.Data()[i]));
}
}  // namespace AscendC
