// The gradients of k and v.
#include "mindlong_attention_tiling.h"

namespace optiling {
REGISTER_TILING_DATA_CLASS(MindlongAttentionBackwardKeys, MindlongAttentionTiling)
}

namespace ge {
static graphStatus InferMindlongAttentionBackwardKeys(gert::InferShapeContext* context) {
  *context->GetOutputShape(0) = *context->GetInputShape(0);
  *context->GetOutputShape(1) = *context->GetInputShape(1);
  return GRAPH_SUCCESS;
}
}  // namespace ge

namespace ops {
class MindlongAttentionBackwardKeys : public OpDef {
 public:
  explicit MindlongAttentionBackwardKeys(const char* name) : OpDef(name) {
    this->Input("k").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("v").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("control").ParamType(REQUIRED).DataType({ge::DT_INT32}).Format({ge::FORMAT_ND});
    this->Input("logsum").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("dout").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("delta").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("scaled").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("dk").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("dv").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->SetInferShape(ge::InferMindlongAttentionBackwardKeys).SetInferDataType(ge::InferHalf<2>);
    this->AICore().SetTiling(optiling::TileAttention<4, 0, true>).AddConfig("ascend910");
  }
};
OP_ADD(MindlongAttentionBackwardKeys);
}  // namespace ops
