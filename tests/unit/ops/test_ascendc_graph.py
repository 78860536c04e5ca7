"""The 910A backend inside a compiled graph: the operators of the twin called through `ops.Custom`,
forward and backward.
"""

import ascendc_oracle as oracle
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindlong.ops.ascendc import emulate
from mindlong.ops.attention import flash_910a
from mindlong.ops.attention.chunked import ChunkedAttention
from mindlong.ops.attention.math import math_attention
from mindlong.ops.attention.visible import Visible


class Attend(nn.Cell):
    def __init__(self, scale, visible):
        super().__init__()
        self.kernel, self.scale, self.visible = (
            flash_910a.operator(str(emulate.compile_twin())),
            scale,
            visible,
        )

    def construct(self, q, k, v):
        return flash_910a.attend_910a(self.kernel, q, k, v, self.scale, self.visible)


CASES = {  # batch, heads, queries, keys, width, size of v and of the gradient, visible
    "plain": (1, 2, 140, 70, 64, 1, Visible()),
    "padded to 48": (1, 2, 70, 150, 40, 1, Visible()),
    "window and keys": (2, 1, 60, 60, 32, 1, Visible((50, 31), 1, 1, 15)),
    "products beyond the halves": (1, 1, 70, 60, 40, 100, Visible()),
}


@pytest.mark.parametrize("name", CASES)
def test_a_graph_with_the_operators_equals_float64(name):
    batch, heads, queries, keys, width, size, visible = CASES[name]
    scale = width**-0.5
    q, k, v, do = oracle.draw(batch * heads, queries, keys, width, seed=11)
    v, do = v * np.float16(size), do * np.float16(size)
    cell = Attend(scale, (visible.key_counts, visible.back, visible.ahead, visible.unit))
    tensors = [Tensor(x.reshape(batch, heads, -1, width)) for x in (q, k, v, do)]
    got = [cell(*tensors[:3]), *ops.GradOperation(get_all=True, sens_param=True)(cell)(*tensors)]
    o, _, *gradients = oracle.attention(
        q, k, v, scale, oracle.seen(visible, batch * heads, heads, queries, keys), do
    )
    for a, b in zip(got, (o, *gradients), strict=True):
        np.testing.assert_allclose(
            a.asnumpy().reshape(b.shape), b, atol=3e-3 * max(1, np.abs(b).max())
        )


class Plain(nn.Cell):
    def construct(self, q, k, v, mask):
        return math_attention(q, k, v, 0.25, mask)


@pytest.mark.parametrize("chunk", [7, 32])
def test_chunks_that_are_computed_again_change_nothing(chunk):
    rng = np.random.default_rng(12)
    q, k, v, do = (
        Tensor(rng.standard_normal((2, 3, n, 16)).astype(np.float32)) for n in (30, 20, 20, 30)
    )
    mask = Tensor(rng.standard_normal((2, 1, 30, 20)).astype(np.float32))
    cell, step = ChunkedAttention(0.25, chunk), ops.GradOperation(get_all=True, sens_param=True)
    np.testing.assert_allclose(
        cell(q, k, v, mask).asnumpy(), Plain()(q, k, v, mask).asnumpy(), atol=2e-6
    )
    for a, b in zip(step(cell)(q, k, v, mask, do), step(Plain())(q, k, v, mask, do), strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=2e-6)
