"""The kernels with the CPU debug library of an installed CANN, where ASCEND_HOME_PATH has one; and
that what calls it works, with the twin in its place.
"""

import ascendc_cann_cases as cases
import ascendc_cpu_debug as cpu_debug
import ascendc_oracle as oracle
import numpy as np
import pytest
from ascendc_cann import CHIP, Cann, compiler

from mindlong.ops.ascendc import emulate

FOLDER = cpu_debug.library(Cann.here().home)
# What tikicpulib.h gives, by the twin: every array may be read and written.
STANDS_FOR_THE_LIBRARY = """
#include "kernel_operator.h"
#undef GET_TILING_DATA
#include <cstdlib>
namespace AscendC {
inline void* GmAlloc(size_t bytes) {
  auto* memory = static_cast<uint8_t*>(std::malloc(bytes));
  TheCore().regions.push_back({memory, bytes, true, {}});
  return memory;
}
}  // namespace AscendC
#define ICPU_RUN_KF(kernel, cores, ...) \\
  AscendC::RunKernel(cores, [&] { kernel(__VA_ARGS__); })
"""


@pytest.mark.parametrize("name", ["keys that count by row"])
def test_a_program_in_place_of_the_twin(tmp_path, name):
    (tmp_path / "tikicpulib.h").write_text(STANDS_FOR_THE_LIBRARY)
    folders = (tmp_path, emulate.HERE / "twin", emulate.HERE / "op_kernel", CHIP)
    program = tmp_path / "run"
    flags = ["-std=c++17", "-O2", "-w", *(f"-I{f}" for f in folders), "-o", str(program)]
    done = compiler(flags, cpu_debug.SOURCE / "main.cpp")
    assert done.returncode == 0, done.stderr
    case = cases.CASES[name]
    steer = (case.draw(), case.width**-0.5, case.heads, case.visible, case.cores)
    got = cases.both(cpu_debug.CpuDebug(program), *steer)
    for a, b in zip(got, cases.both(None, *steer), strict=True):
        np.testing.assert_array_equal(a, b)
    program.write_text("#!/bin/sh\necho a bad parameter >&2\nexit 3\n")
    with pytest.raises(emulate.TwinError, match="a bad parameter"):
        cases.both(cpu_debug.CpuDebug(program), *steer)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return cpu_debug.build(FOLDER, tmp_path_factory.mktemp("cpu_debug"))


@pytest.mark.slow
@pytest.mark.skipif(FOLDER is None, reason="no ASCEND_HOME_PATH with tools/tikicpulib")
@pytest.mark.parametrize("name", ["one tile", "width 160", "window of frames"])
def test_the_kernels_run_right_with_the_cpu_debug_library(program, name):
    case = cases.CASES[name]
    debug, arrays, scale = cpu_debug.CpuDebug(program), case.draw(), case.width**-0.5
    got = cases.both(debug, arrays, scale, case.heads, case.visible, case.cores)
    seen = oracle.seen(case.visible, case.rows, case.heads, case.queries, case.keys)
    assert max(cases.errors(got, arrays, scale, seen)) < 2e-3, debug.said
