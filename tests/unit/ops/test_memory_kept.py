"""What compiled graphs keep: no tables of indices, and nothing of what compiling needed."""

import ctypes

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindlong.ops import device, own_graph
from mindlong.ops.layout import AddChannels, Exchange, Gated, Modulate
from mindlong.ops.own_graph import OwnGraph

FIELDS = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
]
MB = 2.0**20
BIG = (16, 320, 256)  # 5 MB


class Allocated(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def allocated():
    """Megabytes that this process has allocated and not freed."""
    found = ctypes.CDLL(None).mallinfo2
    found.restype = Allocated
    now = found()
    return (now.uordblks + now.hblkhd) / MB


def ones(*shape):
    return Tensor(np.ones(shape, np.float32))


CASES = {
    "exchange": (Exchange, lambda: (ones(*BIG, 1),)),
    "channels": (AddChannels, lambda: (ones(*BIG, 1), ones(*BIG[:2]))),
    "modulate": (Modulate, lambda: (ones(*BIG), ones(16, 256), ones(16, 256))),
    "gated": (Gated, lambda: (ones(*BIG), ones(*BIG), ones(16, 256))),
}
SLOW = {"channels", "gated"}
SOME = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES]


@pytest.fixture(autouse=True)
def _graph_mode():
    device.setup("CPU", "graph", native="on")
    yield
    device.configure("auto")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc's mallinfo2")
@pytest.mark.parametrize("name", SOME)
def test_a_graph_keeps_no_table_of_indices(name):
    made, inputs = CASES[name]
    given = inputs()
    warm = made()
    warm(*given)  # the pool of memory and the library's own buffers
    before = allocated()
    cells = [made() for _ in range(4)]
    for cell in cells:
        cell(*given)
        cell(*given)
    assert allocated() - before < 5 * len(cells)  # a table takes 10 to 40 MB for each


class Doubled(OwnGraph):
    def construct(self, x):
        return x + x


def test_memory_is_given_back_when_a_graph_was_compiled_and_only_then(monkeypatch):
    given = []
    monkeypatch.setattr(own_graph, "give_back", lambda: given.append(1))
    cell = Doubled()
    for _ in range(3):
        cell(ones(2, 3))
    assert len(given) == 1
    cell(ones(5, 3))
    assert len(given) == 2


def test_a_part_of_a_graph_gives_nothing_back(monkeypatch):
    given = []
    monkeypatch.setattr(own_graph, "give_back", lambda: given.append(1))

    class Outer(nn.Cell):
        def __init__(self):
            super().__init__()
            self.inner = Doubled()

        def construct(self, x):
            return self.inner(x)

    Outer()(ones(2, 3))
    assert not given


def test_a_library_without_malloc_trim_is_no_error(monkeypatch):
    monkeypatch.setattr(own_graph, "_trim", lambda: None)
    own_graph.give_back()


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("single", [None, 0, -1], ids=["halves", "first", "last"])
def test_types_are_those_of_plain_operators(name, single):
    made, inputs = CASES[name]
    given = [x[:2].astype(ms.float16) * 0.5 for x in inputs()]
    if single is not None:
        given[single] = given[single].astype(ms.float32)
    found = made()(*given)
    device.configure("off")
    plain = made()(*given)
    assert found.dtype == plain.dtype
    np.testing.assert_array_equal(found.asnumpy(), plain.asnumpy())
