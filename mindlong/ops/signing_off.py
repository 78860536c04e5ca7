"""MindSpore 2.10 may crash while a process signs off from its scheduler.

`ClusterContext::Finalize` closes a connection while the thread that serves it may still be reading
from it (`Connection::ReceiveMessage` on a socket that is gone). So it did in 2 of 79 jobs of two
processes on two busy cores, and in 6 of 120 with what is here, which all ended well. mpirun calls
such a job failed, whose work is done. Python cannot hear of a crash in time, so the few lines that
can are C++.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable

from mindlong.ops.native.build import HERE, BuildError, build

SOURCE = HERE / "last_word.cc"
FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC")


def prepare() -> Callable[[int], None]:
    """What to call, with the exit code, once all work is done: from then on a crash ends the
    process with that code and a note on standard error. Without a compiler it does nothing.
    """
    with contextlib.suppress(BuildError, OSError):
        return ctypes.CDLL(str(build(SOURCE, FLAGS))).end_with
    return lambda code: None
