"""Calls the C++ operators by their AOT interface, without MindSpore: for numbers of threads, and
inputs that no cell makes.
"""

import ctypes
import shutil
from pathlib import Path

import mindspore
import numpy as np

from mindlong.ops.native.build import build

TYPES = {"float32": b"float32", "int32": b"int32", "int64": b"int64"}


def library(folder: Path, threads: int) -> ctypes.CDLL:
    """A copy of the library of its own, with its own pool of threads."""
    copy = folder / f"kernels_{threads}.so"
    shutil.copy(build(), copy)
    lib = ctypes.CDLL(str(copy))
    lib.nk_setup(
        str(Path(mindspore.__file__).parent / "lib" / "libdnnl.so.3").encode(), threads, -1
    )
    return lib


def call(lib: ctypes.CDLL, name: str, *arrays: np.ndarray) -> int:
    """Run the operator on inputs, then outputs; returns its code, 0 for done."""
    n = len(arrays)
    shapes = [(ctypes.c_int64 * max(1, a.ndim))(*a.shape) for a in arrays]
    pointers = (ctypes.POINTER(ctypes.c_int64) * n)(
        *[ctypes.cast(s, ctypes.POINTER(ctypes.c_int64)) for s in shapes]
    )
    types = (ctypes.c_char_p * n)(*[TYPES[str(a.dtype)] for a in arrays])
    data = (ctypes.c_void_p * n)(*[a.ctypes.data for a in arrays])
    return getattr(lib, name)(
        n, data, (ctypes.c_int * n)(*[a.ndim for a in arrays]), pointers, types, None, None
    )
