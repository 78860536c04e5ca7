// Entry points of the twin: the kernels on arrays of the host, for ctypes, and as CPU operators of MindSpore.
#include <cstdio>

#include "../op_kernel/mindlong_attention_backward_keys.cpp"
#include "../op_kernel/mindlong_attention_backward_queries.cpp"
#include "../op_kernel/mindlong_attention_forward.cpp"

namespace {
using AscendC::TheCore;
using mindlong::AttentionShape;

const int64_t* limits = nullptr;  // bytes of each array where they are known better than from the shape
uint64_t Size(uint64_t bytes) { return limits ? std::min<uint64_t>(bytes, limits[TheCore().regions.size()]) : bytes; }
void Input(const void* p, uint64_t bytes) { bytes = Size(bytes), TheCore().regions.push_back({static_cast<const uint8_t*>(p), bytes, false, {}}); }
void Output(void* p, uint64_t bytes) {
  bytes = Size(bytes);
  std::memset(p, 0xFF, bytes);  // what the kernel leaves unwritten is not a number
  TheCore().regions.push_back({static_cast<const uint8_t*>(p), bytes, true, {}});
}

struct Sizes {
  uint64_t q, kv, control, tail;
  explicit Sizes(const AttentionShape& s, int batch)
      : q(2ull * s.bn * s.sq * s.d), kv(2ull * s.bn * s.skv * s.d), control(4ull * (8 + batch)), tail(2ull * s.bn * ((s.sq + 127) / 128) * 2048) {}
};

// Each kernel by its entry point, as CANN launches it.
void Forward(const AttentionShape& s, int batch, int cores, void** p) {  // q k v control -> o logsum
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.q), Input(p[1], size.kv), Input(p[2], size.kv), Input(p[3], size.control);
  Output(p[4], size.q), Output(p[5], size.tail);
  GM_ADDR* g = (GM_ADDR*)p;
  AscendC::RunKernel(cores, [&] { mindlong_attention_forward(g[0], g[1], g[2], g[3], g[4], g[5], nullptr, (GM_ADDR)&s); });
}

void BackwardQueries(const AttentionShape& s, int batch, int cores, void** p) {  // q k v control o logsum do -> delta scaled dq
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.q), Input(p[1], size.kv), Input(p[2], size.kv), Input(p[3], size.control), Input(p[4], size.q), Input(p[5], size.tail);
  Input(p[6], size.q), Output(p[7], size.tail), Output(p[8], size.q), Output(p[9], size.q);
  GM_ADDR* g = (GM_ADDR*)p;
  AscendC::RunKernel(cores, [&] {
    mindlong_attention_backward_queries(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], nullptr, (GM_ADDR)&s);
  });
}

void BackwardKeys(const AttentionShape& s, int batch, int cores, void** p) {  // k v control logsum do delta scaled -> dk dv
  const Sizes size(s, batch);
  TheCore().regions.clear();
  Input(p[0], size.kv), Input(p[1], size.kv), Input(p[2], size.control), Input(p[3], size.tail), Input(p[4], size.q), Input(p[5], size.tail);
  Input(p[6], size.q), Output(p[7], size.kv), Output(p[8], size.kv);
  GM_ADDR* g = (GM_ADDR*)p;
  AscendC::RunKernel(cores, [&] {
    mindlong_attention_backward_keys(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], nullptr, (GM_ADDR)&s);
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

// 0, or 1 with the reason in `error` (400 bytes). `shape` = bn, sq, skv, d, batch; `rates` as in core.h or null; `watch` 0: no hazard checks; `sizes`:
// bytes of each array, or null.
extern "C" int twin_run(int kernel, const int* shape, int cores, void** arrays, const double* rates, int watch, const int64_t* sizes, char* error, Report* report) {
  limits = sizes;
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

// ---- the same as CPU operators of MindSpore, by the operators' names on the NPU ----
namespace {
int Launch(int kernel, int count, int expected, void** p, int* ndims, int64_t** shapes, int q, int k) {
  if (count != expected || ndims[q] != 4 || ndims[k] != 4) return 1;
  const int64_t *a = shapes[q], *b = shapes[k];
  const AttentionShape s = {uint32_t(a[0] * a[1]), uint32_t(a[2]), uint32_t(b[2]), uint32_t(a[3])};
  TheCore().rates = AscendC::Rates(), TheCore().watch = true, limits = nullptr;
  try {
    kKernels[kernel](s, int(a[0]), 2, p);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "twin: %s\n", e.what());
    return 2;
  }
}
}  // namespace
#define OPERATOR(name, kernel, count, q, k) \
  extern "C" int name(int n, void** p, int* ndims, int64_t** shapes, const char**, void*, void*) { return Launch(kernel, n, count, p, ndims, shapes, q, k); }
OPERATOR(MindlongAttentionForward, 0, 6, 0, 1)
OPERATOR(MindlongAttentionBackwardQueries, 1, 10, 0, 1)
OPERATOR(MindlongAttentionBackwardKeys, 2, 9, 4, 0)
