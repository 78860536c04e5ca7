"""Calls of cells whose first has a graph from the cache where there is one.

MindSpore can keep compiled graphs, but tells them apart by the order in which a process compiles
them: another program, or the same with another setting, gets a graph that is not its own. Here
each graph has a key of everything that it is compiled from (`described`) and of its weights, lies
in a folder of its own, and is put under the number that MindSpore asks for next. Before it is used
it has to give, for an input that is always the same, the very bits that it gave when it had just
been compiled; one that does not is removed, and the graph compiled.

Only for inference on a CPU: a graph with gradients from MindSpore's cache has given NaN.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.graph import api

from mindlong.ops import attention, device
from mindlong.ops.graph_cache import store
from mindlong.ops.graph_cache.described import Untold, described, digest_of
from mindlong.utils import interrupts
from mindlong.utils.log import get_logger
from mindlong.utils.rng import normal

Inputs = Sequence[Tensor | None]
OFF = "MINDLONG_NO_GRAPH_CACHE"  # an environment variable: for tests, and for doubts
_FORCE = "MS_DEV_FORCE_USE_COMPILE_CACHE"  # MindSpore compares the main script otherwise
_PREFIX, _ROOM = "mindlong-graphs-", 256 << 20  # MindSpore's folder, and bytes free beside it
_called: WeakKeyDictionary[nn.Cell, set] = WeakKeyDictionary()  # by cell: shapes of its calls
_state: dict[str, Any] = {"on": False, "session": None}


def switch(on: bool) -> None:
    """Have graphs of cells that are called from now on kept and found, or not."""
    _state["on"] = on and not os.environ.get(OFF)


def is_on() -> bool:
    """Whether graphs are kept and found: switched on, on a CPU, in graph mode."""
    graphs = ms.get_context("mode") == ms.GRAPH_MODE and hasattr(
        api, "_get_compile_cache_dep_files"
    )  # of the MindSpore that this was tried with
    return _state["on"] and device.chip() == "cpu" and graphs


def call(cell: nn.Cell, *inputs: Tensor | None) -> Any:
    """`cell(*inputs)` of a cell without gradients; its graph is kept and found where `is_on`."""
    if not is_on():
        return cell(*inputs)
    shapes = tuple(None if x is None else (x.shape, str(x.dtype)) for x in inputs)
    known = _called.setdefault(cell, set())
    if shapes in known:
        return cell(*inputs)
    known.add(shapes)
    return _first_call(cell, inputs)


def _first_call(cell: nn.Cell, inputs: Inputs) -> Any:
    key, session = _key(cell, inputs), _session()
    if key is None or session is None:
        return cell(*inputs)
    kept = store.find(key)
    if kept is None:
        return _compiled(cell, inputs, key, session)
    get_logger().debug("the graph %s comes from %s", key[:12], store.root())
    with session.number(kept.graph):
        probed = digest_of(_flat(cell(*_probe(inputs))))
    if probed != kept.about.probe:
        get_logger().warning(
            "a kept graph gives other numbers than when it was compiled; it is compiled again"
        )
        kept.forget()
        _forget(cell)
    return cell(*inputs)


def _compiled(cell: nn.Cell, inputs: Inputs, key: str, session: _Session) -> Any:
    """The call with a graph that is compiled here, and kept."""
    with session.number(None) as made:
        out = cell(*inputs)
    if made.is_file():
        probed = digest_of(_flat(cell(*_probe(inputs))))
        store.keep(key, made, probed, f"MindSpore {ms.__version__}, {type(cell).__name__}")
    return out


class _Session:
    """MindSpore's own folder of this process: it reads and writes graph number N of the process."""

    def __init__(self) -> None:
        _remove_left()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        atexit.register(self.leave)
        interrupts.at_leaving(self.leave)
        self.graphs = self.folder / "rank_0" / "graph_cache"
        self.graphs.mkdir(parents=True)
        self.count = 0

    def leave(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def number(self, graph: Path | None) -> Iterator[Path]:
        """Have the next graph that is compiled read from `graph`, or written to what is yielded."""
        place = self.graphs / f"compile_cache_{self.count}.mindir"
        if graph is not None:
            shutil.copyfile(graph, place)
        try:
            with _asked(self.folder):
                yield place
        finally:
            self._count(place)

    def _count(self, place: Path) -> None:
        self.count += 1
        beyond = self.graphs / f"compile_cache_{self.count}.mindir"
        if beyond.exists() or not place.exists():
            _state["on"] = False  # MindSpore counts otherwise: no graph is sure to be the right one


@contextlib.contextmanager
def _asked(folder: Path) -> Iterator[None]:
    """Have MindSpore use its cache in `folder`, whatever the main script is: it would compare its
    imports, and fails where there is no script, as in a notebook.
    """
    before, files = os.environ.get(_FORCE), api._get_compile_cache_dep_files
    os.environ[_FORCE] = "1"
    api._get_compile_cache_dep_files = list
    ms.set_context(enable_compile_cache=True, compile_cache_path=str(folder))
    try:
        yield
    finally:
        ms.set_context(enable_compile_cache=False)
        api._get_compile_cache_dep_files = files
        os.environ.pop(_FORCE) if before is None else os.environ.update({_FORCE: before})


def _session() -> _Session | None:
    """MindSpore's folder; None where the system has no room for one."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(tempfile.gettempdir()).free < _ROOM:
            return None
        if _state["session"] is None:
            _state["session"] = _Session()
        return _state["session"]
    return None


def _remove_left() -> None:
    """Remove the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        number = folder.name[len(_PREFIX) :].partition("-")[0]
        if number.isdecimal() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays


def _key(cell: nn.Cell, inputs: Inputs) -> str | None:
    """The key of a cell's graph; None where something in the cell cannot be told apart."""
    try:
        text = described(cell, inputs)
    except Untold as why:
        get_logger().debug("the graph of %s is not kept: %s", type(cell).__name__, why)
        return None
    weights = digest_of(list(cell.get_parameters()))
    return hashlib.sha256("\n".join([*_surroundings(), weights, text]).encode()).hexdigest()


def _surroundings() -> Iterator[str]:
    """What a graph and its bits depend on beside the cell."""
    yield f"{ms.__version__} {platform.python_version()} {platform.machine()}"
    yield f"{device.settings()} {attention.forced()} {ms.get_context('jit_config')}"
    yield f"{len(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')}"
    yield device.library_path()


def _probe(inputs: Inputs) -> list[Tensor | None]:
    """Inputs that are always the same: normal numbers, and zeros where numbers are whole."""
    return [_like(x, i) for i, x in enumerate(inputs)]


def _like(x: Tensor | None, i: int) -> Tensor | None:
    if x is None:
        return None
    if x.dtype not in (ms.float32, ms.float16, ms.bfloat16):
        return Tensor(np.zeros(x.shape, np.int32), x.dtype)
    return Tensor(normal(tuple(x.shape), 0, "probe", i), x.dtype)


def _flat(out: Any) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    return [tensor for one in out for tensor in _flat(one)]


def _forget(cell: nn.Cell) -> None:
    """Have the cell compiled anew at its next call."""
    cell.compile_cache.clear()
