"""The roofline of a graph: products and bytes by hand, and which parts cost most."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from graph.ir import Operator  # noqa: E402
from graph.origin import Origin  # noqa: E402
from graph.roofline import CHIPS, Chip, costs, flops, part_of, roofline_lines, seconds  # noqa: E402


def made(name, kind, reads, writes, moved=0, line=""):
    return Operator(name, kind, moved, (), "float16", reads, writes, Origin(line=line))


X, FILTER, Y = (2, 3, 8, 8), (5, 3, 3, 3), (2, 5, 8, 8)
PRODUCTS = 2 * (2 * 5 * 8 * 8) * (3 * 3 * 3)
COUNTED = {
    "matmul, weight transposed": (
        ("MatMul", "matmul", ((6, 8), (16, 8)), ((6, 16),)),
        2 * 6 * 8 * 16,
    ),
    "matmul, input transposed": (
        ("MatMul", "matmul", ((8, 6), (8, 16)), ((6, 16),)),
        2 * 6 * 8 * 16,
    ),
    "batched": (
        ("BatchMatMul", "matmul", ((4, 2, 7, 3), (4, 2, 5, 3)), ((4, 2, 7, 5),)),
        2 * 8 * 7 * 3 * 5,
    ),
    "convolution": (("Conv2D", "convolution", (X, FILTER), (Y,)), PRODUCTS),
    "its input's gradient": (("Conv2DBackpropInput", "convolution", (Y, FILTER), (X,)), PRODUCTS),
    "its filter's gradient": (("Conv2DBackpropFilter", "convolution", (Y, X), (FILTER,)), PRODUCTS),
    "attention": (
        ("FlashAttentionScore", "attention", ((2, 4, 9, 16), (2, 4, 5, 16), (2, 4, 5, 16)), ()),
        4 * 2 * 4 * 9 * 5 * 16,
    ),
    "its gradient": (
        ("FlashAttentionScoreGrad", "attention", ((2, 4, 9, 16), (2, 4, 5, 16)), ()),
        10 * 2 * 4 * 9 * 5 * 16,
    ),
    "on the vector unit": (("Mul", "elementwise", ((6, 8), (6, 8)), ((6, 8),)), 0),
}


@pytest.mark.parametrize("name", COUNTED)
def test_products_and_sums(name):
    given, expected = COUNTED[name]
    assert flops(made(*given)) == expected


def test_an_operator_takes_the_longer_of_products_and_bytes():
    chip = Chip(flops=100.0, bandwidth=10.0)
    product = ("MatMul", "matmul", ((6, 8), (16, 8)), ((6, 16),))
    assert seconds(made(*product, moved=20), chip) == pytest.approx(2 * 6 * 8 * 16 / 100)
    assert seconds(made(*product, moved=2000), chip) == pytest.approx(200)
    assert seconds(made("Mul", "elementwise", (), (), moved=30), chip) == pytest.approx(3)


def test_parts_of_a_network_and_the_costliest_first():
    found = [
        made("Mul", "elementwise", (), (), 100, "ops/normalise.py:21"),
        made("Mul", "elementwise", (), (), 300, "ops/norm.py:90"),
        made("Softmax", "softmax", (), (), 350, "ops/attention/math.py:19"),
        made("Add", "elementwise", (), (), 10, "networks/unet/resnet.py:56"),
        made("Transpose", "transpose", (), (), 5),
    ]
    assert [part_of(op) for op in found] == [
        *("norms", "norms", "attention", "skips and the rest", "skips and the rest")
    ]
    parts = costs(found, "910b")
    assert list(parts) == ["norms", "attention", "skips and the rest"]
    assert parts["norms"].moved == 400 and parts["norms"].operators == 2
    assert parts["norms"].seconds == pytest.approx(400 / CHIPS["910b"].bandwidth)
    text = roofline_lines(found, "910b")
    assert text[-1] == "The three largest costs: norms, attention, skips and the rest."
    assert "vendor figures" in text[0] and "not measured" in text[0]


def test_peaks_are_cores_times_clock_times_products():
    assert CHIPS["910a"].flops == pytest.approx(221.2e12, rel=1e-3)
    assert CHIPS["910b"].flops == pytest.approx(294.9e12, rel=1e-3)
