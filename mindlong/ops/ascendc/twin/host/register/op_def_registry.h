// Stands for CANN's header of this name on a CPU: keeps what an operator says of itself.
#pragma once
#include "register/tilingdata_base.h"

namespace ops {
enum Param { REQUIRED };
class OpParamDef {
 public:
  std::string name;
  std::vector<ge::DataType> types;
  OpParamDef& ParamType(Param) { return *this; }
  OpParamDef& DataType(std::vector<ge::DataType> t) { return types = std::move(t), *this; }
  OpParamDef& Format(std::vector<ge::Format>) { return *this; }
};
class OpAICoreDef {
 public:
  std::function<ge::graphStatus(gert::TilingContext*)> tiling;
  std::vector<std::string> configs;
  OpAICoreDef& SetTiling(ge::graphStatus (*f)(gert::TilingContext*)) { return tiling = f, *this; }
  OpAICoreDef& AddConfig(const char* soc) { return configs.push_back(soc), *this; }
};
class OpDef {
 public:
  explicit OpDef(const char* op) : name(op) { inputs.reserve(16), outputs.reserve(16); }
  OpParamDef& Input(const char* port) { return Add(inputs, port); }
  OpParamDef& Output(const char* port) { return Add(outputs, port); }
  OpDef& SetInferShape(ge::graphStatus (*f)(gert::InferShapeContext*)) { return infer_shape = f, *this; }
  OpDef& SetInferDataType(ge::graphStatus (*f)(gert::InferDataTypeContext*)) { return infer_type = f, *this; }
  OpAICoreDef& AICore() { return core; }
  std::string name;
  std::vector<OpParamDef> inputs, outputs;
  OpAICoreDef core;
  std::function<ge::graphStatus(gert::InferShapeContext*)> infer_shape;
  std::function<ge::graphStatus(gert::InferDataTypeContext*)> infer_type;

 private:
  static OpParamDef& Add(std::vector<OpParamDef>& list, const char* port) {
    list.push_back({});
    list.back().name = port;
    return list.back();
  }
};
inline std::map<std::string, OpDef>& Registered() {
  static std::map<std::string, OpDef> all;
  return all;
}
#define OP_ADD(type) static const bool added_##type = ops::Registered().emplace(#type, type(#type)).second
}  // namespace ops
