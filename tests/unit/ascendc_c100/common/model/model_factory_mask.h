// Stands for the header of this name of CANN's CPU library: what its checks ask of the lanes.
#pragma once
#include "stub_fun.h"

inline uint64_t ModelFactoryGetMaskHigh() { return chip::mask[1]; }
inline uint64_t ModelFactoryGetMaskLow() { return chip::mask[0]; }
inline uint64_t ModelFactoryGetMaskMode() { return 0; }
inline uint64_t ModelFactoryGetMask() { return 0; }
