// Stands for CANN's header of this name on a CPU.
#pragma once
#include <cstdint>

namespace fe {
class PlatFormInfos;
}

namespace platform_ascendc {
class PlatformAscendC {
 public:
  PlatformAscendC() = delete;
  explicit PlatformAscendC(fe::PlatFormInfos*) {}
  uint32_t GetCoreNum() const { return 32; }
};
}  // namespace platform_ascendc
