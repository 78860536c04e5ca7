// Half precision on a CPU: conversion with rounding to nearest even, and what overflows as the mode
// says.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

// What becomes of a result that a half does not hold. The 910A saturates: an infinity is the
// largest half, and what is not a number is kept or is 0.
enum class Overflow { INFINITE, SATURATED, SATURATED_NAN_IS_ZERO };
inline Overflow& TheOverflow() {
  static thread_local Overflow mode = Overflow::INFINITE;
  return mode;
}

struct half {
  uint16_t bits;
  half() = default;
  half(float value) : bits(FromFloat(value)) {}
  operator float() const { return Table()[bits]; }

  static uint16_t FromFloat(float value) {
    const uint16_t exact = Ieee(value);
    return (exact & 0x7c00) == 0x7c00 ? Special(exact) : exact;
  }

 private:
  static uint16_t Special(uint16_t h) {  // an infinity, or not a number
    if (TheOverflow() == Overflow::INFINITE)
      return h;
    if ((h & 0x3ff) == 0)
      return (h & 0x8000) | 0x7bff;
    return TheOverflow() == Overflow::SATURATED ? h : 0;
  }
  static uint16_t Ieee(float value) {
    uint32_t x;
    std::memcpy(&x, &value, 4);
    const uint32_t sign = (x >> 16) & 0x8000, mantissa = x & 0x7fffff;
    const int exponent = static_cast<int>((x >> 23) & 255) - 112;
    if (exponent == 143)
      return sign | 0x7c00 | (mantissa ? 0x200 | (mantissa >> 13) : 0);
    if (exponent >= 31)
      return sign | 0x7c00;
    if (exponent < -10)
      return sign;
    if (exponent <= 0)
      return sign | Round(mantissa | 0x800000, 14 - exponent);
    return sign | Round((static_cast<uint32_t>(exponent) << 23) | mantissa, 13);
  }
  static uint32_t Round(uint32_t value, int shift) {  // value / 2^shift to nearest, ties to even
    const uint32_t whole = value >> shift, rest = value & ((1u << shift) - 1);
    const uint32_t tie = 1u << (shift - 1);
    return whole + (rest > tie || (rest == tie && (whole & 1)));
  }
  static float ToFloat(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = (h >> 10) & 31;
    const uint32_t mantissa = h & 0x3ff;
    float value;
    if (exponent == 0) {
      value = static_cast<float>(mantissa) / 16777216.0f;  // 2^-24 is the smallest subnormal
      return sign ? -value : value;
    }
    const uint32_t scaled = exponent == 31 ? 0x7f800000u : (exponent + 112) << 23;
    const uint32_t x = sign | scaled | (mantissa << 13);
    std::memcpy(&value, &x, 4);
    return value;
  }
  static const float* Table() {
    static const std::vector<float> table = [] {
      std::vector<float> t(65536);
      for (uint32_t i = 0; i < 65536; ++i)
        t[i] = ToFloat(static_cast<uint16_t>(i));
      return t;
    }();
    return table.data();
  }
};
