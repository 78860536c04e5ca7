// The vector unit: repeats of 256 bytes, strides in blocks of 32 bytes, lanes by the mask.
#pragma once
#include "chip.h"

inline bool chip_lane(int e) { return chip::mask[e / 64] >> (e % 64) & 1; }
// The element of lane `e` of repeat `r`. A block holds as many lanes as its type lets it.
template <class T> inline T* chip_at(T* p, int r, int e, int block, int repeat) {
  const int lanes = 32 / sizeof(T);
  T* y = (T*)((uint8_t*)p + (uint64_t(r) * repeat + uint64_t(e / lanes) * block) * 32) + e % lanes;
  chip::Inside(chip::ub, y, sizeof(T), sizeof(T));
  return y;
}
template <class T> inline void chip_begin(T* p, int repeats) {
  chip::Need(repeats >= 1 && repeats <= 255, "1 to 255 repeats");
  chip::Inside(chip::ub, p, 32, 32);
}
// Strides in blocks: between blocks of a repeat, and between repeats.
struct ChipStride {
  int block, repeat;
};
template <class T, class F>
inline void chip_unary(T* d, T* s, int repeats, ChipStride to, ChipStride from, F f) {
  chip_begin(d, repeats);
  chip_begin(s, repeats);
  for (int r = 0; r < repeats; ++r)
    for (int e = 0; e < int(256 / sizeof(T)); ++e)
      if (chip_lane(e)) {
        T* y = chip_at(d, r, e, to.block, to.repeat);
        *y = chip::To<T>(f(chip::From(*chip_at(s, r, e, from.block, from.repeat))));
      }
}
template <class T, class F>
inline void chip_binary(T* d, T* a, T* b, int repeats, ChipStride to, ChipStride left,
                        ChipStride right, F f) {
  chip_begin(d, repeats);
  chip_begin(a, repeats);
  chip_begin(b, repeats);
  for (int r = 0; r < repeats; ++r)
    for (int e = 0; e < int(256 / sizeof(T)); ++e)
      if (chip_lane(e)) {
        const float u = chip::From(*chip_at(a, r, e, left.block, left.repeat));
        const float v = chip::From(*chip_at(b, r, e, right.block, right.repeat));
        *chip_at(d, r, e, to.block, to.repeat) = chip::To<T>(f(u, v));
      }
}

#define CHIP_BINARY(name, expression)                                                     \
  template <class T>                                                                      \
  inline void name(T* d, T* a, T* b, uint8_t repeats, uint8_t db, uint8_t ab, uint8_t bb, \
                   uint8_t dr, uint8_t ar, uint8_t br) {                                  \
    chip_binary(d, a, b, repeats, {db, dr}, {ab, ar}, {bb, br},                           \
                [](float x, float y) -> float { return expression; });                    \
  }
CHIP_BINARY(vadd, x + y)
CHIP_BINARY(vsub, x - y)
CHIP_BINARY(vmul, x* y)
CHIP_BINARY(vdiv, x / y)
CHIP_BINARY(vmax, std::isnan(x) || std::isnan(y) ? NAN : std::max(x, y))
CHIP_BINARY(vmin, std::isnan(x) || std::isnan(y) ? NAN : std::min(x, y))

#define CHIP_UNARY(name, expression)                                                            \
  template <class T>                                                                            \
  inline void name(T* d, T* s, uint8_t repeats, uint16_t db, uint16_t sb, uint8_t dr,           \
                   uint8_t sr) {                                                                \
    chip_unary(d, s, repeats, {db, dr}, {sb, sr}, [](float x) -> float { return expression; }); \
  }
CHIP_UNARY(vexp, std::exp(x))
CHIP_UNARY(vln, std::log(x))

#define CHIP_SCALAR(name, expression)                                                            \
  template <class T>                                                                             \
  inline void name(T* d, T* s, T scalar, uint8_t repeats, uint16_t db, uint16_t sb, uint8_t dr,  \
                   uint8_t sr) {                                                                 \
    const float k = chip::From(scalar);                                                          \
    chip_unary(d, s, repeats, {db, dr}, {sb, sr}, [k](float x) -> float { return expression; }); \
  }
CHIP_SCALAR(vadds, x + k)
CHIP_SCALAR(vmuls, x* k)

// The scalar as its bits are: no arithmetic on it.
template <class T>
inline void vector_dup(T* d, T scalar, uint8_t repeats, uint16_t db, uint16_t, uint8_t dr,
                       uint8_t) {
  chip_begin(d, repeats);
  for (int r = 0; r < repeats; ++r)
    for (int e = 0; e < int(256 / sizeof(T)); ++e)
      if (chip_lane(e))
        *chip_at(d, r, e, db, dr) = scalar;
}
// 64 lanes a repeat, whatever the narrower type.
template <class D, class S>
inline void chip_convert(D* d, S* s, int repeats, ChipStride to, ChipStride from) {
  chip_begin(d, repeats);
  chip_begin(s, repeats);
  for (int r = 0; r < repeats; ++r) {
    float lanes[64];
    for (int e = 0; e < 64; ++e)
      if (chip_lane(e))
        lanes[e] = chip::From(*chip_at(s, r, e, from.block, from.repeat));
    for (int e = 0; e < 64; ++e)
      if (chip_lane(e))
        *chip_at(d, r, e, to.block, to.repeat) = chip::To<D>(lanes[e]);
  }
}
inline void vconv_f162f32(float* d, half* s, uint8_t repeats, uint16_t db, uint16_t sb, uint8_t dr,
                          uint8_t sr) {
  chip_convert(d, s, repeats, {db, dr}, {sb, sr});
}
inline void vconv_f322f16(half* d, float* s, uint8_t repeats, uint16_t db, uint16_t sb, uint8_t dr,
                          uint8_t sr) {
  chip_convert(d, s, repeats, {db, dr}, {sb, sr});
}

// ---- 16 rows of 16 halves transposed; the rows' addresses are in registers ----
inline void set_va_reg_sb(ub_addr8_t name, uint64_t* addresses) {
  for (int i = 0; i < 8; ++i)
    chip::rows[name][i] = addresses[i];
}
inline uint8_t* chip_row(ub_addr8_t first, int i, int repeat, int repeats, uint32_t stride) {
  uint8_t* p =
      (uint8_t*)chip::rows[first + i / 8][i % 8] + (repeats == 1 ? 0 : repeat * stride * 32);
  chip::Inside(chip::ub, p, 32, 32);
  return p;
}
inline void scatter_vnchwconv_b16(ub_addr8_t d, ub_addr8_t s, uint8_t repeats, uint16_t dr,
                                  uint16_t sr) {
  chip::Need(repeats >= 1, "at least one repeat");
  for (int r = 0; r < repeats; ++r) {
    uint16_t x[16][16];
    for (int i = 0; i < 16; ++i)
      std::memcpy(x[i], chip_row(s, i, r, repeats, sr), 32);
    for (int i = 0; i < 16; ++i) {
      uint16_t y[16];
      for (int j = 0; j < 16; ++j)
        y[j] = x[j][i];
      std::memcpy(chip_row(d, i, r, repeats, dr), y, 32);
    }
  }
}
