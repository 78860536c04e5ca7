// Stands for CANN's header of this name on a CPU.
#pragma once
namespace platform_ascendc {
class PlatformAscendC {
 public:
  explicit PlatformAscendC(void*) {}
  int64_t GetCoreNum() const { return 32; }
};
}  // namespace platform_ascendc
