// Memory of a thread that grows and stays, aligned to a cache line.
#pragma once
#include <cstdlib>

#include "common.h"

struct Scratch {
  float* p = nullptr;
  size_t n = 0;
  float* get(size_t k) {
    if (k > n) {
      std::free(p);
      n = (k + 1023) / 1024 * 1024;
      p = static_cast<float*>(std::aligned_alloc(64, n * 4));
    }
    return p;
  }
  ~Scratch() { std::free(p); }
};
static thread_local Scratch tl_flash, tl_tiles,
    tl_taps;  // attention; a thread's tiles; what all threads read
