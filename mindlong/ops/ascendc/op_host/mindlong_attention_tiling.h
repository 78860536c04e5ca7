// What a launch of the attention kernels needs, from the shapes: (batch, heads, queries or keys,
// width) in half precision.
#ifndef MINDLONG_ATTENTION_TILING_H
#define MINDLONG_ATTENTION_TILING_H
// First: CANN's other two headers use ge:: and gert:: without declaring them.
#include "register/op_def_registry.h"

#include "register/tilingdata_base.h"
#include "tiling/platform/platform_ascendc.h"

namespace optiling {
BEGIN_TILING_DATA_DEF(MindlongAttentionTiling)
TILING_DATA_FIELD_DEF(uint32_t, bn);
TILING_DATA_FIELD_DEF(uint32_t, sq);
TILING_DATA_FIELD_DEF(uint32_t, skv);
TILING_DATA_FIELD_DEF(uint32_t, d);
END_TILING_DATA_DEF;

constexpr int64_t NARROWEST = 16, WIDEST = 160;  // widths of a head, multiples of 16
constexpr int64_t WIDEST_OF_TWO = 96;  // up to here the gradients of two tiles of keys fit L0C

inline bool Served(const gert::Shape& q, const gert::Shape& k) {
  if (q.GetDimNum() != 4 || k.GetDimNum() != 4)
    return false;
  const int64_t d = q.GetDim(3);
  const bool sizes = q.GetDim(0) >= 1 && q.GetDim(1) >= 1 && q.GetDim(2) >= 1 && k.GetDim(2) >= 1;
  const bool alike = k.GetDim(3) == d && k.GetDim(0) * k.GetDim(1) == q.GetDim(0) * q.GetDim(1);
  return sizes && alike && d % 16 == 0 && d >= NARROWEST && d <= WIDEST;
}

inline void Launch(gert::TilingContext* context, MindlongAttentionTiling& tiling, int64_t tasks) {
  const int64_t cores = platform_ascendc::PlatformAscendC(context->GetPlatformInfo()).GetCoreNum();
  context->SetBlockDim(static_cast<uint32_t>(tasks < cores ? tasks : cores));
  auto* raw = context->GetRawTilingData();
  tiling.SaveToBuffer(raw->GetData(), raw->GetCapacity());
  raw->SetDataSize(tiling.GetDataSize());
  context->GetWorkspaceSizes(1)[0] = 0;
}

// kQueries and kKeys: which inputs have the shape of the queries and of the keys. kRowsAreKeys:
// whose tiles are spread over the cores.
template <int kQueries, int kKeys, bool kRowsAreKeys>
ge::graphStatus TileAttention(gert::TilingContext* context) {
  const gert::Shape q = context->GetInputShape(kQueries)->GetStorageShape();
  const gert::Shape k = context->GetInputShape(kKeys)->GetStorageShape();
  if (!Served(q, k))
    return ge::GRAPH_FAILED;
  const int64_t bn = q.GetDim(0) * q.GetDim(1), d = q.GetDim(3);
  MindlongAttentionTiling tiling;
  tiling.set_bn(static_cast<uint32_t>(bn));
  tiling.set_sq(static_cast<uint32_t>(q.GetDim(2)));
  tiling.set_skv(static_cast<uint32_t>(k.GetDim(2)));
  tiling.set_d(static_cast<uint32_t>(d));
  const int64_t blocks = ((kRowsAreKeys ? k : q).GetDim(2) + 127) / 128;
  const int64_t at_a_time = kRowsAreKeys && d > WIDEST_OF_TWO ? 1 : 2;  // tiles that a core takes
  Launch(context, tiling, bn * ((blocks + at_a_time - 1) / at_a_time));
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
  for (int i = 0; i < kOutputs; ++i)
    context->SetOutputDataType(i, ge::DT_FLOAT16);
  return GRAPH_SUCCESS;
}
}  // namespace ge
#endif
