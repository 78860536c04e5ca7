"""The plain forms that move less: the same numbers and gradients as what they stand for."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from weighted import Weighted, shape_of

from mindlong.config.section import load_model
from mindlong.networks.init import initialise
from mindlong.networks.unet.attention import FeedForward, PolicyAttention, TextAttention
from mindlong.networks.unet.blocks import TemporalConvs
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet3d.cell import ClipGroupNorm, Unet3D
from mindlong.ops import device
from mindlong.ops.conv import ConvInParts, UpsampleNearest
from mindlong.ops.linear import Linear
from mindlong.ops.norm import GroupNorm, LayerNorm
from mindlong.ops.normalise import Normalised
from mindlong.ops.precision import set_types
from mindlong.utils.rng import normal


@pytest.fixture(autouse=True)
def _plain_operators():
    device.setup("CPU", "graph", native="off")
    yield
    device.build_for("cpu")
    device.configure("auto")


def drawn(cell):
    """The cell with weights that are no first values."""
    for i, p in enumerate(cell.get_parameters()):
        p.set_data(Tensor(normal(p.shape, 1, "weights", i) * 0.3 + (1.0 if p.ndim == 1 else 0.0)))
    return cell


def measured(call, x):
    """The output, and the gradient of sum(probe * output) for x."""
    probe = Tensor(normal(shape_of(call, Tensor(x)), 2, "probe"))
    (_, y), gradient = ms.value_and_grad(Weighted(call), 1, None, has_aux=True)(probe, Tensor(x))
    return y.asnumpy(), gradient.asnumpy(), probe.asnumpy()


class First(nn.Cell):
    """What a `Normalised` makes of x."""

    def __init__(self, axes):
        super().__init__()
        self.cell = Normalised(axes, 1e-5)

    def construct(self, x):
        return self.cell(x)[0]


def float64_norm(x, axes):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)


@pytest.mark.parametrize("axes", [(1,), (-1,), (1, 3)])
def test_a_norm_has_the_gradient_of_its_definition(axes):
    x = normal((2, 3, 2, 4), 0, "x")
    y, gradient, probe = measured(First(axes), x)
    np.testing.assert_allclose(y, float64_norm(x.astype(np.float64), axes), atol=2e-6)
    expected, step = np.zeros(x.shape), 1e-5
    for at in np.ndindex(*x.shape):
        moved = [x.astype(np.float64) for _ in range(2)]
        moved[0][at] += step
        moved[1][at] -= step
        high, low = ((probe * float64_norm(part, axes)).sum() for part in moved)
        expected[at] = (high - low) / (2 * step)
    np.testing.assert_allclose(gradient, expected, atol=5e-6)


def test_a_norm_that_is_computed_again_has_the_same_gradient():
    norm, x = drawn(GroupNorm(2, 6, act=True)), normal((3, 6, 2, 2), 0, "x")
    expected = measured(norm, x)
    norm.recompute()
    for a, b in zip(measured(norm, x), expected, strict=True):
        np.testing.assert_array_equal(a, b)


class Joint(nn.Cell):
    """A GroupNorm over the frames of a video, where they lie or turned first."""

    def __init__(self, norm, frames, turned):
        super().__init__()
        self.norm, self.frames, self.turned = norm, frames, turned

    def construct(self, x):
        if not self.turned:
            return self.norm.joint(x, self.frames)
        rows, channels, height, width = x.shape
        shape = (rows // self.frames, self.frames, channels, height, width)
        y = self.norm(x.reshape(shape).transpose((0, 2, 1, 3, 4)))
        return y.transpose((0, 2, 1, 3, 4)).reshape(x.shape)


def test_statistics_over_frames_are_taken_where_they_lie():
    norm, x = drawn(GroupNorm(2, 6, act=True)), normal((6, 6, 2, 3), 0, "x")
    found, expected = (measured(Joint(norm, 3, turned), x)[:2] for turned in (False, True))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


def test_a_norm_over_frames_with_film_is_that_of_whole_videos():
    norm, x = drawn(ClipGroupNorm(16, film=True)), Tensor(normal((6, 16, 2, 3), 0, "x"))
    scale, shift = (Tensor(normal((2, 16), 0, name)) for name in ("scale", "shift"))
    turned = x.reshape((2, 3, 16, 2, 3)).transpose((0, 2, 1, 3, 4))
    expected = norm(turned, scale, shift).transpose((0, 2, 1, 3, 4)).reshape(x.shape)
    found = norm.of_rows(x, 2, scale, shift)
    np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), atol=3e-6)


class Parts(nn.Cell):
    """The parts of a layer's answer, one behind the other."""

    def __init__(self, layer, count=None):
        super().__init__()
        self.layer, self.count = layer, count

    def construct(self, x):
        if self.count is None:
            return ops.concat(self.layer.parts(x), 1)
        return ops.concat(self.layer.parts(x, self.count), -1)


LAYERS = {
    "linear, rows enough to split the weight": (lambda: Linear(6, 8), (2, 5, 6), 2),
    "linear, too few rows": (lambda: Linear(6, 8), (2, 2, 6), 2),
    "linear, no bias": (lambda: Linear(6, 9, bias=False), (7, 6), 3),
    "convolution": (lambda: ConvInParts(4, 12, 3), (2, 4, 3, 2), None),
}


@pytest.mark.parametrize("name", LAYERS)
def test_parts_of_an_answer_are_those_of_the_whole(name):
    make, shape, count = LAYERS[name]
    layer, x = drawn(make()), normal(shape, 0, "x")
    assert not layer.native
    found, expected = (measured(call, x)[:2] for call in (Parts(layer, count), layer))
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def test_a_gated_feed_forward_splits_its_weight(dtype):
    cell, x = drawn(FeedForward(8)), Tensor(normal((3, 9, 8), 0, "x"))
    set_types(cell, dtype)
    whole = cell.proj_out(cell.act(cell.proj_in(x))).asnumpy()
    found = cell(x)
    assert found.dtype == cell.proj_out(x.tile((1, 1, 4))).dtype
    rounding = {"float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    np.testing.assert_allclose(found.asnumpy(), whole, atol=rounding * np.abs(whole).max())


@pytest.mark.parametrize("kind", [pytest.param("text", marks=pytest.mark.slow), "space"])
def test_narrow_heads_are_padded_by_the_weights_on_an_npu(kind):
    """Two heads of 6 become 16 wide in half precision, on a chip with attentions of such widths."""
    x, words = (Tensor(normal(shape, 0, "x")) for shape in ((1, 2, 5, 12), (1, 3, 8)))
    found = []
    for chip in ("cpu", "910a"):
        device.build_for(chip)
        if kind == "text":
            cell = drawn(TextAttention(12, 8, 2, False, False))
        else:
            cell = drawn(PolicyAttention(12, 2, "space", "first,prev", False, False))
        set_types(cell, "float16")
        assert cell.missing == (0 if chip == "cpu" else 10)
        q = cell.projected(x.astype(ms.float16), words if kind == "text" else x)[0]
        assert q.shape[3] == (12 if chip == "cpu" else 32)
        found.append(cell(x.astype(ms.float16), words).astype(ms.float32).asnumpy())
    np.testing.assert_allclose(found[1], found[0], atol=4e-3 * np.abs(found[0]).max())


class Step(nn.Cell):
    """`TemporalConvs` turned once, or norm by norm and convolution by convolution."""

    def __init__(self, cell, frames, each):
        super().__init__()
        self.cell, self.frames, self.each = cell, frames, each

    def construct(self, x):
        if not self.each:
            return self.cell(x, x, x, self.frames)
        h = x
        for norm, conv in zip(self.cell.norms, self.cell.convs):  # noqa: B905
            h = conv.folded(norm.joint(h, self.frames), self.frames)
        return x + h


def test_four_temporal_convolutions_turn_the_video_once():
    cell, x = drawn(TemporalConvs(4, 2, 1e-5, False)), normal((6, 4, 3, 2), 0, "x")
    found, expected = (measured(Step(cell, 3, each), x)[:2] for each in (False, True))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 4), (5, 7)])
def test_a_larger_image_is_that_of_a_cpu(size):
    x = Tensor(normal((2, 3, 3, 2), 0, "x"))
    expected = UpsampleNearest()(x, size).asnumpy()
    device.build_for("910b")
    assert np.array_equal(UpsampleNearest()(x, size).asnumpy(), expected)


def test_a_layer_norm_equals_float64():
    cell, x = LayerNorm(7), normal((2, 3, 4, 7), 0, "x")
    np.testing.assert_allclose(
        cell(Tensor(x)).asnumpy(), float64_norm(x.astype(np.float64), (-1,)), atol=2e-6
    )


SHIPPED = Path(__file__).parents[3] / "configs" / "model"
INPUTS = {
    "vdm_tiny": (Unet3D, [(1, 3, 3, 8, 8), (1, 16)]),
    "modelscope_tiny": (UNet, [(1, 4, 3, 8, 8), (1, 5, 32)]),
    "tune_a_video_sd15_tiny": (UNet, [(1, 4, 3, 8, 8), (1, 5, 32)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_a_network_of_plain_operators_is_that_of_native_ones(name):
    kind, (shape, condition) = INPUTS[name]
    spec = load_model(str(SHIPPED / f"{name}.yaml"), []).spec()
    x, t = Tensor(normal(shape, 0, "x")), Tensor([500], ms.int32)
    more, found = Tensor(normal(condition, 0, "more")), []
    for native in ("off", "on"):
        device.configure(native)
        network = initialise(kind(spec), 3).set_train(True)
        call, weights = Weighted(network), network.trainable_params()
        probe = Tensor(normal(shape, 2, "probe"))
        step = ms.value_and_grad(call, 1, ms.ParameterTuple(weights), has_aux=True)
        (_, y), (dx, dw) = step(probe, x, t, more)
        found.append([y.asnumpy(), dx.asnumpy(), *[g.asnumpy() for g in dw]])
    for plain, native in zip(*found, strict=True):
        limit = 2e-4 * max(np.abs(native).max(), 1e-3)
        np.testing.assert_allclose(plain, native, rtol=0, atol=limit)
