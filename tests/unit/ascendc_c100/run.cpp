// Runs the kernels under CANN's own headers on the model of the chip.
#include "kernels.h"

int64_t block_idx = 0, block_num = 1;
int32_t g_coreType = 0, sub_block_idx = 0;

// What the CPU library keeps between the cores' processes; here is one.
namespace AscendC {
bool g_isAtomic = false;
AtomicType g_atomicType;
ProcessLock* ProcessLock::processLock = nullptr;
ProcessLock::ProcessLock() {}
ProcessLock::~ProcessLock() {}
ProcessLock* ProcessLock::CreateLock() { return new ProcessLock; }
int ProcessLock::Write() { return 0; }
int ProcessLock::Read() { return 0; }
int ProcessLock::Unlock() { return 0; }
void ProcessLock::FreeLock() {}
}  // namespace AscendC

namespace chip {
Box ub, l1, l0a, l0b, l0c;
std::vector<Region> regions;
Half rounding = SATURATED;
uint64_t mask[2], rows[8][8];
std::map<int, bool> flags;

void Reset() {  // a core as a launch finds it
  auto& c = AscendC::ConstDefiner::Instance();
  ub = {c.cpuUB, 256 * 1024, "UB"};
  l1 = {c.cpuL1, 1024 * 1024, "L1"};
  l0a = {c.cpuL0A, 65536, "L0A"};
  l0b = {c.cpuL0B, 65536, "L0B"};
  l0c = {c.cpuL0C, 262144, "L0C"};
  for (const Box& b : {ub, l1, l0a, l0b, l0c})
    std::memset(b.base, 0xFF, b.size);
  mask[0] = mask[1] = ~0ull;
  flags.clear();
}
}  // namespace chip

namespace {
void Launch(int kernel, GM_ADDR* g, GM_ADDR tiling) {
  if (kernel == 0)
    mindlong_attention_forward(g[0], g[1], g[2], g[3], g[4], g[5], nullptr, tiling);
  else if (kernel == 1)
    mindlong_attention_backward_queries(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9],
                                        nullptr, tiling);
  else
    mindlong_attention_backward_keys(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], nullptr,
                                     tiling);
}
}  // namespace

// As the twin's entry point of this name; arrays are inputs, then outputs. Nothing is timed.
extern "C" int twin_run(int kernel, const uint32_t* shape, int cores, void** arrays,
                        const int64_t* sizes, const void*, int, int rounding, char* error, void*) {
  const int inputs = kernel == 0 ? 4 : 7, outputs = kernel == 1 ? 3 : 2;
  chip::regions.clear();
  for (int i = 0; i < inputs + outputs; ++i) {
    if (i >= inputs)
      std::memset(arrays[i], 0xFF, sizes[i]);  // what stays unwritten shows
    chip::regions.push_back({(uint8_t*)arrays[i], (uint64_t)sizes[i], i >= inputs});
  }
  chip::rounding = static_cast<chip::Half>(rounding);
  block_num = cores;
  try {
    for (block_idx = 0; block_idx < cores; ++block_idx) {
      chip::Reset();
      Launch(kernel, reinterpret_cast<GM_ADDR*>(arrays), (GM_ADDR)shape);
      for (const auto& flag : chip::flags)
        chip::Need(!flag.second, "a flag stays up");
    }
    return 0;
  } catch (const std::exception& e) {
    std::snprintf(error, 400, "%s", e.what());
    return 1;
  }
}
