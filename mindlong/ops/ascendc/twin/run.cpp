// Entry points of the twin: the kernels on arrays of the host, for ctypes, and as CPU operators of
// MindSpore.
#include <cstdio>

#include "../op_kernel/mindlong_attention_backward_keys.cpp"
#include "../op_kernel/mindlong_attention_backward_queries.cpp"
#include "../op_kernel/mindlong_attention_forward.cpp"

namespace {
using AscendC::TheCore;
using mindlong::AttentionShape;

// Each kernel by its entry point, as CANN launches it: its inputs, then its outputs.
void Forward(GM_ADDR* g, GM_ADDR tiling) {
  mindlong_attention_forward(g[0], g[1], g[2], g[3], g[4], g[5], nullptr, tiling);
}
void BackwardQueries(GM_ADDR* g, GM_ADDR tiling) {
  mindlong_attention_backward_queries(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9],
                                      nullptr, tiling);
}
void BackwardKeys(GM_ADDR* g, GM_ADDR tiling) {
  mindlong_attention_backward_keys(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], nullptr,
                                   tiling);
}
struct Kernel {
  void (*launch)(GM_ADDR*, GM_ADDR);
  int inputs, outputs;
};
constexpr Kernel kKernels[] = {{Forward, 4, 2}, {BackwardQueries, 7, 3}, {BackwardKeys, 7, 2}};

// `sizes`: bytes of each array.
void Run(const Kernel& kernel, const AttentionShape& shape, int cores, void** arrays,
         const int64_t* sizes) {
  auto& regions = TheCore().regions;
  regions.clear();
  for (int i = 0; i < kernel.inputs + kernel.outputs; ++i) {
    const bool output = i >= kernel.inputs;
    if (output)
      std::memset(arrays[i], 0xFF, sizes[i]);  // what stays unwritten is not a number
    regions.push_back({static_cast<uint8_t*>(arrays[i]), uint64_t(sizes[i]), output, {}});
  }
  AscendC::RunKernel(cores, [&] { kernel.launch((GM_ADDR*)arrays, (GM_ADDR)&shape); });
}

struct Report {
  double gm_read, gm_write, macs, instructions, span, busy[AscendC::PIPES];
};
Report Counted() {
  const auto& c = TheCore().count;
  Report r = {
      double(c.gm_read), double(c.gm_write), double(c.macs), double(c.instructions), c.span, {0}};
  std::copy(c.busy, c.busy + AscendC::PIPES, r.busy);
  return r;
}
}  // namespace

// 0, or 1 with the reason in `error` (400 bytes). `shape` = bn, sq, skv, d; `sizes`: bytes of each
// array; `rates` as in core.h; `watch` 0: no hazard checks; `overflow` as in half.h.
extern "C" int twin_run(int kernel, const uint32_t* shape, int cores, void** arrays,
                        const int64_t* sizes, const AscendC::Rates* rates, int watch, int overflow,
                        char* error, Report* report) {
  TheCore().rates = *rates;
  TheCore().watch = watch != 0;
  TheOverflow() = static_cast<Overflow>(overflow);
  try {
    Run(kKernels[kernel], {shape[0], shape[1], shape[2], shape[3]}, cores, arrays, sizes);
    *report = Counted();
    return 0;
  } catch (const std::exception& e) {
    std::snprintf(error, 400, "%s", e.what());
    return 1;
  }
}

// ---- the same as CPU operators of MindSpore, by the operators' names on the NPU ----
namespace {
// q and k: which inputs have their shapes. Control is the only array of one dimension, int32.
int Launch(int kernel, int count, void** arrays, int* ndims, int64_t** shapes, int q, int k) {
  const Kernel& what = kKernels[kernel];
  if (count != what.inputs + what.outputs || ndims[q] != 4 || ndims[k] != 4)
    return 1;
  const int64_t *a = shapes[q], *b = shapes[k];
  const AttentionShape shape = {uint32_t(a[0] * a[1]), uint32_t(a[2]), uint32_t(b[2]),
                                uint32_t(a[3])};
  std::vector<int64_t> sizes;
  for (int i = 0; i < count; ++i) {
    sizes.push_back(ndims[i] == 1 ? 4 : 2);
    for (int j = 0; j < ndims[i]; ++j)
      sizes.back() *= shapes[i][j];
  }
  TheCore().rates = AscendC::Rates();
  TheCore().watch = true;
  TheOverflow() = Overflow::INFINITE;
  try {
    Run(what, shape, 2, arrays, sizes.data());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "twin: %s\n", e.what());
    return 2;
  }
}
}  // namespace
#define OPERATOR(name, kernel, q, k)                                                               \
  extern "C" int name(int n, void** p, int* ndims, int64_t** shapes, const char**, void*, void*) { \
    return Launch(kernel, n, p, ndims, shapes, q, k);                                              \
  }
OPERATOR(MindlongAttentionForward, 0, 0, 1)
OPERATOR(MindlongAttentionBackwardQueries, 1, 0, 1)
OPERATOR(MindlongAttentionBackwardKeys, 2, 4, 0)
