// Stands for CANN's header of this name where a kernel is compiled for the CPU. Own code: the
// subset of the API the kernels use, and nothing that the chip does not have.
#pragma once
#include "cube.h"
#include "lanes.h"

// The launch data lies in the order of its fields.
struct TwinTiling {
  uint32_t bn, sq, skv, d;
};
#define GET_TILING_DATA(name, from) \
  const TwinTiling name = *reinterpret_cast<const TwinTiling*>(from)
