// The gradients of k and v.
#include "mindlong_attention_backward.h"

extern "C" __global__ __aicore__ void mindlong_attention_backward_keys(
    GM_ADDR k, GM_ADDR v, GM_ADDR control, GM_ADDR logsum, GM_ADDR dout, GM_ADDR delta,
    GM_ADDR scaled, GM_ADDR dk, GM_ADDR dv, GM_ADDR workspace, GM_ADDR tiling) {
  GET_TILING_DATA(t, tiling);
  AscendC::TPipe pipe;
  mindlong::AttentionBackward<true> kernel;
  kernel.Init(&pipe,
              {nullptr, k, v, control, nullptr, logsum, dout, delta, scaled, nullptr, dk, dv},
              {t.bn, t.sq, t.skv, t.d});
  kernel.Process();
}
