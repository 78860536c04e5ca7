// The gradient of q, and what the gradients of k and v need: rowsum(do o) as tails, and q times the
// scale.
#include "mindlong_attention_backward.h"

extern "C" __global__ __aicore__ void mindlong_attention_backward_queries(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR control, GM_ADDR o, GM_ADDR logsum, GM_ADDR dout,
    GM_ADDR delta, GM_ADDR scaled, GM_ADDR dq, GM_ADDR workspace, GM_ADDR tiling) {
  GET_TILING_DATA(t, tiling);
  AscendC::TPipe pipe;
  mindlong::AttentionBackward<false> kernel;
  kernel.Init(&pipe, {q, k, v, control, o, logsum, dout, delta, scaled, dq, nullptr, nullptr},
              {t.bn, t.sq, t.skv, t.d});
  kernel.Process();
}
