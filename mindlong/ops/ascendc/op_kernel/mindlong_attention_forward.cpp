// Attention of q (B, N, S, D) on k and v (B, N, T, D): o, and the log-sums of the scores as tails.
#include "mindlong_attention_forward.h"

extern "C" __global__ __aicore__ void mindlong_attention_forward(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                 GM_ADDR control, GM_ADDR o,
                                                                 GM_ADDR logsum, GM_ADDR workspace,
                                                                 GM_ADDR tiling) {
  GET_TILING_DATA(t, tiling);
  AscendC::TPipe pipe;  // here, not in the class: the compiler then folds what it knows of it
  mindlong::AttentionForward kernel;
  kernel.Init(&pipe, {q, k, v, control, o, logsum}, {t.bn, t.sq, t.skv, t.d});
  kernel.Process();
}
