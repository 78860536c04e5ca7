"""The C++ operators and the plain ones compute the same numbers, forward and backward; and both
equal float64.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from weighted import Weighted, shape_of

from mindlong.networks.t5.cell import RMSNorm
from mindlong.ops import device
from mindlong.ops.activation import GEGLU, GELU, SiLU
from mindlong.ops.attention.linear import LinearCore
from mindlong.ops.attention.temporal import TemporalCore
from mindlong.ops.conv import Conv2d, ConvTranspose2d, TemporalConv
from mindlong.ops.layout import AddChannels, Exchange, Gated, Modulate
from mindlong.ops.linear import Linear
from mindlong.ops.norm import ChannelLayerNorm, ChannelRMSNorm, GroupNorm, LayerNorm
from mindlong.utils.rng import normal


@pytest.fixture(autouse=True)
def _graph_mode_then_automatic_operators():
    device.setup("CPU", "graph")
    yield
    device.configure("auto")


def arrays(*shapes):
    return [normal(shape, 0, "ops", i) for i, shape in enumerate(shapes)]


def run(make, inputs, mode, graph=True):
    """Output and all gradients of the cell that `make` builds with the operators of `mode`."""
    device.configure(mode)
    cell = make()
    for i, p in enumerate(cell.get_parameters()):
        p.set_data(Tensor(normal(p.shape, 1, "weights", i) * 0.3 + (1.0 if p.ndim == 1 else 0.0)))
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    tensors = [Tensor(a) for a in inputs]
    probe = Tensor(normal(shape_of(cell, *tensors), 2, "probe"))
    net = Weighted(cell)
    positions = tuple(range(1, len(inputs) + 1))
    parameters = ms.ParameterTuple(cell.trainable_params())
    grad = ms.value_and_grad(net, positions, parameters if len(parameters) else None, has_aux=True)
    (_, out), gradients = grad(probe, *tensors)
    flat = [*gradients[0], *gradients[1]] if len(parameters) else list(gradients)
    return [out.asnumpy(), *[g.asnumpy() for g in flat]]


class Folded(nn.Cell):
    """What a cell does on frames that are folded behind the batch."""

    def __init__(self, cell, frames):
        super().__init__()
        self.cell, self.frames, self.norm = cell, frames, isinstance(cell, GroupNorm)

    def construct(self, x):
        return self.cell.joint(x, self.frames) if self.norm else self.cell.folded(x, self.frames)


class JointFilm(nn.Cell):
    """A norm over the frames of a video, with its scale and shift."""

    def __init__(self, frames):
        super().__init__()
        self.cell, self.frames = GroupNorm(4, 8, act=True, film=True), frames

    def construct(self, x, scale, shift):
        return self.cell.joint(x, self.frames, scale, shift)


F, N, D = 5, 2, 6
ANGLES = [
    np.cos(np.arange(F * 2)).reshape(F, 2).astype(np.float32),
    np.sin(np.arange(F * 2)).reshape(F, 2).astype(np.float32),
]
CASES = {
    "silu": (SiLU, arrays((3, 7, 11))),
    "gelu": (GELU, arrays((1001,))),
    "geglu": (GEGLU, arrays((5, 3, 14))),
    "group norm": (lambda: GroupNorm(5, 10), arrays((2, 10, 5, 3))),
    "group norm, silu": (lambda: GroupNorm(2, 6, act=True), arrays((3, 6, 7))),
    "group norm, film, frames folded": (
        lambda: GroupNorm(4, 8, act=True, film=True),
        arrays((6, 8, 5, 7), (2, 8), (2, 8)),
    ),
    "group norm, film, over frames": (lambda: JointFilm(3), arrays((6, 8, 5, 7), (2, 8), (2, 8))),
    "layer norm": (lambda: LayerNorm(7), arrays((5, 3, 7))),
    "channel layer norm": (lambda: ChannelLayerNorm(33), arrays((2, 33, 9, 31))),
    "rms norm": (lambda: ChannelRMSNorm(5), arrays((2, 5, 7, 3))),
    "rms norm, silu": (lambda: ChannelRMSNorm(9, act=True), arrays((3, 9, 17, 19))),
    "rms norm, film, frames folded": (
        lambda: ChannelRMSNorm(8, act=True, film=True),
        arrays((6, 8, 5, 7), (2, 8), (2, 8)),
    ),
    "linear": (lambda: Linear(48, 80), arrays((2, 57, 48))),
    "linear, no bias": (lambda: Linear(64, 16, bias=False), arrays((301, 64))),
    "linear, odd widths": (lambda: Linear(7, 5), arrays((3, 7))),
    "group norm over frames": (lambda: Folded(GroupNorm(2, 6), 3), arrays((6, 6, 5, 3))),
    "conv over folded frames": (lambda: Folded(TemporalConv(16, 32), 5), arrays((10, 16, 3, 7))),
    "conv over folded frames, odd widths": (
        lambda: Folded(TemporalConv(6, 5), 4),
        arrays((4, 6, 2, 3)),
    ),
    "conv 3x3, by tiles": (lambda: Conv2d(32, 48, 3, padding=1), arrays((3, 32, 9, 13))),
    "conv 3x3": (lambda: Conv2d(3, 5, 3, padding=1), arrays((2, 3, 9, 11))),
    "conv 4x4, stride 2": (lambda: Conv2d(6, 8, 4, stride=2, padding=1), arrays((1, 6, 10, 14))),
    "conv 1x1, no bias": (lambda: Conv2d(17, 33, 1, bias=False), arrays((3, 17, 5, 7))),
    "conv 1x1, as products": (lambda: Conv2d(48, 21, 1), arrays((3, 48, 8, 14))),
    "conv 1x1, as products, no bias": (
        lambda: Conv2d(160, 70, 1, bias=False),
        arrays((2, 160, 4, 12)),
    ),
    "conv 7x7": (lambda: Conv2d(3, 4, 7, padding=3), arrays((2, 3, 8, 8))),
    "transposed conv": (
        lambda: ConvTranspose2d(6, 5, 4, stride=2, padding=1),
        arrays((2, 6, 5, 7)),
    ),
    "temporal conv": (lambda: TemporalConv(4, 6), arrays((2, 4, 5, 3, 3))),
    "temporal attention": (
        lambda: TemporalCore(N, D, 4),
        [*arrays((2 * F, 3 * N * D, 5, 7)), *ANGLES, *arrays((1, N, F, F))],
    ),
    "temporal attention, bias by video": (
        lambda: TemporalCore(N, D, 4),
        [*arrays((2 * F, 3 * N * D, 4, 4)), *ANGLES, *arrays((2, N, F, F))],
    ),
    "linear attention": (lambda: LinearCore(3, 8), arrays((4, 72, 5, 7))),
}


AS_GIVEN = {  # what computes in the type of its input, or always in float32
    "axes exchanged, one number": (Exchange, arrays((2, 37, 19, 1))),
    "axes exchanged, runs": (Exchange, arrays((3, 5, 18, 7))),
    "added to channels": (AddChannels, arrays((3, 7, 5, 11), (3, 7))),
    "modulated": (Modulate, arrays((2, 9, 70), (2, 70), (2, 70))),
    "gated": (Gated, arrays((2, 9, 70), (2, 9, 70), (2, 70))),
    "rms norm over the last axis": (lambda: RMSNorm(70, 1e-6), arrays((3, 11, 70))),
}


@pytest.mark.parametrize("name", CASES | AS_GIVEN)
def test_native_equals_plain_forward_and_gradients(name):
    make, inputs = (CASES | AS_GIVEN)[name]
    plain, native = run(make, inputs, "off", graph=False), run(make, inputs, "on")
    frozen = (
        (2, 3) if name.startswith("temporal attention") else ()
    )  # the angles get no gradient in the native form
    for i, (a, b) in enumerate(zip(plain, native, strict=True)):
        if i not in frozen:
            assert a.shape == b.shape
            assert np.abs(a - b).max() <= 1e-5 * max(np.abs(a).max(), 1.0), f"{name}: array {i}"


@pytest.mark.parametrize(
    "name", ["rms norm, film, frames folded", "temporal attention", "transposed conv"]
)
def test_native_runs_in_pynative_mode_too(name):
    make, inputs = CASES[name]
    for a, b in zip(run(make, inputs, "on"), run(make, inputs, "on", graph=False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def float64_rms(x, gamma):
    x = x.astype(np.float64)
    return x / np.sqrt((x**2).sum(1, keepdims=True)) * np.sqrt(x.shape[1]) * gamma.reshape(1, -1, 1)


@pytest.mark.parametrize("mode", ["on", "off"])
def test_rms_norm_equals_float64_and_keeps_zeros_finite(mode):
    device.configure(mode)
    cell = ChannelRMSNorm(6)
    x = normal((2, 6, 50), 0, "x")
    np.testing.assert_allclose(
        cell(Tensor(x)).asnumpy(), float64_rms(x, np.ones(6)), rtol=2e-6, atol=2e-6
    )
    for tiny in (0.0, 1e-13):
        out = run(lambda: ChannelRMSNorm(6), [np.full((1, 6, 3), tiny, np.float32)], mode)
        assert all(np.isfinite(a).all() for a in out)
        expected = tiny / max(tiny * 6**0.5, 1e-12) * 6**0.5
        np.testing.assert_allclose(
            np.abs(cell(Tensor(np.full((1, 6, 3), tiny, np.float32))).asnumpy()),
            expected,
            rtol=1e-4,
        )


def test_no_compiler_means_plain_operators(monkeypatch):
    from mindlong.ops.native import build

    monkeypatch.setattr(build, "compiler", lambda: None)
    build.library.cache_clear()
    try:
        device.configure("auto")
        assert not device.use_native()
        with pytest.raises(Exception, match="env.native is on"):
            device.configure("on")
    finally:
        monkeypatch.undo()
        build.library.cache_clear()
        device.configure("auto")


def test_a_wrong_dtype_is_refused_by_the_kernel():
    from mindlong.ops.native import functions

    with pytest.raises(RuntimeError, match="nk_silu"):
        functions.silu()(Tensor(np.ones(4, np.float16))).asnumpy()


class Chain(nn.Cell):
    """Every variant of an operator in one graph."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (
            Conv2d(4, 8, 3, padding=1),
            Conv2d(8, 8, 1, bias=False),
            Conv2d(8, 4, 4, stride=2, padding=1),
        )
        self.n1, self.n2 = ChannelRMSNorm(8, act=True, film=True), ChannelRMSNorm(8, act=True)
        self.n3, self.n4 = GroupNorm(2, 8, act=True, film=True), GroupNorm(4, 8, act=True)

    def construct(self, x, scale, shift):
        x = self.n2(self.n1(self.a(x), scale, shift))
        return self.c(self.n4(self.n3(self.b(x), scale, shift)))


def test_variants_of_an_operator_do_not_disturb_each_other_in_one_graph():
    inputs = arrays((4, 4, 8, 6), (2, 8), (2, 8))
    for a, b in zip(run(Chain, inputs, "off"), run(Chain, inputs, "on"), strict=True):
        assert np.abs(a - b).max() <= 2e-5 * max(np.abs(a).max(), 1.0)
