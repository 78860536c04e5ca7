// The chip that the built-ins work on: its memories, flags and lanes, what global memory there is,
// and how a float becomes a half.
#pragma once
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace chip {
struct Box {  // a memory of the chip
  uint8_t* base;
  uint64_t size;
  const char* name;
};
extern Box ub, l1, l0a, l0b, l0c;

struct Region {  // of global memory
  const uint8_t* base;
  uint64_t size;
  bool output;
};
extern std::vector<Region> regions;

// As the twin's; VENDOR: what CANN's class for CPUs does (infinity is not a number).
enum Half { IEEE, SATURATED, SATURATED_NAN_IS_ZERO, VENDOR };
extern Half rounding;
extern uint64_t mask[2], rows[8][8];
extern std::map<int, bool> flags;

inline void Need(bool holds, const std::string& what) {
  if (!holds)
    throw std::runtime_error(what);
}
inline void Inside(const Box& box, const void* address, uint64_t bytes, uint32_t align) {
  const uint8_t* p = static_cast<const uint8_t*>(address);
  const std::string where = std::string(box.name) + " at " + std::to_string(p - box.base);
  Need(p >= box.base && p + bytes <= box.base + box.size, "address outside " + where);
  Need((p - box.base) % align == 0, "misaligned address in " + where);
}
inline void Global(const void* address, uint64_t bytes, bool write) {
  const uint8_t* p = static_cast<const uint8_t*>(address);
  for (const Region& r : regions)
    if (p >= r.base && p + bytes <= r.base + r.size)
      return Need(r.output || !write, "write to an input tensor");
  Need(false, "global memory outside every tensor");
}

// ---- halves ----
inline uint32_t RoundOff(uint32_t value, int shift) {  // value / 2^shift to nearest, ties to even
  const uint32_t whole = value >> shift, rest = value & ((1u << shift) - 1);
  const uint32_t tie = 1u << (shift - 1);
  return whole + (rest > tie || (rest == tie && (whole & 1)));
}
inline uint16_t IeeeBits(float value) {
  uint32_t x;
  std::memcpy(&x, &value, 4);
  const uint32_t sign = (x >> 16) & 0x8000, mantissa = x & 0x7fffff;
  const int exponent = int((x >> 23) & 255) - 112;
  if (exponent == 143)
    return sign | 0x7c00 | (mantissa ? 0x200 | (mantissa >> 13) : 0);
  if (exponent >= 31)
    return sign | 0x7c00;
  if (exponent < -10)
    return sign;
  if (exponent <= 0)
    return sign | RoundOff(mantissa | 0x800000, 14 - exponent);
  return sign | RoundOff((uint32_t(exponent) << 23) | mantissa, 13);
}
inline uint16_t Bits(float value) {
  const uint16_t b = IeeeBits(value);
  if (rounding == IEEE || (b & 0x7c00) != 0x7c00)
    return b;
  if ((b & 0x3ff) == 0)
    return (b & 0x8000) | 0x7bff;
  return rounding == SATURATED ? b : 0;
}
template <class T> T To(float x) { return T(x); }
template <> inline half To<half>(float x) {
  if (rounding == VENDOR)
    return half(x);
  const uint16_t b = Bits(x);
  half h;
  std::memcpy(&h, &b, 2);
  return h;
}
template <class T> float From(T x) { return float(x); }
template <> inline float From<half>(half x) {
  uint16_t b;
  std::memcpy(&b, &x, 2);
  if ((b & 0x7c00) != 0x7c00)
    return x.ToFloat();
  return b & 0x3ff ? NAN : b & 0x8000 ? -INFINITY : INFINITY;
}
}  // namespace chip
