"""Our cells on simulated ranks against the original's golden numbers, and against float64 over the
whole video.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import clip_parallel_reference as ref
import numpy as np
import pytest
from mindspore import Tensor
from test_clip_parallel_golden import FRAMES, SWITCH, WEIGHTS, X, conv_parameters

from mindlong.networks.sharded import Answer, Ask
from mindlong.networks.unet import sharded_graphs as graphs
from mindlong.networks.unet import sharded_stages as cells
from mindlong.networks.unet.attention import PolicyAttention
from mindlong.networks.unet.blocks import TemporalConvs
from mindlong.networks.unet.sharded_cell import ClipRun
from mindlong.ops.norm import GroupNorm
from mindlong.ops.precision import set_types
from mindlong.parallel import halo, simulated, sync
from mindlong.plans.clip_layout import exact_layout, video_infinity_layout
from mindlong.plans.dual_scope import Tuning
from mindlong.utils.errors import ConfigError

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from clip_toys import eager  # noqa: E402, F401

pytestmark = pytest.mark.usefixtures("eager")


def filled(cell, arrays):
    for parameter, array in arrays.items():
        getattr(cell, parameter).set_data(Tensor(array.astype(np.float32)))
    return cell


def together(layout, program):
    """Every clip on a rank of its own; `program(clip number)` is a generator."""
    count = len(layout.clips)
    meeting = sync.Meeting(layout, halo.deal(count, count))
    return [
        parts[0]
        for parts in simulated.run(
            [sync.rank_program(meeting, r, [program(r)], Answer) for r in range(count)]
        )
    ]


def attention(layout, t=0):
    cell = PolicyAttention(4, 2, "time", "all", False, False)
    for name, weight in zip(("to_q", "to_k", "to_v", "to_out"), WEIGHTS, strict=False):
        filled(getattr(cell, name), {"weight": weight})
    filled(cell.to_out, {"bias": WEIGHTS[4]})
    pool = cells.PoolAttention(cell, 2, False)
    network = SimpleNamespace(unet=SimpleNamespace(placed=False))

    def program(number):
        run = ClipRun(network, layout, number)
        run.t = t
        y = Tensor(
            X[:, layout.clips[number].start : layout.clips[number].stop, None].astype(np.float32)
        )
        exported = graphs.given(y, run.exports["attention"])
        others = (yield Ask("attention", run.sent(y, exported))).frames
        return pool(y, Tensor(others), run.index, run.bias(), run.factor).asnumpy()[:, :, 0]

    return np.concatenate(together(layout, program), 1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("count", "tuning", "t"),
    [
        (0, Tuning(), 0),
        (4, Tuning(), 0),
        (4, Tuning(token_scale=True), 0),
        (4, SWITCH, 799),
        (4, SWITCH, 800),
    ],
)
def test_compat_attention_is_the_originals(ranks, count, tuning, t):
    layout = video_infinity_layout(halo.split_frames(12, ranks), 2, count, tuning, padding=3)
    want = ref.attention(
        X, *WEIGHTS, 2, layout.reads, tuning, t
    )  # equal to the golden numbers (test_clip_parallel_golden)
    np.testing.assert_allclose(attention(layout, t), want, atol=2e-5)


@pytest.mark.parametrize("lengths", [[12], [6, 6], [1, 8, 3]])
@pytest.mark.parametrize(
    ("local", "spread"),
    [("all", ""), ("window:5", ""), ("window:3", "spread:4"), ("frame", "global:5")],
)
def test_exact_attention_is_dense_attention_over_the_whole_video(lengths, local, spread):
    layout = exact_layout(halo.split_by(lengths), local, spread, SWITCH)
    want = ref.attention(X, *WEIGHTS, 2, layout.reads, SWITCH, 800)
    np.testing.assert_allclose(attention(layout, 800), want, atol=2e-5)


GRID = [
    (n, f, p, k)
    for n, f in [(1, 4), (2, 3), (3, 1), (4, 2)]
    for p in {1, f}
    for k in (0, 1, n, 5, 40, -2)
]


@pytest.mark.parametrize(("ranks", "frames", "reach", "count"), GRID)
def test_compat_tables_on_a_grid(ranks, frames, reach, count):
    """A reach of one and of all frames of a rank, one frame a rank, none to more spread frames than
    there are.
    """
    layout = video_infinity_layout(halo.split_by([frames] * ranks), reach, count, padding=1)
    total = ranks * frames
    for f, keys in enumerate(layout.reads.keys):
        beyond = sum(not 0 <= g < total for g in range(f - reach, f + reach + 1))
        assert layout.reads.local[f].sum() == 2 * reach + 1
        assert (keys[0] == -1) == (beyond > 0) and (
            not beyond or layout.reads.local[f][0] == beyond
        )


def convolutions(layout, native=False):
    stage = TemporalConvs(4, 2, 1e-5, False)
    for norm, conv, (gamma, beta, weight, bias) in zip(
        stage.norms, stage.convs, conv_parameters(), strict=True
    ):
        filled(norm, {"weight": gamma, "bias": beta})
        filled(conv, {"weight": weight, "bias": bias})
    piece = graphs.GivenConv(cells.NormConv(4, 2))
    tail, head = graphs.NumberedEdges(2), graphs.Skip(piece.conv, stage)
    if not layout.exact:
        head = piece = cells.ChunkConvs(stage, layout.context)
        tail = graphs.Edges()
    step = graphs.Step(None, "convolutions", stage, piece)
    network = SimpleNamespace(unet=SimpleNamespace(placed=False), exact=layout.exact, groups=2)

    def program(number):
        run, mine = ClipRun(network, layout, number), layout.clips[number]
        x = Tensor(FRAMES[mine.start : mine.stop].astype(np.float32))
        found = tail(x, run.exports["conv"], len(mine))
        return head(*(yield from run.convolutions(step, *found))).asnumpy()

    return np.concatenate(together(layout, program))


@pytest.mark.parametrize("lengths", [[12], [6, 6], [4] * 3, [3] * 4, [1, 8, 3], [1] * 12])
def test_exact_convolution_is_the_whole_clips(lengths):
    out = convolutions(exact_layout(halo.split_by(lengths), "frame", ""))
    assert out.sum() == pytest.approx(-3.403144, abs=2e-5)
    assert out[0, 0, 0, 0] == pytest.approx(-0.347685, abs=1e-5) and out[
        6, 0, 0, 0
    ] == pytest.approx(1.454220, abs=1e-5)


@pytest.mark.parametrize(
    ("ranks", "numbers"),
    [
        (1, (-4.412419, -0.749007, 1.459065)),
        (2, (-4.495840, -0.728007, 1.463662)),
        (3, (-4.266024, -0.734060, 1.454220)),
    ],
)
def test_compat_convolution_is_the_originals(ranks, numbers):
    out = convolutions(video_infinity_layout(halo.split_frames(12, ranks), 2, 0))
    assert [out.sum(), out[0, 0, 0, 0], out[6, 0, 0, 0]] == pytest.approx(list(numbers), abs=2e-5)


def test_fewer_frames_than_the_padding_are_refused():
    """The original goes on and lays one frame over three."""
    with pytest.raises(ConfigError, match="padding is 4; a rank has 3 frames"):
        video_infinity_layout(halo.split_frames(12, 4), 2, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_norm_over_all_frames_with_a_large_mean(dtype):
    """Split norms equal GroupNorm over the whole clip where squares would overflow half
    precision.
    """
    from mindlong.networks.unet.sharded_cell import _moments

    x = (1000 + 4 * ref.seeded(1, 12, 8, 3, 5)).astype(dtype)
    gamma, beta = ref.seeded(2, 8), ref.seeded(3, 8)
    whole = filled(GroupNorm(4, 8, 1e-5), {"weight": gamma, "bias": beta})
    set_types(whole, np.dtype(dtype).name)
    want = whole(Tensor(x.transpose(1, 0, 2, 3)[None])).asnumpy()[0].transpose(1, 0, 2, 3)
    parts = [
        cells.FrameMoments(4)(Tensor(part)).asnumpy().transpose(1, 0, 2)[:, :, None]
        for part in (x[:5], x[5:6], x[6:])
    ]
    taken = Tensor(_moments(np.concatenate(parts), 2 * 15, 1e-5))
    ours = cells._normalised(Tensor(x[None]), taken, whole.weight, whole.bias).asnumpy()[0]
    exact = ref.group_norm(x.astype(np.float64), gamma, beta, 4)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, exact, atol=2e-4)
    np.testing.assert_allclose(
        want.astype(np.float64), exact, atol=2e-4 if dtype == np.float32 else 2e-2
    )
