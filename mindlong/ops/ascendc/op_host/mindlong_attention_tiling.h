// What a launch of the attention kernels needs, from the shapes: (batch, heads, queries or keys, width) in half precision.
#ifndef MINDLONG_ATTENTION_TILING_H
#define MINDLONG_ATTENTION_TILING_H
#include "register/tilingdata_base.h"
#include "tiling/platform/platform_ascendc.h"

namespace optiling {
BEGIN_TILING_DATA_DEF(MindlongAttentionTiling)
  TILING_DATA_FIELD_DEF(uint32_t, bn);
  TILING_DATA_FIELD_DEF(uint32_t, sq);
  TILING_DATA_FIELD_DEF(uint32_t, skv);
  TILING_DATA_FIELD_DEF(uint32_t, d);
END_TILING_DATA_DEF;

// kQueries and kKeys: which inputs have the shape of the queries and of the keys. kRowsAreKeys: whose tiles are spread over the cores.
template <int kQueries, int kKeys, bool kRowsAreKeys> ge::graphStatus TileAttention(gert::TilingContext* context) {
  const gert::Shape q = context->GetInputShape(kQueries)->GetStorageShape(), k = context->GetInputShape(kKeys)->GetStorageShape();
  if (q.GetDimNum() != 4 || k.GetDimNum() != 4 || q.GetDim(3) != k.GetDim(3)) return ge::GRAPH_FAILED;
  const int64_t bn = q.GetDim(0) * q.GetDim(1), sq = q.GetDim(2), skv = k.GetDim(2), d = q.GetDim(3);
  if (bn < 1 || sq < 1 || skv < 1 || k.GetDim(0) * k.GetDim(1) != bn || d % 16 != 0 || d < 16 || d > 160) return ge::GRAPH_FAILED;
  MindlongAttentionTiling tiling;
  tiling.set_bn(static_cast<uint32_t>(bn));
  tiling.set_sq(static_cast<uint32_t>(sq));
  tiling.set_skv(static_cast<uint32_t>(skv));
  tiling.set_d(static_cast<uint32_t>(d));
  const int64_t blocks = ((kRowsAreKeys ? skv : sq) + 127) / 128, tasks = bn * ((blocks + 1) / 2);  // a core takes two tiles at a time
  const int64_t cores = platform_ascendc::PlatformAscendC(context->GetPlatformInfo()).GetCoreNum();
  context->SetBlockDim(static_cast<uint32_t>(tasks < cores ? tasks : cores));
  tiling.SaveToBuffer(context->GetRawTilingData()->GetData(), context->GetRawTilingData()->GetCapacity());
  context->GetRawTilingData()->SetDataSize(tiling.GetDataSize());
  context->GetWorkspaceSizes(1)[0] = 0;
  return ge::GRAPH_SUCCESS;
}
}  // namespace optiling

namespace ge {
// A tail of 16 halves for each query of each head, in tiles of 128.
inline void InferTails(const gert::Shape& q, gert::Shape* tails) {
  tails->SetDimNum(4);
  tails->SetDim(0, q.GetDim(0) * q.GetDim(1));
  tails->SetDim(1, (q.GetDim(2) + 127) / 128);
  tails->SetDim(2, 128);
  tails->SetDim(3, 16);
}
template <int kOutputs> graphStatus InferHalf(gert::InferDataTypeContext* context) {
  for (int i = 0; i < kOutputs; ++i) context->SetOutputDataType(i, ge::DT_FLOAT16);
  return GRAPH_SUCCESS;
}
}  // namespace ge
#endif
