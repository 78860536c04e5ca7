"""Local attention over time: the band against its definition, with a sink and with a user's mask,
and its cost.
"""

import numpy as np
import pytest
from mindspore import Tensor, jit, value_and_grad

from mindlong.networks.init import initialise
from mindlong.networks.unet.attention import PolicyAttention
from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError


def allowed(table):
    return np.array([[g in row for g in range(len(table))] for row in table])


def definition(frames, size, causal):
    """xformers' LocalAttention; causal: its window is widened to 2 w + 1 and cut to the past."""
    back = np.arange(frames)[:, None] - np.arange(frames)[None]
    return (back >= 0) & (back <= size) if causal else np.abs(back) <= size // 2


CASES = [(w, False) for w in (1, 3, 5, 9, 129)] + [(w, True) for w in (1, 2, 4, 5)]


@pytest.mark.parametrize(("size", "causal"), CASES)
def test_the_band_for_1_to_70_frames_alone_and_with_a_user_s_mask(size, causal):
    draw = np.random.default_rng(size)
    for frames in range(1, 71):
        want, table = (
            definition(frames, size, causal),
            kv_policy.table(f"window:{size}{':causal' * causal}", frames),
        )
        assert np.array_equal(allowed(table), want)
        mask = draw.random((frames, frames)) < 0.6
        np.fill_diagonal(mask, True)
        assert np.array_equal(allowed(kv_policy.restricted(table, mask)), want & mask)
        if not causal and size >= 2 * frames - 1:
            assert table == kv_policy.table("all", frames)


def test_a_sink_is_read_once_by_every_frame():
    for frames in (1, 3, 17, 65):
        table = kv_policy.table("window:5|first", frames)
        want = definition(frames, 5, False)
        want[:, 0] = True
        assert np.array_equal(allowed(table), want) and all(
            len(set(row)) == len(row) for row in table
        )
    assert kv_policy.table("window:2:causal|first|last", 5)[3] == (0, 1, 2, 3, 4)


def test_masks_that_cannot_be_are_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="must be square"):
        kv_policy.restricted(kv_policy.table("all", 4), np.ones((4, 3), bool))
    with pytest.raises(ConfigError, match="leaves frame 2 nothing"):
        kv_policy.restricted(kv_policy.table("frame", 4), ~np.eye(4, dtype=bool)[[3, 3, 2, 0]])
    with pytest.raises(ConfigError, match="Did you mean 'first'"):
        kv_policy.check("window:5|frist")


def test_the_smallest_window_that_sees_a_given_frame_at_distance_4():
    """Every frame of a stage of factor r sees a given one directly from w = 2 * floor(r / 2) + 1
    on.
    """
    for factor, size in ((2, 3), (3, 3), (4, 5), (6, 7)):
        sees = [
            {g % factor for g in row} & {0}
            for row in kv_policy.table(f"window:{size}", 8 * factor + 1)
        ]
        assert all(sees)
        smaller = kv_policy.table(f"window:{size - 2}", 8 * factor + 1)
        assert not all({g % factor for g in row} & {0} for row in smaller)


@pytest.mark.parametrize("policy", ["window:5", "window:5|first", "window:4:causal"])
def test_the_cost_grows_with_the_frames_not_their_square(policy):
    """Pairs, and numbers that are really gathered, per frame; lengths that divide well and a prime
    one.
    """
    for frames in (65, 257, 1025):
        rows = kv_policy.table(policy, frames)
        read = kv_policy.reading(rows, kv_policy.best_size(rows))
        size = -(-frames // len(read.index))
        assert kv_policy.count_pairs(policy, frames) <= 6 * frames
        assert read.index.size * size <= 64 * frames and read.index.size <= 7 * frames


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("policy", "frames"),
    [
        ("window:5", 17),
        ("window:5|first", 13),
        ("window:4:causal", 12),
        ("window:5", 67),
        ("window:5|first", 71),
    ],
)
def test_the_layer_equals_masked_dense_attention_with_finite_gradients(policy, frames):
    net = initialise(PolicyAttention(8, 2, "time", policy, False, False), 0)
    x = np.random.default_rng(0).standard_normal((1, frames, 3, 8)).astype(np.float32)
    values = {p.name: p.asnumpy().astype(np.float64) for p in net.get_parameters()}
    q, k, v = (
        (x @ values[f"{n}.weight"].T).reshape(1, frames, 3, 2, 4).transpose(0, 2, 3, 1, 4)
        for n in ("to_q", "to_k", "to_v")
    )
    scores = q @ k.swapaxes(-1, -2) / 2 + kv_policy.log_counts(kv_policy.table(policy, frames))
    out = (softmax(scores) @ v).transpose(0, 3, 1, 2, 4).reshape(x.shape) @ values[
        "to_out.weight"
    ].T + values["to_out.bias"]
    np.testing.assert_allclose(net(Tensor(x)).asnumpy(), out, atol=2e-6)

    def loss(given):
        return (net(given) ** 2).sum()

    step = jit(value_and_grad(loss, 0, net.trainable_params()))
    by_x, by_weights = step(Tensor(x))[1]
    assert all(np.isfinite(g.asnumpy()).all() and g.asnumpy().any() for g in (by_x, *by_weights))
    way = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    ahead, back = (float(step(Tensor(x + side * way))[0].asnumpy()) for side in (0.01, -0.01))
    np.testing.assert_allclose((ahead - back) / 0.02, (by_x.asnumpy() * way).sum(), rtol=1e-2)
