// The kernels as CANN's headers see them.
#pragma once
#include "kernel_operator.h"

// CANN generates it from the tiling data of op_host.
struct LaunchData {
  uint32_t bn, sq, skv, d;
};
#define GET_TILING_DATA(name, from) \
  const LaunchData name = *reinterpret_cast<const LaunchData*>(from)

#include "mindlong_attention_backward_keys.cpp"
#include "mindlong_attention_backward_queries.cpp"
#include "mindlong_attention_forward.cpp"
