// Tensors, buffers and flags of the Ascend C basic API.
#pragma once
#include "core.h"
#include "half.h"

#define __aicore__
#define __global__
#define __gm__
#define GM_ADDR uint8_t*

namespace AscendC {
enum class TPosition { GM, A1, A2, B1, B2, CO1, CO2, VECIN, VECOUT, VECCALC };
constexpr Memory MemoryOf(TPosition p) {
  return p == TPosition::A1 || p == TPosition::B1 ? L1
         : p == TPosition::A2                     ? L0A
         : p == TPosition::B2                     ? L0B
         : p == TPosition::CO1                    ? L0C
                                                  : UB;
}

template <typename T> struct GlobalTensor {
  T* begin = nullptr;
  uint64_t size = 0;
  void SetGlobalBuffer(T* buffer, uint64_t elements) {
    begin = buffer;
    size = elements;
  }
  GlobalTensor operator[](uint64_t offset) const {
    TWIN_CHECK(offset <= size, "offset past the end of the tensor in global memory");
    GlobalTensor r;
    r.begin = begin + offset;
    r.size = size - offset;
    return r;
  }
  T GetValue(uint64_t i) const {
    TWIN_CHECK(i < size, "read past the end of the tensor in global memory");
    TheCore().TouchGlobal(begin + i, sizeof(T), false);
    return begin[i];
  }
};

template <typename T> struct LocalTensor {
  Memory memory = UB;
  TPosition position = TPosition::VECCALC;
  uint32_t offset = 0, bytes = 0;
  T* Data() const { return reinterpret_cast<T*>(TheCore().memory[memory].data() + offset); }
  LocalTensor operator[](uint32_t elements) const {
    TWIN_CHECK(elements * sizeof(T) <= bytes, "offset past the end of the buffer");
    LocalTensor r = *this;
    r.offset += elements * sizeof(T);
    r.bytes -= elements * sizeof(T);
    return r;
  }
  template <typename U> LocalTensor<U> ReinterpretCast() const {
    LocalTensor<U> r;
    r.memory = memory;
    r.position = position;
    r.offset = offset;
    r.bytes = bytes;
    return r;
  }
  T GetValue(uint32_t i) const {
    TWIN_CHECK(memory == UB && (i + 1) * sizeof(T) <= bytes,
               "scalar read outside UB or past the buffer");
    TheCore().ScalarRead(UB, offset + i * sizeof(T), sizeof(T));
    return Data()[i];
  }
  void Read(Pipe pipe, uint32_t n) const {
    TWIN_CHECK(n <= bytes, std::string("read past the buffer in ") + kMemoryName[memory]);
    TheCore().Touch(pipe, memory, offset, n, false);
  }
  void Write(Pipe pipe, uint32_t n) const {
    TWIN_CHECK(n <= bytes, std::string("write past the buffer in ") + kMemoryName[memory]);
    TheCore().Touch(pipe, memory, offset, n, true);
  }
};

template <TPosition P> struct TBuf {
  uint32_t offset = 0, bytes = 0;
  template <typename T> LocalTensor<T> Get() const {
    LocalTensor<T> t;
    t.memory = MemoryOf(P);
    t.position = P;
    t.offset = offset;
    t.bytes = bytes;
    return t;
  }
  template <typename T> LocalTensor<T> GetWithOffset(uint32_t elements, uint32_t at) const {
    TWIN_CHECK(at % 32 == 0 && at + elements * sizeof(T) <= bytes, "past the end of the buffer");
    LocalTensor<T> t = Get<T>();
    t.offset += at;
    t.bytes = elements * sizeof(T);
    return t;
  }
};

struct TPipe {
  template <TPosition P> void InitBuffer(TBuf<P>& buffer, uint32_t bytes) {
    const Memory m = MemoryOf(P);
    TWIN_CHECK(bytes % 32 == 0, "a buffer is a multiple of 32 bytes");
    Core& core = TheCore();
    buffer.offset = core.top[m];
    buffer.bytes = bytes;
    core.top[m] += bytes;
    TWIN_CHECK(core.top[m] <= kMemorySize[m],
               std::string(kMemoryName[m]) + " is too small: " + std::to_string(core.top[m]));
  }
};

// ---- flags and barriers ----
enum class HardEvent {
  MTE2_MTE3,
  MTE3_MTE2,
  MTE2_V,
  MTE3_V,
  V_MTE3,
  M_V,
  V_M,
  MTE1_M,
  M_MTE1,
  MTE3_MTE1,
  MTE1_MTE3,
  V_S,
  MTE1_MTE2
};
constexpr Pipe kEnds[][2] = {{MTE2, MTE3}, {MTE3, MTE2}, {MTE2, V},   {MTE3, V}, {V, MTE3},
                             {M, V},       {V, M},       {MTE1, M},   {M, MTE1}, {MTE3, MTE1},
                             {MTE1, MTE3}, {V, S},       {MTE1, MTE2}};
template <HardEvent E> void SetFlag(int32_t id) {
  constexpr int kind = static_cast<int>(E);
  TheCore().Set(kind, kEnds[kind][0], kEnds[kind][1], id);
}
template <HardEvent E> void WaitFlag(int32_t id) {
  constexpr int kind = static_cast<int>(E);
  TheCore().Wait(kind, kEnds[kind][1], id);
}

constexpr int PIPE_V = V, PIPE_M = M, PIPE_ALL = PIPES;
template <int P> void PipeBarrier() {
  if (P == PIPE_ALL) {
    TheCore().BarrierAll();
  } else {
    TheCore().Barrier(static_cast<Pipe>(P));
  }
}
}  // namespace AscendC
