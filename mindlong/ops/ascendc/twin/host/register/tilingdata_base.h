// Stands for CANN's header of this name on a CPU. Own code: the part of the tiling interface that the operators use.
#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ge {
enum DataType { DT_FLOAT16, DT_INT32 };
enum Format { FORMAT_ND };
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0, GRAPH_FAILED = 0xFFFFFFFF;
}  // namespace ge

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
  void* GetPlatformInfo() { return nullptr; }
  void SetBlockDim(uint32_t n) { block_dim = n; }
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
  void SetOutputDataType(size_t i, ge::DataType type) { outputs[i] = type; }
};
}  // namespace gert

#define BEGIN_TILING_DATA_DEF(name) \
  struct name { \
    using Self = name; \
    void SaveToBuffer(void* to, size_t capacity) const { if (sizeof(Self) <= capacity) std::memcpy(to, this, sizeof(Self)); } \
    size_t GetDataSize() const { return sizeof(Self); }
#define TILING_DATA_FIELD_DEF(type, name) \
    type name = 0; \
    void set_##name(type value) { name = value; }
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(op, type) static_assert(sizeof(type) > 0, #op);
