// One launch of a kernel with CANN's CPU debug library:
//
//   run KERNEL CORES BN SQ SKV D FILE...
//
// A file for each array, inputs then outputs; all are written back.
#include "tikicpulib.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels.h"

namespace {
struct Array {
  std::string path;
  long bytes;
  uint8_t* memory;
};

Array Read(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr || std::fseek(file, 0, SEEK_END) != 0)
    std::exit(2);
  Array a = {path, std::ftell(file), nullptr};
  a.memory = static_cast<uint8_t*>(AscendC::GmAlloc(a.bytes));
  std::rewind(file);
  const size_t read = std::fread(a.memory, 1, a.bytes, file);
  std::fclose(file);
  if (read != size_t(a.bytes))
    std::exit(2);
  return a;
}
void Write(const Array& a) {
  std::FILE* file = std::fopen(a.path.c_str(), "wb");
  if (file == nullptr || std::fwrite(a.memory, 1, a.bytes, file) != size_t(a.bytes))
    std::exit(2);
  std::fclose(file);
}
}  // namespace

int main(int count, char** words) {
  if (count < 7)
    return 2;
  const int kernel = std::atoi(words[1]);
  const uint32_t cores = std::atoi(words[2]);
  auto* shape = static_cast<uint32_t*>(AscendC::GmAlloc(32));
  for (int i = 0; i < 4; ++i)
    shape[i] = std::atoi(words[3 + i]);
  std::vector<Array> arrays;
  for (int i = 7; i < count; ++i)
    arrays.push_back(Read(words[i]));
  std::vector<uint8_t*> g;
  for (const Array& a : arrays)
    g.push_back(a.memory);
  auto* space = static_cast<uint8_t*>(AscendC::GmAlloc(32));
  auto* tiling = reinterpret_cast<uint8_t*>(shape);
  if (kernel == 0) {
    ICPU_RUN_KF(mindlong_attention_forward, cores, g[0], g[1], g[2], g[3], g[4], g[5], space,
                tiling);
  } else if (kernel == 1) {
    ICPU_RUN_KF(mindlong_attention_backward_queries, cores, g[0], g[1], g[2], g[3], g[4], g[5],
                g[6], g[7], g[8], g[9], space, tiling);
  } else {
    ICPU_RUN_KF(mindlong_attention_backward_keys, cores, g[0], g[1], g[2], g[3], g[4], g[5], g[6],
                g[7], g[8], space, tiling);
  }
  for (const Array& a : arrays)
    Write(a);
  return 0;
}
