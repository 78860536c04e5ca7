// Stands for CANN's header of this name on a CPU: the launch data. Own code. Like CANN's it knows
// neither ge:: nor gert::.
#pragma once
#include <cstdint>
#include <cstring>

#define BEGIN_TILING_DATA_DEF(name)                      \
  struct name {                                          \
    using Self = name;                                   \
    void SaveToBuffer(void* to, size_t capacity) const { \
      if (sizeof(Self) <= capacity)                      \
        std::memcpy(to, this, sizeof(Self));             \
    }                                                    \
    size_t GetDataSize() const { return sizeof(Self); }
#define TILING_DATA_FIELD_DEF(type, name) \
  type name = 0;                          \
  void set_##name(type value) { name = value; }
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(op, type) static_assert(sizeof(type) > 0, #op);
