// Entry points of the twin: the kernels on arrays of the host, for ctypes, and as CPU operators of MindSpore.
#include <cstdio>

#include "../op_kernel/mindlong_attention_backward.h"
#include "../op_kernel/mindlong_attention_forward.h"

namespace {
using AscendC::TheCore;
using mindlong::AttentionShape;

void Input(const void* p, uint64_t bytes) { TheCore().regions.push_back({static_cast<const uint8_t*>(p), bytes, false, {}}); }
void Output(void* p, uint64_t bytes) {
  std::memset(p, 0xFF, bytes);  // what the kernel leaves unwritten is not a number
  TheCore().regions.push_back({static_cast<const uint8_t*>(p), bytes, true, {}});
}

struct Sizes {
  uint64_t q, kv, control, tail;
  explicit Sizes(const AttentionShape& s, int batch)
      : q(2ull * s.bn * s.sq * s.d), kv(2ull * s.bn * s.skv * s.d), control(4ull * (8 + batch)), tail(2ull * s.bn * ((s.sq + 127) / 128) * 2048) {}
};

void Forward(const AttentionShape& s, int batch, int cores, void** p) {  // q k v control -> o logsum
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.q), Input(p[1], size.kv), Input(p[2], size.kv), Input(p[3], size.control);
  Output(p[4], size.q), Output(p[5], size.tail);
  AscendC::RunKernel(cores, [&] {
    mindlong::AttentionForward f;
    f.Init((GM_ADDR)p[0], (GM_ADDR)p[1], (GM_ADDR)p[2], (GM_ADDR)p[3], (GM_ADDR)p[4], (GM_ADDR)p[5], s);
    f.Process();
  });
}

void BackwardQueries(const AttentionShape& s, int batch, int cores, void** p) {  // q k v control o logsum do -> delta scaled dq
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.q), Input(p[1], size.kv), Input(p[2], size.kv), Input(p[3], size.control), Input(p[4], size.q), Input(p[5], size.tail);
  Input(p[6], size.q), Output(p[7], size.tail), Output(p[8], size.q), Output(p[9], size.q);
  AscendC::RunKernel(cores, [&] {
    mindlong::AttentionBackward<false> f;
    GM_ADDR g[10];
    for (int i = 0; i < 10; ++i) g[i] = (GM_ADDR)p[i];
    f.Init(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], nullptr, s);
    f.Process();
  });
}

void BackwardKeys(const AttentionShape& s, int batch, int cores, void** p) {  // k v control logsum do delta scaled -> dk dv
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.kv), Input(p[1], size.kv), Input(p[2], size.control), Input(p[3], size.tail), Input(p[4], size.q), Input(p[5], size.tail);
  Input(p[6], size.q), Output(p[7], size.kv), Output(p[8], size.kv);
  AscendC::RunKernel(cores, [&] {
    mindlong::AttentionBackward<true> f;
    GM_ADDR g[9];
    for (int i = 0; i < 9; ++i) g[i] = (GM_ADDR)p[i];
    f.Init(nullptr, g[0], g[1], g[2], nullptr, g[3], g[4], g[5], g[6], g[7], g[8], s);
    f.Process();
  });
}

using Kernel = void (*)(const AttentionShape&, int, int, void**);
constexpr Kernel kKernels[] = {Forward, BackwardQueries, BackwardKeys};

struct Report { double gm_read, gm_write, macs, instructions, span, busy[AscendC::PIPES]; };
Report Counted() {
  const auto& c = TheCore().count;
  Report r = {double(c.gm_read), double(c.gm_write), double(c.macs), double(c.instructions), c.span, {0}};
  std::copy(c.busy, c.busy + AscendC::PIPES, r.busy);
  return r;
}
}  // namespace

// 0, or 1 with the reason in `error` (400 bytes). `shape` = bn, sq, skv, d, batch; `rates` as in core.h or null; `watch` 0: no hazard checks.
extern "C" int twin_run(int kernel, const int* shape, int cores, void** arrays, const double* rates, int watch, char* error, Report* report) {
  TheCore().rates = AscendC::Rates();
  if (rates) std::memcpy(&TheCore().rates, rates, sizeof(AscendC::Rates));
  TheCore().watch = watch != 0;
  const AttentionShape s = {uint32_t(shape[0]), uint32_t(shape[1]), uint32_t(shape[2]), uint32_t(shape[3])};
  try {
    kKernels[kernel](s, shape[4], cores, arrays);
    *report = Counted();
    return 0;
  } catch (const std::exception& e) {
    std::snprintf(error, 400, "%s", e.what());
    return 1;
  }
}
