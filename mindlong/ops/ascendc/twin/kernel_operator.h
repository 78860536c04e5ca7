// Stands for CANN's header of this name where a kernel is compiled for the CPU. Own code: the subset of the API the kernels use.
#pragma once
#include "compute.h"
