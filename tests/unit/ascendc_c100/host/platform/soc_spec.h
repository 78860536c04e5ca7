// Stands for the header of this name where the folders of CANN have none.
#pragma once
#include <csignal>
#include <cstdint>

enum class NpuArch : uint32_t { DAV_1001 = 1001, DAV_2002 = 2002, DAV_2201 = 2201 };
