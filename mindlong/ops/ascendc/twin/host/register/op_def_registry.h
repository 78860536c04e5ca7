// Stands for CANN's header of this name on a CPU: what an operator says of itself, and the contexts
// that CANN asks with. Own code. As in CANN only this header declares ge:: and gert::, and it does
// not bring the macros of tilingdata_base.h.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ge {
enum DataType { DT_FLOAT16, DT_INT32 };
enum Format { FORMAT_ND };
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0, GRAPH_FAILED = 0xFFFFFFFF;
}  // namespace ge

namespace fe {
class PlatFormInfos;
}

namespace gert {
class Shape {
 public:
  size_t GetDimNum() const { return dims_.size(); }
  int64_t GetDim(size_t i) const { return dims_.at(i); }
  void SetDimNum(size_t n) { dims_.resize(n); }
  void SetDim(size_t i, int64_t n) { dims_.at(i) = n; }

 private:
  std::vector<int64_t> dims_;
};
struct StorageShape {
  Shape shape;
  const Shape& GetStorageShape() const { return shape; }
};
class TilingData {
 public:
  void* GetData() { return data_; }
  size_t GetCapacity() const { return sizeof data_; }
  void SetDataSize(size_t n) { size_ = n; }
  size_t GetDataSize() const { return size_; }

 private:
  uint8_t data_[256];
  size_t size_ = 0;
};
class TilingContext {
 public:
  std::vector<StorageShape> inputs;
  uint32_t block_dim = 0;
  TilingData raw;
  size_t workspace[1] = {99};
  const StorageShape* GetInputShape(size_t i) const { return &inputs.at(i); }
  fe::PlatFormInfos* GetPlatformInfo() const { return nullptr; }
  ge::graphStatus SetBlockDim(uint32_t n) {
    block_dim = n;
    return ge::GRAPH_SUCCESS;
  }
  TilingData* GetRawTilingData() { return &raw; }
  size_t* GetWorkspaceSizes(size_t) { return workspace; }
};
class InferShapeContext {
 public:
  std::vector<Shape> inputs, outputs;
  const Shape* GetInputShape(size_t i) const { return &inputs.at(i); }
  Shape* GetOutputShape(size_t i) { return &outputs.at(i); }
};
class InferDataTypeContext {
 public:
  std::map<size_t, ge::DataType> outputs;
  ge::graphStatus SetOutputDataType(size_t i, ge::DataType type) {
    outputs[i] = type;
    return ge::GRAPH_SUCCESS;
  }
};
}  // namespace gert

namespace ops {
enum Option { OPTIONAL, REQUIRED };
class OpParamDef {
 public:
  std::string name;
  std::vector<ge::DataType> types;
  OpParamDef& ParamType(Option) { return *this; }
  OpParamDef& DataType(std::vector<ge::DataType> t) {
    types = std::move(t);
    return *this;
  }
  OpParamDef& Format(std::vector<ge::Format>) { return *this; }
};
class OpAICoreDef {
 public:
  using Tiling = ge::graphStatus (*)(gert::TilingContext*);
  Tiling tiling = nullptr;
  std::vector<std::string> configs;
  OpAICoreDef& SetTiling(Tiling f) {
    tiling = f;
    return *this;
  }
  void AddConfig(const char* soc) { configs.push_back(soc); }
};
class OpDef {
 public:
  using InferShape = ge::graphStatus (*)(gert::InferShapeContext*);
  using InferDataType = ge::graphStatus (*)(gert::InferDataTypeContext*);
  explicit OpDef(const char* op) : name(op) {
    inputs.reserve(16);
    outputs.reserve(16);
  }
  OpParamDef& Input(const char* port) { return Add(inputs, port); }
  OpParamDef& Output(const char* port) { return Add(outputs, port); }
  OpDef& SetInferShape(InferShape f) {
    infer_shape = f;
    return *this;
  }
  OpDef& SetInferDataType(InferDataType f) {
    infer_type = f;
    return *this;
  }
  OpAICoreDef& AICore() { return core; }
  std::string name;
  std::vector<OpParamDef> inputs, outputs;
  OpAICoreDef core;
  InferShape infer_shape = nullptr;
  InferDataType infer_type = nullptr;

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
#define OP_ADD(type) \
  static const bool added_##type = ops::Registered().emplace(#type, type(#type)).second
}  // namespace ops
