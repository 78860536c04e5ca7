// Attention of q (B, N, S, D) on k and v (B, N, T, D): o, and the log-sums of the scores as tails.
#include "mindlong_attention_tiling.h"

namespace optiling {
REGISTER_TILING_DATA_CLASS(MindlongAttentionForward, MindlongAttentionTiling)
}

namespace ge {
static graphStatus InferMindlongAttentionForward(gert::InferShapeContext* context) {
  *context->GetOutputShape(0) = *context->GetInputShape(0);
  InferTails(*context->GetInputShape(0), context->GetOutputShape(1));
  return GRAPH_SUCCESS;
}
}  // namespace ge

namespace ops {
class MindlongAttentionForward : public OpDef {
 public:
  explicit MindlongAttentionForward(const char* name) : OpDef(name) {
    this->Input("q").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("k").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("v").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("control").ParamType(REQUIRED).DataType({ge::DT_INT32}).Format({ge::FORMAT_ND});
    this->Output("o").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("logsum").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->SetInferShape(ge::InferMindlongAttentionForward).SetInferDataType(ge::InferHalf<2>);
    this->AICore().SetTiling(optiling::TileAttention<0, 1, false>).AddConfig("ascend910");
  }
};
OP_ADD(MindlongAttentionForward);
}  // namespace ops
