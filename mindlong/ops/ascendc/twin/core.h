// One AI core of an Ascend 910A (dav-c100) as the twin sees it: memories, pipes, flags, hazards and
// a clock for each pipe.
//
// Instructions run at once, in program order. What is checked is whether the flags and barriers of
// the kernel force that order on a machine whose pipes run freely: every 32-byte cell remembers who
// wrote and read it last, and every pipe remembers up to which instruction it is ordered after each
// other pipe (`known`). A flag carries that knowledge from the pipe that sets it to the one that
// waits. The clocks give the time the same program would take with the rates below and nothing else
// in the way.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace AscendC {
struct TwinError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
#define TWIN_CHECK(condition, message)                             \
  do {                                                             \
    if (!(condition))                                              \
      throw TwinError(std::string(message) + " [" #condition "]"); \
  } while (0)

enum Pipe { S, V, M, MTE1, MTE2, MTE3, PIPES };
constexpr const char* kPipeName[PIPES] = {"S", "V", "M", "MTE1", "MTE2", "MTE3"};
enum Memory { L1, L0A, L0B, L0C, UB, MEMORIES };
constexpr const char* kMemoryName[MEMORIES] = {"L1", "L0A", "L0B", "L0C", "UB"};
// 8 KB of UB are the framework's.
constexpr uint32_t kMemorySize[MEMORIES] = {1048576, 65536, 65536, 262144, 262144 - 8192};
constexpr int kFlagIds = 4;  // QUE_MAX_EVENT of this architecture

struct Rates {  // bytes or elements a cycle; findings from the platform files of CANN
  double gm_read = 32, gm_write = 32, l1_to_l0a = 512, l1_to_l0b = 256;
  double ub_to_l1 = 128, l0c_to_ub = 256, vector = 256;
  // Cycles: each 32-byte piece of a strided move; a repeat of exp; latencies.
  double burst = 1, exp = 1, start = 0, issue = 0;
};

struct Counters {
  uint64_t gm_read = 0, gm_write = 0, macs = 0, instructions = 0;
  double busy[PIPES] = {0}, span = 0;
};

struct Region {
  const uint8_t* begin;
  uint64_t bytes;
  bool output;
  std::vector<int16_t> writer;
};

class Core {
 public:
  std::vector<uint8_t> memory[MEMORIES];
  uint32_t top[MEMORIES];
  int block = 0, blocks = 1;
  Rates rates;
  Counters count;
  std::vector<Region> regions;  // every byte of global memory the kernel may touch
  bool watch = true;            // check hazards

  void Reset(int index, int total) {
    block = index;
    blocks = total;
    for (int m = 0; m < MEMORIES; ++m) {
      memory[m].assign(kMemorySize[m], 0xFF);  // not a number: what is read unwritten shows
      cells_[m].assign(kMemorySize[m] / 32, Cell());
      top[m] = 0;
    }
    std::memset(issued_, 0, sizeof issued_);
    std::memset(known_, 0, sizeof known_);
    std::memset(clock_, 0, sizeof clock_);
    flags_.clear();
  }

  void Begin(Pipe pipe, double cycles) {
    ++issued_[pipe];
    ++count.instructions;
    clock_[S] += pipe == S ? 0 : rates.issue;
    clock_[pipe] = std::max(clock_[pipe], clock_[S]) + rates.start + cycles;
    count.busy[pipe] += cycles;
  }
  void Touch(Pipe pipe, Memory m, uint32_t offset, uint32_t bytes, bool write) {
    TWIN_CHECK(offset + bytes <= kMemorySize[m],
               std::string("access past the end of ") + kMemoryName[m]);
    if (!watch || !bytes)
      return;
    for (uint32_t c = offset / 32; c <= (offset + bytes - 1) / 32; ++c)
      TouchCell(pipe, m, c, write);
  }
  void TouchGlobal(const void* address, uint64_t bytes, bool write) {
    const uint8_t* p = static_cast<const uint8_t*>(address);
    for (Region& r : regions)
      if (p >= r.begin && p + bytes <= r.begin + r.bytes)
        return Claim(r, p - r.begin, bytes, write);
    throw TwinError(write ? "write outside the tensors in global memory"
                          : "read outside the tensors in global memory");
  }

  void Set(int kind, Pipe from, Pipe to, int id) {
    TWIN_CHECK(id >= 0 && id < kFlagIds, "flag id out of range");
    Flag& f = flags_[{kind, id}];
    TWIN_CHECK(!f.up, "a flag is set again before it is waited for");
    // The flag is one bit: the second set must be ordered after the wait that took the first.
    TWIN_CHECK(f.taken <= known_[from][to], "a flag may be set again before its last wait");
    f.up = true;
    f.time = clock_[from];
    std::copy(known_[from], known_[from] + PIPES, f.known);
    f.known[from] = issued_[from];
  }
  void Wait(int kind, Pipe to, int id) {
    Flag& f = flags_[{kind, id}];
    TWIN_CHECK(f.up, "a flag is waited for and never set: the core would hang");
    f.up = false;
    f.taken = ++issued_[to];
    // The scalar unit issues everything: what it waited for, later instructions come after.
    for (int p = 0; p < PIPES; ++p)
      for (int q = 0; q < PIPES; ++q)
        if (p == to || to == S)
          known_[p][q] = std::max(known_[p][q], f.known[q]);
    clock_[to] = std::max(clock_[to], f.time);
  }
  void Barrier(Pipe pipe) { known_[pipe][pipe] = issued_[pipe]; }
  void BarrierAll() {
    const double latest = *std::max_element(clock_, clock_ + PIPES);
    for (int p = 0; p < PIPES; ++p) {
      std::copy(issued_, issued_ + PIPES, known_[p]);
      clock_[p] = latest;
    }
  }
  void ScalarRead(Memory m, uint32_t offset, uint32_t bytes) {
    Begin(S, 1);
    Touch(S, m, offset, bytes, false);
    for (auto& k : known_)
      k[S] = issued_[S];  // as in Wait: later instructions come after its read
  }
  void Finish() {
    for (auto& f : flags_)
      TWIN_CHECK(!f.second.up, "a flag is set and never waited for");
    count.span = std::max(count.span, *std::max_element(clock_, clock_ + PIPES));
  }

 private:
  struct Cell {
    int8_t writer = -1;
    long written = 0;
    long read[PIPES] = {0};
  };
  struct Flag {
    bool up = false;
    long taken = 0;
    long known[PIPES] = {0};
    double time = 0;
  };

  // A move queue is in order; V and M overlap their own instructions.
  bool Ordered(Pipe pipe, int other, long number) const {
    const bool queue = pipe == MTE1 || pipe == MTE2 || pipe == MTE3 || pipe == S;
    return (queue && pipe == other) || known_[pipe][other] >= number;
  }
  void TouchCell(Pipe pipe, Memory m, uint32_t c, bool write) {
    Cell& x = cells_[m][c];
    const bool own = x.writer == pipe && x.written == issued_[pipe];
    if (x.writer >= 0 && !own && !Ordered(pipe, x.writer, x.written))
      Hazard(m, c, x.writer, pipe, write ? "write after write" : "read after write");
    if (!write) {
      x.read[pipe] = issued_[pipe];
      return;
    }
    for (int p = 0; p < PIPES; ++p)
      if (x.read[p] && !(p == pipe && x.read[p] == issued_[p]) && !Ordered(pipe, p, x.read[p]))
        Hazard(m, c, p, pipe, "write after read");
    x.writer = static_cast<int8_t>(pipe);
    x.written = issued_[pipe];
    std::fill(x.read, x.read + PIPES, 0);
  }
  [[noreturn]] void Hazard(Memory m, uint32_t c, int first, Pipe second, const char* what) const {
    throw TwinError(std::string("hazard: ") + what + " in " + kMemoryName[m] + " at byte " +
                    std::to_string(c * 32) + ": pipe " + kPipeName[second] +
                    " is not synchronised with pipe " + kPipeName[first]);
  }
  // Cores share nothing but what the launch was given.
  void Claim(Region& r, uint64_t offset, uint64_t bytes, bool write) const {
    TWIN_CHECK(!write || r.output, "write to an input tensor");
    if (!r.output)
      return;
    for (uint64_t c = offset / 32; c <= (offset + bytes - 1) / 32; ++c) {
      TWIN_CHECK(r.writer[c] < 0 || r.writer[c] == block,
                 "two cores touch the same bytes of an output");
      if (write)
        r.writer[c] = static_cast<int16_t>(block);
    }
  }

  std::vector<Cell> cells_[MEMORIES];
  long issued_[PIPES], known_[PIPES][PIPES];
  double clock_[PIPES];
  std::map<std::pair<int, int>, Flag> flags_;
};

inline Core& TheCore() {
  static thread_local Core core;
  return core;
}
inline int64_t GetBlockIdx() { return TheCore().block; }
inline int64_t GetBlockNum() { return TheCore().blocks; }

// Runs `kernel` once for each of `blocks` cores, one after the other.
template <typename F> void RunKernel(int blocks, F kernel) {
  Core& core = TheCore();
  core.count = Counters();
  for (auto& r : core.regions)
    r.writer.assign(r.output ? r.bytes / 32 + 1 : 0, -1);
  for (int b = 0; b < blocks; ++b) {
    core.Reset(b, blocks);
    kernel();
    core.Finish();
  }
}
}  // namespace AscendC
