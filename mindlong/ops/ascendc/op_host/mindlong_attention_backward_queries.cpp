// The gradient of q, and what the gradients of k and v need: rowsum(do o) as tails, and q times the
// scale.
#include "mindlong_attention_tiling.h"

namespace optiling {
REGISTER_TILING_DATA_CLASS(MindlongAttentionBackwardQueries, MindlongAttentionTiling)
}

namespace ge {
static graphStatus InferMindlongAttentionBackwardQueries(gert::InferShapeContext* context) {
  InferTails(*context->GetInputShape(0), context->GetOutputShape(0));
  *context->GetOutputShape(1) = *context->GetInputShape(0);
  *context->GetOutputShape(2) = *context->GetInputShape(0);
  return GRAPH_SUCCESS;
}
}  // namespace ge

namespace ops {
class MindlongAttentionBackwardQueries : public OpDef {
 public:
  explicit MindlongAttentionBackwardQueries(const char* name) : OpDef(name) {
    this->Input("q").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("k").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("v").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("control").ParamType(REQUIRED).DataType({ge::DT_INT32}).Format({ge::FORMAT_ND});
    this->Input("o").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("logsum").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Input("dout").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("delta").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("scaled").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->Output("dq").ParamType(REQUIRED).DataType({ge::DT_FLOAT16}).Format({ge::FORMAT_ND});
    this->SetInferShape(ge::InferMindlongAttentionBackwardQueries)
        .SetInferDataType(ge::InferHalf<3>);
    this->AICore().SetTiling(optiling::TileAttention<0, 1, false>).AddConfig("ascend910");
  }
};
OP_ADD(MindlongAttentionBackwardQueries);
}  // namespace ops
