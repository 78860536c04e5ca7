"""CogVideoX's transformer clip by clip: one clip that reads everything is the network itself, a
table is a dense masked attention, and any number of ranks gives the same bits.
"""

from contextlib import contextmanager

import mindspore as ms
import numpy as np
import pytest
from cogvideox_clip_toys import FRAMES, JOINT, SIZE, SPEC, TOKENS, inputs, layout_of, tiny
from mindspore import Tensor, nn

from mindlong.networks.cogvideox.sharded_cell import ShardedCogVideoX
from mindlong.networks.cogvideox.traffic import sites
from mindlong.networks.sharded import Answer
from mindlong.ops.attention.partial import merged, nothing
from mindlong.parallel import halo, simulated, sync
from mindlong.parallel.sync import Traffic
from mindlong.parallel.volume import rank_bytes
from mindlong.plans.dual_scope import Phase, Tuning
from mindlong.plans.joint_reads import Joint
from mindlong.utils.errors import ConfigError


@pytest.fixture(autouse=True)
def eager():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
    yield
    ms.set_context(mode=before)


@pytest.fixture(scope="module")
def net():
    return tiny()


def run(network, layout, ranks, batch=1, traffic=None):
    """The prediction, from simulated ranks."""
    x, t, context = inputs(batch)
    held = halo.deal(len(layout.clips), ranks)
    meeting, programs = sync.Meeting(layout, held), []
    for rank, mine in enumerate(held):
        talks = [
            network.clip(layout, i, lambda v: v.asnumpy()).forward(
                np.ascontiguousarray(x[:, :, layout.clips[i].start : layout.clips[i].stop]),
                t,
                context,
            )
            for i in mine
        ]
        programs.append(sync.rank_program(meeting, rank, talks, Answer))
    return np.concatenate([part for found in simulated.run(programs, traffic) for part in found], 2)


def test_one_clip_that_reads_everything_is_the_network_itself(net):
    found = run(ShardedCogVideoX(net), layout_of([FRAMES], "all", "", Joint(balance=False)), 1, 2)
    want = net(*map(Tensor, inputs(2))).asnumpy()
    assert want.std() > 0.1
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())


class Masked(nn.Cell):
    """An attention with a constant mask."""

    def __init__(self, attend, mask):
        super().__init__(auto_prefix=False)
        self.attend, self.mask, self.scale = attend, Tensor(mask), attend.scale

    def construct(self, q, k, v):
        return self.attend(q, k, v, self.mask)


def dense_mask(layout):
    """The table of [text | video] as one mask."""
    pixels = SIZE[0] * SIZE[1] // 4
    frame = np.repeat(np.arange(FRAMES), pixels)
    mask = np.full((TOKENS + len(frame),) * 2, -6e4, np.float32)
    mask[:, :TOKENS] = 0
    read = layout.joint.read(FRAMES)
    bias = layout.joint.bias(FRAMES, SPEC.sample[0])
    mask[:TOKENS, TOKENS:][:, np.isin(frame, read)] = bias
    for f in range(FRAMES):
        columns = np.flatnonzero(np.isin(frame, sorted(layout.reads.set_of(f)))) + TOKENS
        mask[np.ix_(np.flatnonzero(frame == f) + TOKENS, columns)] = 0
    return mask


@contextmanager
def masked(net, mask):
    """The network with that mask in every block."""
    before = [block.attn.attend for block in net.blocks]
    for block in net.blocks:
        block.attn.attend = Masked(block.attn.attend, mask)
    yield
    for block, attend in zip(net.blocks, before, strict=True):
        block.attn.attend = attend


@pytest.mark.parametrize("joint", [JOINT, Joint(), Joint(balance=False)])
def test_a_table_is_a_dense_masked_attention(net, joint):
    layout = layout_of([3, 4], joint=joint)
    found = run(ShardedCogVideoX(net), layout, 2)
    with masked(net, dense_mask(layout)):
        want = net(*map(Tensor, inputs())).asnumpy()
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())
    plain = net(*map(Tensor, inputs())).asnumpy()
    assert np.abs(plain - want).max() > 1e-3 * np.abs(want).max()


@pytest.mark.parametrize(
    "lengths",
    [[2, 3, 2], *(pytest.param(x, marks=pytest.mark.slow) for x in ([1, 1, 5], [3, 1, 2, 1]))],
)
def test_any_number_of_ranks_gives_the_same_bits(net, lengths):
    network, layout = ShardedCogVideoX(net), layout_of(lengths)
    alone = run(network, layout, 1)
    for ranks in range(2, len(lengths) + 1):
        sent = [Traffic() for _ in range(ranks)]
        np.testing.assert_array_equal(run(network, layout, ranks, 1, sent), alone)
        places = list(sites(SPEC, SIZE))
        planned = [
            rank_bytes(places, layout, halo.deal(len(lengths), ranks), r) for r in range(ranks)
        ]
        assert [each.bytes for each in sent] == planned and min(planned) > 0


@pytest.mark.slow
def test_in_graphs_too(net):
    ms.set_context(mode=ms.GRAPH_MODE)
    network, layout = ShardedCogVideoX(net), layout_of([2, 3, 2])
    alone = run(network, layout, 1)
    np.testing.assert_array_equal(run(network, layout, 3), alone)
    ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
    want = run(network, layout, 2)
    np.testing.assert_allclose(alone, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.slow
def test_other_clips_give_the_same_video(net):
    network = ShardedCogVideoX(net)
    want = run(network, layout_of([FRAMES]), 1)
    for lengths in ([3, 4], [1] * FRAMES):
        found = run(network, layout_of(lengths), 1)
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_biases_of_early_steps_are_added_to_near_and_far_frames(net):
    network = ShardedCogVideoX(net)
    tuning = Tuning(early=Phase(500, 0.0, 2.0), scale=1.1)
    tuned = run(network, layout_of([3, 4], tuning=tuning), 2)
    np.testing.assert_array_equal(tuned, run(network, layout_of([3, 4], tuning=tuning), 1))
    plain = run(network, layout_of([3, 4]), 2)
    assert np.abs(tuned - plain).max() > 1e-3 * np.abs(plain).max()
    late = Tuning(late=Phase(500, 0.0, 2.0))  # below its timestep nothing changes
    np.testing.assert_allclose(
        run(network, layout_of([3, 4], tuning=late), 2), plain, rtol=0, atol=1e-5
    )


def test_parts_merge_to_the_whole():
    draw = np.random.default_rng(7)
    q, k, v = (draw.standard_normal((2, 3, n, 4)).astype(np.float32) for n in (5, 9, 9))
    from mindlong.ops.attention.partial import PartialAttention

    part, none = PartialAttention(0.5), Tensor(np.zeros(1, np.float32))
    cuts = [slice(0, 4), slice(4, 5), slice(5, 9)]
    parts = [
        part(Tensor(q), Tensor(k[:, :, cut].copy()), Tensor(v[:, :, cut].copy()), none).asnumpy()
        for cut in cuts
    ]
    scores = np.einsum("bnsd,bntd->bnst", q, k).astype(np.float64) * 0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    want = np.einsum("bnst,bntd->bsnd", weights / weights.sum(-1, keepdims=True), v)
    found = merged([*parts, nothing(q.shape)])
    np.testing.assert_allclose(found, want.reshape(2, 5, -1), rtol=0, atol=1e-6)


def test_places_of_frames_beyond_those_of_training():
    assert Joint(places="plain").places_of(5, 3).tolist() == [0, 1, 2, 3, 4]
    assert Joint(places="stretch").places_of(5, 3).tolist() == [0, 0.5, 1, 1.5, 2]
    assert Joint(places="fold").places_of(7, 3).tolist() == [0, 1, 2, 1, 0, 1, 2]
    assert Joint(places="fold").places_of(3, 3).tolist() == [0, 1, 2]


def test_what_has_no_meaning_here_is_refused(net):
    with pytest.raises(ConfigError, match="strategy=exact is its own"):
        ShardedCogVideoX(net, exact=False)
    with pytest.raises(ConfigError, match="reads other frames from each"):
        Joint(text_reads="window:3").read(5)
