"""What is said to the vendor's operator of a 910B, rule by rule, and that a stand-in with its
semantics computes the same.
"""

import mindspore as ms
import numpy as np
import pytest
import vendor_attention
from mindspore import Tensor, nn, ops

from mindlong.ops.attention import flash_910b as module
from mindlong.ops.attention.flash_910b import OPEN, plan
from mindlong.ops.attention.visible import FAR, Visible
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("width", "padded"), [(16, 16), (40, 48), (64, 64), (72, 80), (160, 160), (512, 512), (1, 16)]
)
def test_the_width_is_padded_and_the_scale_is_that_of_the_true_width(width, padded):
    p = plan((2, 8, 64, width), 64, width**-0.5)
    assert p.width == padded and p.scalar_value == width**-0.5 and p.scale_queries == 1


def test_no_mask_leaves_every_argument_at_its_default():
    p = plan((2, 8, 64, 64), 77, 0.125)
    assert (p.sparse_mode, p.pre_tokens, p.next_tokens, p.discard) == (0, OPEN, OPEN, None)
    assert (p.rows, p.heads) == (2, 8)


@pytest.mark.parametrize(
    ("shape", "keys", "words"),
    [
        ((1, 1, 600_000, 16), 16, "524288"),
        ((1, 1, 16, 16), 600_000, "524288"),
        ((1, 1, 16, 528), 16, "512"),
        ((1, 300, 16, 16), 16, "256 heads"),
        ((4099, 1, 16, 16), 16, "2048 rows"),
    ],
)
def test_a_limit_of_the_operator_is_named(shape, keys, words):
    with pytest.raises(ConfigError, match=words):
        plan(shape, keys, 1.0)


def test_too_many_rows_are_moved_into_the_heads():
    assert [getattr(plan((8192, 5, 16, 64), 16, 0.125), f) for f in ("rows", "heads")] == [2048, 20]
    with pytest.raises(
        ConfigError, match="2048 rows"
    ):  # with a bias for each the rows are not alike
        plan((8192, 5, 16, 64), 16, 0.125, bias_rows=8192)


def test_a_mask_is_one_where_a_key_is_discarded():
    p = plan((2, 1, 3, 16), 4, 1.0, Visible(key_counts=(2, 4)))
    assert p.discard.dtype == np.uint8 and p.discard.shape == (2, 1, 3, 4)
    np.testing.assert_array_equal(p.discard[:, 0, 0], [[0, 0, 1, 1], [0, 0, 0, 0]])
    assert plan((2, 1, 3, 16), 4, 1.0, Visible(key_counts=(3, 3))).discard.shape == (2, 1, 3, 4)
    assert plan((2, 1, 3, 16), 4, 1.0, Visible(key_counts=(4, 4))).discard is None


def test_a_short_band_gives_its_whole_mask_and_leaves_the_tokens_open():
    """CANN asks that mask and tokens mean the same keys, and windows of frames are no band."""
    p = plan((1, 1, 6, 16), 6, 1.0, Visible(back=1, ahead=0))
    assert (p.sparse_mode, p.pre_tokens, p.next_tokens) == (0, OPEN, OPEN)
    np.testing.assert_array_equal(p.discard[2], [1, 0, 0, 1, 1, 1])
    p = plan((1, 1, 6, 16), 6, 1.0, Visible(back=1, ahead=0, unit=2))  # frames of two tokens
    assert (p.sparse_mode, p.pre_tokens, p.next_tokens) == (0, OPEN, OPEN)
    np.testing.assert_array_equal(p.discard[4], [1, 1, 0, 0, 0, 0])


def test_a_long_square_band_of_tokens_takes_the_compressed_triangle():
    p = plan((1, 1, 4096, 16), 4096, 1.0, Visible(back=100, ahead=7))
    assert (p.sparse_mode, p.pre_tokens, p.next_tokens, p.discard.shape) == (
        4,
        100,
        7,
        (2048, 2048),
    )
    assert p.discard[0, 1] == 1 and p.discard[1, 0] == 0 and p.discard[5, 5] == 0
    assert (
        plan((1, 1, 4096, 16), 4000, 1.0, Visible(back=100, ahead=7)).sparse_mode == 0
    )  # counted from the other corner
    assert plan((1, 1, 4096, 16), 4096, 1.0, Visible(back=100, ahead=7, unit=2)).sparse_mode == 0


def test_a_mask_that_would_not_fit_and_a_query_that_sees_nothing_are_errors():
    with pytest.raises(ConfigError, match="MB"):
        plan((1, 1, 65536, 16), 65536, 1.0, Visible(back=1, ahead=0, unit=4096))
    with pytest.raises(ConfigError, match="query 3 of batch row 0 sees none"):
        plan((1, 1, 6, 16), 2, 1.0, Visible(back=1, ahead=0))


def test_with_a_bias_the_scale_is_on_the_queries():
    p = plan((1, 1, 6, 40), 6, 40**-0.5, bias_rows=1)
    assert p.scalar_value == 1.0 and p.scale_queries == 40**-0.5


class Attend(nn.Cell):
    def __init__(self, scale, visible):
        super().__init__()
        self.scale, self.visible = scale, visible

    def construct(self, q, k, v, bias=None):
        return module.attend_910b(q, k, v, self.scale, self.visible, bias)


def expected(q, k, v, scale, seen, bias):
    scores = q @ k.transpose(0, 1, 3, 2) * scale + (0 if bias is None else bias)
    scores = np.where(seen[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


CASES = {  # rows, heads, queries, keys, width, visible, bias
    "plain": (2, 2, 20, 30, 40, Visible(), False),
    "keys": (2, 2, 20, 30, 16, Visible(key_counts=(7, 30)), False),
    "frames": (1, 2, 24, 24, 32, Visible(back=1, ahead=1, unit=4), False),
    "causal": (1, 1, 24, 24, 32, Visible(back=FAR, ahead=0), False),
    "compressed": (1, 1, 2064, 2064, 16, Visible(back=30, ahead=3), False),
    "bias": (2, 2, 20, 30, 40, Visible(), True),
    "folded": (2050, 1, 4, 4, 16, Visible(), False),
    "folded with a bias": (2050, 2, 4, 4, 16, Visible(), True),
}


@pytest.mark.parametrize(
    ("name", "scale_shift"), [*((name, False) for name in CASES), ("bias", True)]
)
def test_the_operator_as_documented_computes_the_attention(name, scale_shift, monkeypatch):
    rows, heads, queries, keys, width, visible, has_bias = CASES[name]
    monkeypatch.setattr(module, "vendor_operator", vendor_attention.make(scale_shift))
    draw = np.random.default_rng(7)
    q, k, v = (
        draw.standard_normal((rows, heads, n, width)).astype(np.float16)
        for n in (queries, keys, keys)
    )
    bias = draw.standard_normal((1, heads, queries, keys)).astype(np.float32) if has_bias else None
    cell = Attend(width**-0.5, (visible.key_counts, visible.back, visible.ahead, visible.unit))
    got = cell(Tensor(q), Tensor(k), Tensor(v), *([] if bias is None else [Tensor(bias)]))
    want = expected(
        *(x.astype(np.float64) for x in (q, k, v)), width**-0.5, visible.seen(queries, keys), bias
    )
    np.testing.assert_allclose(got.asnumpy(), want, atol=2e-3)


def test_gradients_pass_through_the_padding(monkeypatch):
    monkeypatch.setattr(module, "vendor_operator", vendor_attention.make())
    draw = np.random.default_rng(8)
    q, k, v, weight = (draw.standard_normal((1, 2, 12, 40)).astype(np.float16) for _ in range(4))
    visible = Visible(back=2, ahead=0, unit=3)
    cell = Attend(40**-0.5, (None, 2, 0, 3))

    def plain(q, k, v, w):
        scores = ops.BatchMatMul(transpose_b=True)(q, k) * 40**-0.5
        hidden = Tensor(np.where(visible.seen(12, 12)[:, None], 0, -1e30).astype(np.float32))
        return (ops.BatchMatMul()(ops.softmax(scores + hidden, -1), v) * w).sum()

    def ours(q, k, v, w):
        return (cell(q, k, v) * w).astype(ms.float32).sum()

    got = ops.grad(ours, (0, 1, 2))(*map(Tensor, (q, k, v, weight)))
    want = ops.grad(plain, (0, 1, 2))(*(Tensor(x.astype(np.float32)) for x in (q, k, v, weight)))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=4e-3)
