"""Flash attention for an Ascend 910A in Ascend C, forward and backward, and the twin that runs its
source on a CPU.

op_kernel/    the kernels (compiled by CANN for the NPU, and by g++ against the twin)
op_host/      their definitions, shapes and launch sizes for CANN
twin/         a model of the chip: memories, pipes, flags, hazards, clocks
layout.py     what the operators take and give
emulate.py    the kernels on the twin, for tests and figures
installed.py  whether they are built
build.py      builds and installs the operators with the user's CANN
verify.py     compares them with the plain form on the device
"""
