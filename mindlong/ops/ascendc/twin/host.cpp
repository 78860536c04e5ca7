// The host side of the operators on a CPU: what they register, what shapes they infer, and how they
// would be launched.
#include "../op_host/mindlong_attention_backward_keys.cpp"
#include "../op_host/mindlong_attention_backward_queries.cpp"
#include "../op_host/mindlong_attention_forward.cpp"

namespace {
std::string Ports(const std::vector<ops::OpParamDef>& ports) {
  std::string s;
  for (const auto& p : ports)
    s += p.name + (p.types.at(0) == ge::DT_FLOAT16 ? ":float16 " : ":int32 ");
  return s + "| ";
}
}  // namespace

// "inputs | outputs | chips" of an operator, each port as name:type.
extern "C" void host_describe(const char* op, char* text, int size) {
  const ops::OpDef& def = ops::Registered().at(op);
  std::string s = Ports(def.inputs) + Ports(def.outputs);
  for (const auto& c : def.core.configs)
    s += c;
  std::strncpy(text, s.c_str(), size - 1);
}
// Shapes of `count` inputs, four numbers each. Gives 0, the launch (cores, bn, sq, skv, d,
// workspace) and the outputs' shapes.
extern "C" int host_launch(const char* op, int count, const int64_t* shapes, int64_t* launch,
                           int64_t* outputs) {
  const ops::OpDef& def = ops::Registered().at(op);
  gert::TilingContext tiling;
  gert::InferShapeContext infer;
  for (int i = 0; i < count; ++i) {
    gert::Shape s;
    s.SetDimNum(4);
    for (int j = 0; j < 4; ++j)
      s.SetDim(j, shapes[i * 4 + j]);
    tiling.inputs.push_back({s});
    infer.inputs.push_back(s);
  }
  if (def.core.tiling(&tiling) != ge::GRAPH_SUCCESS)
    return 1;
  uint32_t data[4];
  if (tiling.raw.GetDataSize() != sizeof data)
    return 2;
  std::memcpy(data, tiling.raw.GetData(), sizeof data);
  launch[0] = tiling.block_dim;
  launch[5] = int64_t(tiling.workspace[0]);
  for (int i = 0; i < 4; ++i)
    launch[1 + i] = data[i];
  infer.outputs.resize(def.outputs.size());
  if (def.infer_shape(&infer) != ge::GRAPH_SUCCESS)
    return 3;
  for (size_t i = 0; i < def.outputs.size(); ++i)
    for (int j = 0; j < 4; ++j)
      outputs[i * 4 + j] = infer.outputs[i].GetDim(j);
  gert::InferDataTypeContext types;
  if (def.infer_type(&types) != ge::GRAPH_SUCCESS)
    return 4;
  return types.outputs.size() == def.outputs.size() ? 0 : 4;
}
