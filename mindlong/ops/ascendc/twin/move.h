// Data moves: global memory, L1, L0 and UB, with the layouts and limits of the 910A.
#pragma once
#include "tensor.h"

namespace AscendC {
struct DataCopyParams {
  uint16_t blockCount = 1, blockLen = 0, srcStride = 0, dstStride = 0;
  DataCopyParams() {}
  DataCopyParams(uint16_t count, uint16_t length, uint16_t source_gap, uint16_t target_gap)
      : blockCount(count), blockLen(length), srcStride(source_gap), dstStride(target_gap) {}
};
enum class BlockMode { BLOCK_MODE_NORMAL, BLOCK_MODE_MATRIX };
struct DataCopyEnhancedParams {
  BlockMode blockMode = BlockMode::BLOCK_MODE_NORMAL;
};

inline void CheckAligned(uint32_t offset) {
  TWIN_CHECK(offset % 32 == 0, "an address on the chip is a multiple of 32 bytes");
}
inline void CheckCopy(const DataCopyParams& p) {
  TWIN_CHECK(p.blockCount >= 1 && p.blockCount <= 4095, "DataCopy: 1 to 4095 blocks");
  TWIN_CHECK(p.blockLen >= 1, "DataCopy: a block has at least 32 bytes");
}
// Calls move(target byte, source byte, bytes) for every block.
template <typename F> void EachBlock(const DataCopyParams& p, F move) {
  CheckCopy(p);
  const uint32_t n = p.blockLen * 32u;
  uint32_t target = 0, source = 0;
  for (int b = 0; b < p.blockCount; ++b) {
    move(target, source, n);
    target += n + p.dstStride * 32u;
    source += n + p.srcStride * 32u;
  }
}
inline uint32_t Bytes(const DataCopyParams& p) { return p.blockCount * p.blockLen * 32u; }
inline double Bursts(const DataCopyParams& p) {
  return p.blockCount > 1 ? TheCore().rates.burst * p.blockCount : 0;
}
template <typename T> uint8_t* At(const LocalTensor<T>& t, uint32_t byte) {
  return reinterpret_cast<uint8_t*>(t.Data()) + byte;
}
template <typename T> uint8_t* At(const GlobalTensor<T>& t, uint32_t byte) {
  return reinterpret_cast<uint8_t*>(t.begin) + byte;
}

template <typename T>
void DataCopy(const LocalTensor<T>& to, const GlobalTensor<T>& from, const DataCopyParams& p) {
  CheckAligned(to.offset);
  TWIN_CHECK(to.memory == UB || to.memory == L1, "global memory goes to UB or L1");
  Core& core = TheCore();
  core.Begin(MTE2, Bytes(p) / core.rates.gm_read);
  EachBlock(p, [&](uint32_t target, uint32_t source, uint32_t n) {
    TWIN_CHECK(target + n <= to.bytes, "write past the buffer");
    TWIN_CHECK(source + n <= from.size * sizeof(T), "read past the end of the tensor");
    core.Touch(MTE2, to.memory, to.offset + target, n, true);
    core.TouchGlobal(At(from, source), n, false);
    std::memcpy(At(to, target), At(from, source), n);
    core.count.gm_read += n;
  });
}
template <typename T>
void DataCopy(const GlobalTensor<T>& to, const LocalTensor<T>& from, const DataCopyParams& p) {
  CheckAligned(from.offset);
  TWIN_CHECK(from.memory == UB, "only UB goes to global memory");
  Core& core = TheCore();
  core.Begin(MTE3, Bytes(p) / core.rates.gm_write);
  EachBlock(p, [&](uint32_t target, uint32_t source, uint32_t n) {
    TWIN_CHECK(source + n <= from.bytes, "read past the buffer");
    TWIN_CHECK(target + n <= to.size * sizeof(T), "write past the end of the tensor");
    core.Touch(MTE3, UB, from.offset + source, n, false);
    core.TouchGlobal(At(to, target), n, true);
    std::memcpy(At(to, target), At(from, source), n);
    core.count.gm_write += n;
  });
}
template <typename T> DataCopyParams Contiguous(uint32_t elements) {
  const uint64_t bytes = elements * sizeof(T);
  TWIN_CHECK(elements && bytes % 32 == 0 && bytes / 32 <= 65535,
             "DataCopy: a multiple of 32 bytes, at most 65535 blocks");
  return DataCopyParams(1, static_cast<uint16_t>(bytes / 32), 0, 0);
}
template <typename T>
void DataCopy(const LocalTensor<T>& to, const GlobalTensor<T>& from, uint32_t n) {
  DataCopy(to, from, Contiguous<T>(n));
}
template <typename T>
void DataCopy(const GlobalTensor<T>& to, const LocalTensor<T>& from, uint32_t n) {
  DataCopy(to, from, Contiguous<T>(n));
}

template <typename T>
void DataCopy(const LocalTensor<T>& to, const LocalTensor<T>& from, const DataCopyParams& p) {
  CheckAligned(to.offset);
  CheckAligned(from.offset);
  TWIN_CHECK(from.memory == UB && (to.memory == L1 || to.memory == UB), "UB goes to L1 or UB");
  Core& core = TheCore();
  const Pipe pipe = to.memory == L1 ? MTE3 : V;
  core.Begin(pipe, std::max(Bytes(p) / core.rates.ub_to_l1, Bursts(p)));
  EachBlock(p, [&](uint32_t target, uint32_t source, uint32_t n) {
    TWIN_CHECK(target + n <= to.bytes && source + n <= from.bytes, "past the buffer");
    core.Touch(pipe, from.memory, from.offset + source, n, false);
    core.Touch(pipe, to.memory, to.offset + target, n, true);
    std::memmove(At(to, target), At(from, source), n);
  });
}

// L0C -> UB in fractals of 16 x 16, floats kept or rounded to half on the way; UB -> L0C floats
// only. The vector pipe moves them.
template <typename T, typename U>
void DataCopy(const LocalTensor<T>& to, const LocalTensor<U>& from, const DataCopyParams& p,
              const DataCopyEnhancedParams& e) {
  const bool out = from.memory == L0C && to.memory == UB;
  const bool in = from.memory == UB && to.memory == L0C && sizeof(T) == sizeof(U);
  TWIN_CHECK(e.blockMode == BlockMode::BLOCK_MODE_MATRIX && (out || in),
             "matrix blocks between L0C and UB");
  TWIN_CHECK(p.srcStride == 0 && p.dstStride == 0, "the kernels copy whole runs of fractals");
  CheckCopy(p);
  CheckAligned(to.offset);
  CheckAligned(from.offset);
  const uint32_t n = p.blockCount * p.blockLen * 256u;
  TheCore().Begin(V, n * sizeof(U) / TheCore().rates.l0c_to_ub);
  from.Read(V, n * sizeof(U));
  to.Write(V, n * sizeof(T));
  T* target = to.Data();
  const U* source = from.Data();
  for (uint32_t i = 0; i < n; ++i)
    target[i] = static_cast<T>(static_cast<float>(source[i]));
}

struct LoadData2DParams {
  uint16_t startIndex = 0, dstGap = 0, srcStride = 0;
  bool ifTranspose = false;
  uint8_t repeatTimes = 0, sid = 0, addrMode = 0;
};
inline void LoadData(const LocalTensor<half>& to, const LocalTensor<half>& from,
                     const LoadData2DParams& p) {
  const bool a = from.position == TPosition::A1 && to.memory == L0A;
  const bool b = from.position == TPosition::B1 && to.memory == L0B;
  TWIN_CHECK(a || b, "LoadData: A1 to A2 or B1 to B2");
  TWIN_CHECK(p.repeatTimes >= 1 && p.dstGap == 0 && to.offset % 512 == 0,
             "LoadData: 1 to 255 fractals, whole, without gaps");
  Core& core = TheCore();
  core.Begin(MTE1, p.repeatTimes * 512 / (a ? core.rates.l1_to_l0a : core.rates.l1_to_l0b));
  for (int r = 0; r < p.repeatTimes; ++r) {
    const uint32_t source = (p.startIndex + static_cast<uint32_t>(r) * p.srcStride) * 256u;
    const uint32_t target = r * 256u;
    from[source].Read(MTE1, 512);
    to[target].Write(MTE1, 512);
    const half* x = from.Data() + source;
    half* y = to.Data() + target;
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 16; ++j)
        y[p.ifTranspose ? j * 16 + i : i * 16 + j] = x[i * 16 + j];
  }
}
}  // namespace AscendC
