// Flags, barriers and the registers that say how instructions work.
#pragma once
#include "chip.h"

inline int64_t get_block_num() {
  extern int64_t block_num;
  return block_num;
}
inline int64_t get_ctrl() { return 0; }
inline void set_ctrl(uint64_t) {}
inline void set_atomic_none() {}
inline void set_vector_mask(uint64_t high, uint64_t low) {
  chip::mask[0] = low;
  chip::mask[1] = high;
}
inline void pipe_barrier(pipe_t) {}
inline bool& chip_flag(pipe_t from, pipe_t to, event_t id) {
  chip::Need(id >= 0 && id < 4, "flag id out of range");
  return chip::flags[(from * 16 + to) * 16 + id];
}
inline void set_flag(pipe_t from, pipe_t to, event_t id) {
  bool& up = chip_flag(from, to, id);
  chip::Need(!up, "a flag is set twice");
  up = true;
}
inline void wait_flag(pipe_t from, pipe_t to, event_t id) {
  bool& up = chip_flag(from, to, id);
  chip::Need(up, "a flag is waited for that is not set");
  up = false;
}
