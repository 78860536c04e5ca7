"""Cells that are called as graphs of their own.

Compiling takes several hundred megabytes for what is thrown away when the graph is ready, and the
C library keeps them for the process. A graph that has just been compiled gives them back before it
runs for the first time (MindSpore 2.10 on a CPU: 230 of 2,090 MB of the ModelScope row in
docs/benchmarks.md).
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from mindspore import nn


class OwnGraph(nn.Cell):
    """A cell that gives back what compiling it left behind."""

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """MindSpore's own, which comes before every call and compiles at the first of its kind."""
        before = len(self.compile_cache)
        with _no_collections():
            super().compile(*args, **kwargs)
        if len(self.compile_cache) > before:
            give_back()


@contextmanager
def _no_collections() -> Iterator[None]:
    """Compiling makes millions of Python objects, none of which a collection would free."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def give_back() -> None:
    """Return what the process has freed to the system, where the C library can (glibc)."""
    trim = _trim()
    if trim is not None:
        trim(0)


@lru_cache(None)
def _trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
