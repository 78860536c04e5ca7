// The vector instructions with a mask of lanes and repeats; strides in blocks of 32 bytes.
#pragma once
#include "vector.h"

namespace AscendC {
struct UnaryRepeatParams {
  uint16_t dstBlkStride = 1, srcBlkStride = 1;
  uint8_t dstRepStride = 8, srcRepStride = 8;
};
struct BinaryRepeatParams {
  uint8_t dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1;
  uint8_t dstRepStride = 8, src0RepStride = 8, src1RepStride = 8;
};

template <typename T> constexpr uint32_t kLanes = 256 / sizeof(T);  // of a repeat
template <typename T> constexpr uint32_t kBlock = 32 / sizeof(T);   // elements of a block

// The element that a lane of a repeat is, and the block that it lies in.
template <typename T>
uint32_t Place(int repeat, uint32_t lane, int block_stride, int repeat_stride) {
  const uint32_t block = repeat * repeat_stride + lane / kBlock<T> * block_stride;
  return block * kBlock<T> + lane % kBlock<T>;
}
template <typename T> LocalTensor<T> BlockOf(const LocalTensor<T>& t, uint32_t element) {
  return t[element / kBlock<T> * kBlock<T>];
}
// Calls f(repeat, lane) for every lane that the mask has.
template <typename T, typename F> void EachLane(const uint64_t* mask, uint8_t repeats, F f) {
  TWIN_CHECK(repeats >= 1, "a vector instruction has at least one repeat");
  BeginVector(repeats * 256);
  for (int r = 0; r < repeats; ++r)
    for (uint32_t e = 0; e < kLanes<T>; ++e)
      if (mask[e / 64] >> (e % 64) & 1)
        f(r, e);
}

template <typename T>
void Duplicate(const LocalTensor<T>& to, const T& value, uint64_t mask[2], uint8_t repeats,
               uint16_t block_stride, uint8_t repeat_stride) {
  CheckVector(to);
  EachLane<T>(mask, repeats, [&](int r, uint32_t e) {
    const uint32_t at = Place<T>(r, e, block_stride, repeat_stride);
    BlockOf(to, at).Write(V, 32);
    to.Data()[at] = value;
  });
}
template <typename T>
void Muls(const LocalTensor<T>& to, const LocalTensor<T>& from, const T& s, uint64_t mask[2],
          uint8_t repeats, const UnaryRepeatParams& p) {
  CheckVector(to);
  CheckVector(from);
  EachLane<T>(mask, repeats, [&](int r, uint32_t e) {
    const uint32_t y = Place<T>(r, e, p.dstBlkStride, p.dstRepStride);
    const uint32_t x = Place<T>(r, e, p.srcBlkStride, p.srcRepStride);
    BlockOf(from, x).Read(V, 32);
    BlockOf(to, y).Write(V, 32);
    to.Data()[y] = static_cast<T>(static_cast<float>(from.Data()[x]) * static_cast<float>(s));
  });
}
// The first `lanes` lanes of each repeat.
template <typename T, typename F>
void Lanewise(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b,
              uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& p, F f) {
  CheckVector(to);
  CheckVector(a);
  CheckVector(b);
  TWIN_CHECK(lanes >= 1 && lanes <= kLanes<T>, "lanes out of range");
  const uint64_t low = lanes >= 64 ? ~0ull : (1ull << lanes) - 1;
  const uint64_t high = lanes >= 128 ? ~0ull : lanes > 64 ? (1ull << (lanes - 64)) - 1 : 0;
  const uint64_t mask[2] = {low, high};
  EachLane<T>(mask, repeats, [&](int r, uint32_t e) {
    const uint32_t y = Place<T>(r, e, p.dstBlkStride, p.dstRepStride);
    const uint32_t u = Place<T>(r, e, p.src0BlkStride, p.src0RepStride);
    const uint32_t v = Place<T>(r, e, p.src1BlkStride, p.src1RepStride);
    if (e % kBlock<T> == 0) {
      BlockOf(a, u).Read(V, 32);
      BlockOf(b, v).Read(V, 32);
      BlockOf(to, y).Write(V, 32);
    }
    to.Data()[y] =
        static_cast<T>(f(static_cast<float>(a.Data()[u]), static_cast<float>(b.Data()[v])));
  });
}
template <typename T>
void Max(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, uint64_t lanes,
         uint8_t repeats, const BinaryRepeatParams& p) {
  Lanewise(to, a, b, lanes, repeats, p, Larger);
}
template <typename T>
void Min(const LocalTensor<T>& to, const LocalTensor<T>& a, const LocalTensor<T>& b, uint64_t lanes,
         uint8_t repeats, const BinaryRepeatParams& p) {
  Lanewise(to, a, b, lanes, repeats, p, Smaller);
}

struct TransDataTo5HDParams {
  bool dstHighHalf = false, srcHighHalf = false;
  uint8_t repeatTimes = 1;
  uint16_t dstRepStride = 0, srcRepStride = 0;
};
// Each repeat transposes 16 rows of 16 halves, wherever the rows are. A row's buffer holds all
// repeats and a block more: CANN's check of the parameters asks for it.
template <typename T> void CheckRow(const LocalTensor<T>& row, uint32_t repeats, uint32_t stride) {
  CheckVector(row);
  TWIN_CHECK(row.bytes >= (repeats * stride + 1) * 32, "TransDataTo5HD: a row's buffer is short");
}
template <typename T>
void TransDataTo5HD(const LocalTensor<T> (&to)[16], const LocalTensor<T> (&from)[16],
                    const TransDataTo5HDParams& p) {
  static_assert(sizeof(T) == 2, "16-bit elements on 910A");
  TheCore().Begin(V, p.repeatTimes * 16);
  for (int i = 0; i < 16; ++i) {
    CheckRow(from[i], p.repeatTimes, p.srcRepStride);
    CheckRow(to[i], p.repeatTimes, p.dstRepStride);
  }
  for (int r = 0; r < p.repeatTimes; ++r) {
    T rows[16][16];
    for (int i = 0; i < 16; ++i) {
      const auto x = from[i][r * p.srcRepStride * 16];
      x.Read(V, 32);
      std::memcpy(rows[i], x.Data(), 32);
    }
    for (int i = 0; i < 16; ++i) {
      const auto y = to[i][r * p.dstRepStride * 16];
      y.Write(V, 32);
      for (int j = 0; j < 16; ++j)
        y.Data()[j] = rows[j][i];
    }
  }
}
}  // namespace AscendC
