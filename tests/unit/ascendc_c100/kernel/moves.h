// Data moves. Lengths and gaps are blocks of 32 bytes; from and to the accumulator, fractals of
// 16 x 16.
#pragma once
#include "chip.h"

template <class F>
inline void chip_move(void* to, const void* from, uint16_t count, uint16_t length,
                      uint16_t from_gap, uint16_t to_gap, F check) {
  chip::Need(count >= 1 && count <= 4095, "a move has 1 to 4095 bursts");
  chip::Need(length >= 1, "a burst has at least one block");
  uint8_t* d = static_cast<uint8_t*>(to);
  const uint8_t* s = static_cast<const uint8_t*>(from);
  for (int i = 0; i < count; ++i) {
    check(d, s, length * 32u);
    std::memcpy(d, s, length * 32u);
    d += (length + to_gap) * 32u;
    s += (length + from_gap) * 32u;
  }
}
inline void chip_move_in(const chip::Box& box, void* d, void* s, uint16_t count, uint16_t length,
                         uint16_t from_gap, uint16_t to_gap) {
  chip_move(d, s, count, length, from_gap, to_gap, [&](void* a, const void* b, uint64_t n) {
    chip::Inside(box, a, n, 32);
    chip::Global(b, n, false);
  });
}
inline void chip_move_on_chip(const chip::Box& to, const chip::Box& from, void* d, void* s,
                              uint16_t count, uint16_t length, uint16_t from_gap, uint16_t to_gap) {
  chip_move(d, s, count, length, from_gap, to_gap, [&](void* a, const void* b, uint64_t n) {
    chip::Inside(to, a, n, 32);
    chip::Inside(from, b, n, 32);
  });
}
inline void copy_gm_to_ubuf(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                            uint16_t from_gap, uint16_t to_gap) {
  chip_move_in(chip::ub, d, s, count, length, from_gap, to_gap);
}
inline void copy_gm_to_cbuf(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                            uint16_t from_gap, uint16_t to_gap, pad_t) {
  chip_move_in(chip::l1, d, s, count, length, from_gap, to_gap);
}
inline void copy_ubuf_to_gm(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                            uint16_t from_gap, uint16_t to_gap) {
  chip_move(d, s, count, length, from_gap, to_gap, [](void* a, const void* b, uint64_t n) {
    chip::Global(a, n, true);
    chip::Inside(chip::ub, b, n, 32);
  });
}
inline void copy_ubuf_to_ubuf(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                              uint16_t from_gap, uint16_t to_gap) {
  chip_move_on_chip(chip::ub, chip::ub, d, s, count, length, from_gap, to_gap);
}
inline void copy_ubuf_to_cbuf(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                              uint16_t from_gap, uint16_t to_gap) {
  chip_move_on_chip(chip::l1, chip::ub, d, s, count, length, from_gap, to_gap);
}
inline void copy_cbuf_to_ubuf(void* d, void* s, uint8_t, uint16_t count, uint16_t length,
                              uint16_t from_gap, uint16_t to_gap) {
  chip_move_on_chip(chip::ub, chip::l1, d, s, count, length, from_gap, to_gap);
}

// ---- the accumulator ----
struct ChipSide {  // of a move of fractals: where, its alignment, and the bytes of a unit of gap
  const chip::Box& box;
  uint32_t align, gap;
};
template <class D, class S>
inline void chip_fractals(D* d, S* s, uint16_t count, uint16_t length, uint16_t from_gap,
                          uint16_t to_gap, const ChipSide& to, const ChipSide& from) {
  chip::Need(count >= 1 && count <= 4095 && length >= 1, "bursts of fractals");
  const uint32_t n = length * 256u;
  for (int b = 0; b < count; ++b) {
    chip::Inside(to.box, d, n * sizeof(D), to.align);
    chip::Inside(from.box, s, n * sizeof(S), from.align);
    for (uint32_t i = 0; i < n; ++i)
      d[i] = chip::To<D>(chip::From(s[i]));
    d = (D*)((uint8_t*)d + n * sizeof(D) + to_gap * to.gap);
    s = (S*)((uint8_t*)s + n * sizeof(S) + from_gap * from.gap);
  }
}
template <class D>
inline void chip_out(D* d, float* s, uint16_t count, uint16_t length, uint16_t from_gap,
                     uint16_t to_gap) {
  chip_fractals(d, s, count, length, from_gap, to_gap, {chip::ub, 32, 32}, {chip::l0c, 512, 1024});
}
inline void copy_matrix_cc_to_ubuf(float* d, float* s, uint8_t, uint16_t count, uint16_t length,
                                   uint16_t from_gap, uint16_t to_gap, ConvRelu_t mode) {
  chip::Need(mode == CRMODE_NONE, "floats leave the accumulator as they are");
  chip_out(d, s, count, length, from_gap, to_gap);
}
inline void copy_matrix_cc_to_ubuf(half* d, float* s, uint8_t, uint16_t count, uint16_t length,
                                   uint16_t from_gap, uint16_t to_gap, ConvRelu_t mode) {
  chip::Need(mode == CRMODE_F32toF16_NONE, "floats leave the accumulator as halves");
  chip_out(d, s, count, length, from_gap, to_gap);
}
inline void copy_matrix_ubuf_to_cc(float* d, float* s, uint8_t, uint16_t count, uint16_t length,
                                   uint16_t from_gap, uint16_t to_gap, ConvRelu_t mode) {
  chip::Need(mode == CRMODE_NONE, "floats enter the accumulator as they are");
  chip_fractals(d, s, count, length, from_gap, to_gap, {chip::l0c, 512, 1024}, {chip::ub, 32, 32});
}
template <class D, class S>
void copy_matrix_cc_to_ubuf(D*, S*, uint8_t, uint16_t, uint16_t, uint16_t, uint16_t, ConvRelu_t) {
  chip::Need(false, "types that are not modelled leave the accumulator");
}
template <class D, class S>
void copy_matrix_ubuf_to_cc(D*, S*, uint8_t, uint16_t, uint16_t, uint16_t, uint16_t, ConvRelu_t) {
  chip::Need(false, "types that are not modelled enter the accumulator");
}
