"""Every form of key/value policy as a layer, in space and in time: numbers and gradients of a dense
attention under its mask.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindlong.ops import device
from mindlong.ops.attention import FrameAttention
from mindlong.plans import kv_policy

POLICIES = (
    "first,prev,frame",
    "last,mid,next",
    "-2,+1,frame",
    "first,first,frame",
    "window:2:causal",
    "global:2,window:3",
    "spread:2,at:1",
)
BATCH, FRAMES, PIXELS, HEADS, WIDTH = 2, 6, 3, 2, 8
SCALE = (WIDTH // HEADS) ** -0.5


class Dense(nn.Cell):
    """All tokens of all frames; the table is a bias, the logarithm of how often a frame counts."""

    def __init__(self, policy, in_time):
        super().__init__()
        bias = kv_policy.log_counts(kv_policy.table(policy, FRAMES))
        same = (
            np.where(np.eye(PIXELS) > 0, 0, kv_policy.MASKED)
            if in_time
            else np.zeros((PIXELS, PIXELS))
        )
        whole = bias[:, None, :, None] + same[None, :, None, :]
        self.bias = Tensor(whole.reshape(FRAMES * PIXELS, FRAMES * PIXELS).astype(np.float32))

    def heads(self, x):
        return x.reshape((BATCH, FRAMES * PIXELS, HEADS, -1)).transpose((0, 2, 1, 3))

    def construct(self, q, k, v):
        scores = ops.matmul(self.heads(q), self.heads(k).swapaxes(2, 3)) * SCALE + self.bias
        mixed = ops.matmul(ops.softmax(scores, -1), self.heads(v))
        return mixed.transpose((0, 2, 1, 3)).reshape((BATCH, FRAMES, PIXELS, WIDTH))


class Each(nn.Cell):
    """One layer for each policy on inputs of its own, so that one graph serves all: sum(out *
    probe), and out.
    """

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.CellList(layers)

    def construct(self, probe, q, k, v):
        outs = ()
        for i in range(len(self.layers)):
            outs += (self.layers[i](q[i], k[i], v[i]),)
        out = ops.stack(outs)
        return (out * probe).sum(), out


def measured(layers, arrays, compiled=True):
    """The outputs, and the gradients of sum(out * probe) for q, k and v, policy by policy."""
    step = ms.value_and_grad(Each(layers).set_train(True), (1, 2, 3), None, has_aux=True)
    (_, out), gradients = (ms.jit(step) if compiled else step)(*map(Tensor, arrays))
    return [out.asnumpy(), *(gradient.asnumpy() for gradient in gradients)]


@pytest.fixture(scope="module", params=[False, True], ids=["space", "time"])
def case(request):
    """Whether in time, what is given, and what the dense attention makes of it."""
    draw = np.random.default_rng(3)
    shape = (len(POLICIES), BATCH, FRAMES, PIXELS, WIDTH)
    arrays = [draw.standard_normal(shape).astype(np.float32) for _ in range(4)]
    ms.set_context(mode=ms.PYNATIVE_MODE)
    want = measured([Dense(policy, request.param) for policy in POLICIES], arrays, compiled=False)
    return request.param, arrays, want


@pytest.mark.parametrize("native", ["on", "off"])
def test_a_policy_is_a_dense_attention_under_its_mask_gradients_too(case, native):
    in_time, arrays, want = case
    device.configure(native=native)
    try:
        found = measured(
            [FrameAttention(HEADS, SCALE, policy, in_time) for policy in POLICIES], arrays
        )
    finally:
        device.configure()
    for name, ours, oracle in zip(("out", "q", "k", "v"), found, want, strict=True):
        for i, policy in enumerate(POLICIES):
            limit = 3e-6 * max(1.0, float(np.abs(oracle[i]).max()))
            np.testing.assert_allclose(
                ours[i], oracle[i], rtol=0, atol=limit, err_msg=f"{policy}, {name}"
            )
