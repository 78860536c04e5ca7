// Takes the place of CANN's header of this name, which has no source: the built-ins of the compiler
// for an Ascend 910A (dav-c100), of which the ones that the attention kernels reach are modelled.
// Own code, from the documentation of the basic API and of its units and layouts.
//
// With it CANN's own headers run on a CPU: what they make of our calls is what runs. Instructions
// run in program order; hazards and time are the business of mindlong/ops/ascendc/twin.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "stub_def.h"

#include "cce_enums.h"
#include "chip.h"

#include "absent.h"
#include "cube.h"
#include "moves.h"
#include "order.h"
#include "vector.h"
