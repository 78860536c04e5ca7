"""Sixteen bits on a CPU, layers kept in float32, and what is asked of each chip."""

from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from test_ops_native import CASES
from weighted import Weighted, shape_of

from mindlong.ops import device, precision
from mindlong.ops.attention import Attention, TokenAttention
from mindlong.ops.attention.spatial import SpatialCore
from mindlong.ops.conv import Conv2d, ConvTranspose2d, TemporalConv
from mindlong.ops.exact import looked_up, sum_of_squares
from mindlong.ops.linear import Linear
from mindlong.utils.errors import ConfigError
from mindlong.utils.rng import normal

MORE = {
    "attention": (
        lambda: Attention(2, 0.5),
        [normal((1, 2, 9, 4), 0, "qkv", i) for i in range(3)],
    ),
    "attention of tokens": (
        lambda: TokenAttention(2, 0.5),
        [normal((2, 7, 8), 1, "qkv", i) for i in range(3)],
    ),
    "attention of pixels": (lambda: SpatialCore(2, 4), [normal((2, 24, 3, 5), 2, "qkv")]),
}
ROUNDING = {"float16": 4e-3, "bfloat16": 4e-2}


@pytest.fixture(autouse=True)
def _as_on_a_cpu():
    device.setup("CPU", "graph")
    yield
    device._state["chip"] = "cpu"
    device.configure("auto")


def run(make, inputs, dtype, native, mode=ms.GRAPH_MODE):
    """Output and gradients of the cell in `dtype`; parameters stay float32."""
    device.configure(native)
    cell = make()
    for i, p in enumerate(cell.get_parameters()):
        p.set_data(Tensor(normal(p.shape, 1, "weights", i) * 0.3 + (1.0 if p.ndim == 1 else 0.0)))
    precision.set_types(cell, dtype)
    ms.set_context(mode=mode)
    tensors = [Tensor(a) for a in inputs]
    probe = Tensor(normal(shape_of(cell, *tensors), 2, "probe"))
    parameters = ms.ParameterTuple(cell.trainable_params())
    step = ms.value_and_grad(
        Weighted(cell), 1, parameters if len(parameters) else None, has_aux=True
    )
    (_, out), found = step(probe, *tensors)
    flat = [found[0], *found[1]] if len(parameters) else [found]
    return [a.astype(ms.float32).asnumpy() for a in (out, *flat)]


@cache
def exact(name):
    """Output and gradients of a case in float32."""
    return run(*{**CASES, **MORE}[name], "float32", "on", ms.PYNATIVE_MODE)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_every_operator_computes_in_16_bits_on_a_cpu(name, dtype):
    """Of the C++ operators one type is compiled; the rest runs operator by operator, for time."""
    make, inputs = {**CASES, **MORE}[name]
    wanted = exact(name)
    for native in ("on", "off"):
        compiled = native == "on" and dtype == "float16"
        mode = ms.GRAPH_MODE if compiled else ms.PYNATIVE_MODE
        found = run(make, inputs, dtype, native, mode)
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            gap = np.abs(a - b).max() / np.abs(b).max()
            assert gap <= ROUNDING[dtype], f"native {native}, array {i}"
        assert not np.array_equal(found[0], wanted[0])


@pytest.mark.parametrize("name", ["linear", "conv 3x3", "group norm, silu", "attention"])
def test_halves_work_operator_by_operator_too(name):
    make, inputs = {**CASES, **MORE}[name]
    a, b = (run(make, inputs, "float16", "on", m) for m in (ms.GRAPH_MODE, ms.PYNATIVE_MODE))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-3)


def test_halves_are_what_a_product_rounds_to():
    layer = Linear(16, 16, bias=False)
    layer.weight.set_data(Tensor(normal((16, 16), 0, "w")))
    precision.set_types(layer, "float16")
    x = normal((3, 16), 0, "x")
    w = layer.weight.asnumpy().astype(np.float16).astype(np.float32)
    wanted = (x.astype(np.float16).astype(np.float32) @ w.T).astype(np.float16)
    found = layer(Tensor(x))
    assert found.dtype == ms.float16
    np.testing.assert_allclose(found.asnumpy(), wanted, rtol=2e-3)


class Spec:
    def __init__(self, *float32):
        self.float32 = float32


class Two(nn.Cell):
    def __init__(self, *float32):
        super().__init__()
        self.spec = Spec(*float32)
        self.first, self.second = Linear(16, 16), nn.CellList([Linear(16, 16), Linear(16, 16)])

    def construct(self, x):
        x = self.first(x)
        for layer in self.second:
            x = layer(x)
        return x


@pytest.mark.parametrize(
    "patterns, kept",
    [
        ((), []),
        (("first",), ["first"]),
        (("second",), ["second.0", "second.1"]),
        (("*.1",), ["second.1"]),
    ],
)
def test_layers_that_the_spec_names_stay_in_float32(patterns, kept):
    network = nn.SequentialCell(Two(*patterns))  # below another cell
    precision.set_types(network, "float16")
    found = [name for name, cell in precision.operators(network) if cell.kept]
    assert found == [f"0.{name}" for name in kept]
    precision.store_as(network, "float16")
    stored = {p.name for p in network.get_parameters() if p.dtype == ms.float32}
    assert stored == {f"0.{name}.{leaf}" for name in kept for leaf in ("weight", "bias")}
    assert network(Tensor(normal((2, 16), 0, "x"))).dtype == (
        ms.float32 if "second.1" in kept else ms.float16
    )


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="'frist'.*Did you mean 'first'"):
        precision.set_types(Two("frist"), "float16")


def test_a_kept_layer_holds_what_halves_cannot():
    network = Two("first")
    for p in network.get_parameters():
        p.set_data(Tensor(np.full(p.shape, 100.0 if p.name == "first.weight" else 0.0, np.float32)))
    precision.set_types(network, "float16")
    assert network.first(Tensor(np.full((1, 16), 100.0, np.float32))).asnumpy()[0, 0] == 160000.0


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: Linear(16, 32), (3, 16)),
        (lambda: Conv2d(16, 32, 3, padding=1), (2, 16, 5, 7)),
        (lambda: ConvTranspose2d(6, 5, 4, 2, 1), (2, 6, 5, 7)),
        (lambda: TemporalConv(16, 32), (1, 16, 5, 3, 3)),
    ],
)
def test_a_910a_keeps_a_layer_by_scaling_it(make, shape):
    """Its products are of halves whatever their type: only their range can be helped."""
    device._state["chip"] = "910a"
    cell = make()
    for i, p in enumerate(cell.get_parameters()):
        p.set_data(Tensor(normal(p.shape, 1, "w", i)))
    x = normal(shape, 0, "x") * 1e5
    network = nn.SequentialCell(cell)
    network.spec = Spec("0")
    precision.set_types(network, "float16")
    rows, weight = cell.operands(Tensor(x))
    assert rows.dtype == weight.dtype == ms.float16
    found = network(Tensor(x))
    device._state["chip"] = "cpu"
    exact = make()
    ms.load_param_into_net(exact, {p.name.removeprefix("0."): p for p in cell.get_parameters()})
    wanted = exact(Tensor(x)).asnumpy()
    assert found.dtype == ms.float32
    assert np.abs(found.asnumpy() - wanted).max() <= 4e-3 * np.abs(wanted).max()


def test_bfloat16_is_refused_on_a_910a():
    for key, dtype in (("latent.dtype", "bfloat16"), ("train.precision", "bf16")):
        for chip in ("cpu", "910b"):
            device._state["chip"] = chip
            precision.check_chip(key, dtype)
        device._state["chip"] = "910a"
        with pytest.raises(ConfigError, match=f"{key} is {dtype}, and a 910A has no bfloat16"):
            precision.check_chip(key, dtype)


class Asked:
    """Stands in for MindSpore's settings of precision, which need an NPU."""

    def __init__(self):
        self.calls = {}

    def __getattr__(self, name):
        return lambda value: self.calls.update({name: value})


@pytest.mark.parametrize(
    "chip, hf32, calls",
    [
        ("910a", False, {"precision_mode": "allow_fp32_to_fp16"}),
        (
            "910b",
            True,
            {
                "precision_mode": "must_keep_origin_dtype",
                "matmul_allow_hf32": True,
                "conv_allow_hf32": True,
            },
        ),
    ],
)
def test_what_is_asked_of_each_chip(monkeypatch, chip, hf32, calls):
    asked = Asked()
    monkeypatch.setattr(ms.device_context.ascend, "op_precision", asked)
    device.set_precision(chip, hf32)
    assert asked.calls == calls


def test_hf32_is_of_the_910b_alone():
    with pytest.raises(ConfigError, match="HF32"):
        device.set_precision("910a", True)


@pytest.mark.parametrize("chip", ["cpu", "910a"])
def test_sums_that_are_not_of_halves(chip):
    device._state["chip"] = chip
    x = normal((40, 50), 0, "x") * 1e4  # its square is no half

    def total(x):
        return sum_of_squares(x).sum()

    value, gradient = ms.value_and_grad(total)(Tensor(x))
    assert float(value) == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-6)
    np.testing.assert_allclose(gradient.asnumpy(), 2 * x, rtol=1e-6)
    rows = np.eye(5, dtype=np.float32)[[0, 3, 3]]
    table = normal((5, 4), 0, "table")
    np.testing.assert_array_equal(
        looked_up(Tensor(rows), Tensor(table)).asnumpy(), table[[0, 3, 3]]
    )
