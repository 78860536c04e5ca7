// Native float32 CPU kernels for MindSpore's ops.Custom(func_type="aot"), one shared library.
//
// Layouts are contiguous; shapes come with the call, scalars in a small constant tensor. A non-zero
// return value makes MindSpore raise RuntimeError naming the function. Every kernel writes its
// whole output; inputs and outputs do not alias.
#include "activations.h"
#include "convolution.h"
#include "dense.h"
#include "flash_backward.h"
#include "group_norm.h"
#include "layout.h"
#include "linear_attention.h"
#include "norms.h"
#include "rms_norm.h"
#include "temporal_attention.h"

// Called once from Python through ctypes before the first op.
NK nk_setup(const char* dnnl_path, int threads, int spin) {
  dn::g_path = dnnl_path ? dnnl_path : "";
  g_threads = threads;
  if (spin >= 0)
    g_spin = spin;
  return OK;
}
// Whether products may round their factors to bfloat16; returns whether this machine can.
NK nk_bf16(int wanted) {
  bf16::g_wanted = wanted;
  return bf16::allowed();
}
