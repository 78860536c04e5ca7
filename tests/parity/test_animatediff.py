"""AnimateDiff's module alone, FreeNoise in the attention, FreeInit and context windows against the
originals' own code. The arrays are made by tools/golden/animatediff.py.
"""

from dataclasses import replace
from pathlib import Path

import animatediff_cases as cases
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindlong.diffusion.free_init import low_pass, mixed, started_again, steps_of
from mindlong.diffusion.schedules import linear
from mindlong.networks.names import Entry
from mindlong.networks.unet import motion
from mindlong.networks.unet.attention import PolicyAttention
from mindlong.networks.unet.blocks import Transformer
from mindlong.networks.unet.families import family
from mindlong.networks.unet.layouts import LAYOUTS
from mindlong.networks.unet.names import _Walk
from mindlong.networks.unet.rows import fold, unfold
from mindlong.networks.unet.viewed import ViewedAttention, ViewedBlock, block_of
from mindlong.networks.unet.views import Views
from mindlong.plans.contexts import Contexts, halved

FOLDER = Path(__file__).parents[1] / "golden"
EXACT, CLOSE = 2e-6, 1e-5  # of the largest value


def golden(name):
    with np.load(FOLDER / f"animatediff_{name}.npz") as held:
        return dict(held)


def spec_of(width, heads, places):
    sizes = {"channels": (width,), "layers": 1, "attends": (True,), "heads": heads}
    return family("animatediff").spec(
        **sizes, **motion.fields("v2", places), context_dim=8, groups=min(width, 32)
    )


def filled(cell, entries, prefix=""):
    """The cell with the weights that the golden arrays were made with."""
    values = cases.weights({e.source.removeprefix(prefix): e.source_shape for e in entries})
    found = {p.name: p for p in cell.get_parameters()}
    assert set(found) == {e.ours for e in entries}
    for e in entries:
        value = values[e.source.removeprefix(prefix)]
        found[e.ours].set_data(Tensor(value.reshape(e.our_shape)))
    return cell.set_train(False)


def relative(ours, want):
    assert ours.shape == want.shape
    return np.abs(ours - want).max() / np.abs(want).max()


class Probed(nn.Cell):
    def __init__(self, net, frames):
        super().__init__(auto_prefix=False)
        self.net, self.frames = net, frames

    def construct(self, probe, x):
        out = unfold(self.net(fold(x), None, None, self.frames), self.frames)
        return (out * probe).sum(), out


def test_the_module_alone_equals_the_originals_on_small_activations():
    """Small, so that the eps of its norm (1e-6) shows; gradients too."""
    sizes, want = cases.MODULE, golden("module")
    spec = spec_of(sizes["width"], sizes["heads"], sizes["places"])
    stage = motion.stage_of(spec)
    width = sizes["width"]
    net = Transformer(spec, stage, width, sizes["heads"], width // sizes["heads"])
    walk = _Walk(spec, LAYOUTS["guoyww"])
    own = [
        Entry(e.ours.removeprefix("m."), *rest)
        for e in walk.transformer("m", "temporal_transformer", stage, width, width, 2)
        for rest in [(e.source, e.our_shape, e.source_shape)]
    ]
    net = filled(net, own)
    x = cases.quiet((1, width, sizes["frames"], 3, 2))
    probe = cases.draw(x.shape, "module probe")
    names = [e.ours for e in own if len(e.our_shape) == 1]
    trained = [p for p in net.trainable_params() if p.name in names]
    step = ms.value_and_grad(Probed(net, sizes["frames"]), 1, trained, has_aux=True)
    (_, out), (by_x, by_own) = step(Tensor(probe), Tensor(x))
    assert np.abs(out.asnumpy() - want["out"]).max() <= 8e-6
    assert relative(out.asnumpy(), want["out"]) <= EXACT
    assert relative(by_x.asnumpy(), want["grad x"]) <= CLOSE
    theirs = {e.ours: e.source for e in own}
    for parameter, gradient in zip(trained, by_own, strict=True):
        wanted = want[f"grad {theirs[parameter.name]}"]
        assert relative(gradient.asnumpy(), wanted) <= CLOSE, parameter.name


def test_places_are_sines_and_cosines_in_turn():
    table = motion.sines(32, 320)
    assert table.shape == (1, 32, 320)
    assert np.allclose(motion.sines(2, 64)[0, 1, :4], [0.8415, 0.5403, 0.6816, 0.7318], atol=1e-4)
    steps = np.exp(-np.arange(0, 320, 2) * np.log(10000.0) / 320)
    assert np.allclose(table[0, 31, 0::2], np.sin(31 * steps), atol=3e-6)
    assert np.allclose(table[0, 31, 1::2], np.cos(31 * steps), atol=3e-6)


def block(weighting="pyramid", compat="diffusers"):
    spec = spec_of(cases.WIDTH, cases.HEADS, 32)
    stage = replace(motion.stage_of(spec), views=Views(16, 4, weighting, "block", compat))
    net = block_of(spec, stage, cases.WIDTH, cases.HEADS)
    assert isinstance(net, ViewedBlock)
    walk, found = _Walk(spec, LAYOUTS["diffusers"]), []
    for branch in stage.branches:
        found += walk.branch("b", "", stage, branch, cases.WIDTH)
    own = [Entry(e.ours[2:], e.source[1:], e.our_shape, e.source_shape) for e in found]
    return filled(net, own), own


def run(net, frames):
    """(PIXELS, F, C) as the originals have it."""
    x = cases.tokens(frames).transpose(1, 0, 2)[None]
    return net(Tensor(np.ascontiguousarray(x)), None).asnumpy()[0].transpose(1, 0, 2)


QUICK = [("pyramid", 24), ("pyramid", 26), ("delayed_reverse_sawtooth", 30)]


@pytest.mark.parametrize(
    ("weighting", "frames"),
    [
        pytest.param(w, f, marks=() if (w, f) in QUICK else pytest.mark.slow)
        for w in cases.WEIGHTINGS
        for f in cases.FRAMES
    ],
)
def test_free_noise_in_a_block_equals_diffusers(weighting, frames):
    want = golden("views")[f"{weighting} {frames}"]
    assert relative(run(block(weighting)[0], frames), want) <= CLOSE


def test_gradients_of_free_noise_equal_diffusers():
    want, (net, own) = golden("views"), block()
    x = np.ascontiguousarray(cases.tokens(24).transpose(1, 0, 2)[None])
    probe = np.ascontiguousarray(cases.probe(24).transpose(1, 0, 2)[None])

    def loss(x, probe):
        return (net(x, None) * probe).sum()

    trained = net.trainable_params()
    by_x, by_own = ms.grad(loss, 0, trained)(Tensor(x), Tensor(probe))
    assert relative(by_x.asnumpy()[0].transpose(1, 0, 2), want["grad x"]) <= CLOSE
    theirs = {e.ours: e.source for e in own}
    for parameter, gradient in zip(trained, by_own, strict=True):
        wanted = want[f"grad {theirs[parameter.name]}"]
        assert relative(gradient.asnumpy(), wanted.reshape(gradient.shape)) <= CLOSE


def shares_by_hand(frames, views):
    """The same means frame by frame, without the table."""
    found = np.zeros((frames, frames))
    for start in views.starts(frames):
        for place in range(views.window):
            weight = 1 + min(place, views.window - 1 - place)
            found[start + place, start] += weight
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("frames", [17, 26, 30, 32, 61])
def test_a_last_view_counts_like_the_others(frames):
    """Ours: what every frame takes adds up to one; diffusers halves the last frame of 26."""
    views = Views()
    rows = views.shares(frames)
    assert np.allclose(rows.sum(1), 1, atol=1e-6)
    assert views.starts(frames)[-1] + 16 == frames
    by_view = rows.reshape(frames, -1, 16).sum(2)
    wanted = shares_by_hand(frames, views)[:, views.starts(frames)]
    assert np.allclose(by_view, wanted, atol=1e-6)
    if frames == 26:
        bug = replace(views, compat="diffusers").shares(frames).sum(1)
        assert np.allclose(bug[-1], 0.5) and np.allclose(bug[:-2], 1)


def test_a_video_of_one_window_is_the_plain_block():
    net, own = block()
    spec = spec_of(cases.WIDTH, cases.HEADS, 32)
    plain = filled(block_of(spec, motion.stage_of(spec), cases.WIDTH, cases.HEADS), own)
    assert np.array_equal(run(net, 16), run(plain, 16))


@pytest.mark.parametrize("frames", [16, 26, pytest.param(64, marks=pytest.mark.slow)])
def test_free_noise_in_an_attention_equals_longercrafter(frames):
    """Frames beyond the last whole window get the bias of the output alone, as there."""
    whole = PolicyAttention(cases.WIDTH, cases.HEADS, "time", "all", False, False)
    net = ViewedAttention(whole, Views(16, 4, "pyramid", "attention", "longercrafter"))
    shape = (cases.WIDTH, cases.WIDTH)
    own = [Entry(f"{n}.weight", f"{n}.weight", shape, shape) for n in ("to_q", "to_k", "to_v")]
    own += [
        Entry("to_out.weight", "to_out.0.weight", shape, shape),
        Entry("to_out.bias", "to_out.0.bias", shape[:1], shape[:1]),
    ]
    want = golden("attention")[f"attention {frames}"]
    found = run(filled(net, own), frames)
    assert relative(found, want) <= CLOSE
    if frames == 26:
        assert np.allclose(found[:, 24:], net.to_out.bias.asnumpy(), atol=1e-6)
        ours = ViewedAttention(whole, Views(16, 4, "pyramid", "attention"))
        assert not np.allclose(run(ours, 26)[:, 24:], found[:, 24:], atol=1e-2)


@pytest.mark.parametrize("size", cases.SIZES)
def test_free_init_equals_diffusers(size):
    want = golden("free_init")
    for method in ("butterworth", "gaussian", "ideal"):
        assert np.allclose(low_pass(size, method), want[f"{method} {size}"], atol=1e-6)
    low, high = (cases.draw((1, 2, *size), w) for w in ("low", "high"))
    found = mixed(low, high, low_pass(size))
    assert np.abs(found - want[f"mixed {size}"]).max() <= 2e-6


def test_free_init_keeps_what_is_slow():
    assert low_pass((16, 8, 8), space=0).sum() == 0
    x0, first, fresh = (cases.draw((1, 2, 16, 8, 8), w) for w in ("x0", "first", "fresh"))
    schedule = linear(1000, 0.00085, 0.012)
    keep = np.ones((16, 8, 8))
    level = schedule.level(999)
    found = started_again(x0, first, fresh, schedule, keep)
    assert np.allclose(found, level.signal * x0 + level.sigma * first, atol=1e-5)
    assert np.allclose(started_again(x0, first, fresh, schedule, 0 * keep), fresh, atol=1e-5)
    assert [steps_of(25, i, 3, True) for i in range(3)] == [8, 16, 25]
    assert steps_of(25, 0, 3, False) == 25


@pytest.mark.parametrize("schedule", cases.SCHEDULES)
def test_windows_equal_those_of_comfyui(schedule):
    want = golden("windows")
    for length, overlap, stride in cases.SETTINGS:
        for closed in (False, True):
            contexts = Contexts(schedule, length, overlap, stride, closed)
            found = cases.digest(contexts.windows, length << (stride - 1))
            assert found == str(want[f"{schedule} {length} {overlap} {stride} {closed}"])


def test_windows_by_hand():
    assert [halved(n) for n in range(5)] == [0, 0.5, 0.25, 0.75, 0.125]
    static = Contexts()
    assert [w[0] for w in static.windows(30)] == [0, 12, 14]
    uniform = Contexts("standard_uniform")
    assert [w[0] for w in uniform.windows(32, 1)] == [16, 0, 8]
    looped = Contexts("looped_uniform")
    assert looped.windows(32, 0)[-1] == [*range(24, 32), *range(8)]
    assert Contexts("batched").windows(34)[-1] == [32, 33]
    for kind in cases.SCHEDULES:
        for frames in range(1, 40):
            for step in range(4):
                windows = Contexts(kind, 8, 3, 3).windows(frames, step)
                assert {f for w in windows for f in w} == {*range(frames)}
    ramps = Contexts(fuse="overlap_linear").weights([*range(12, 28)], 32)
    assert ramps[0] < 1e-30 and ramps[3] == 1 and ramps[-1] < 1e-30 and ramps[5] == 1
    assert Contexts(fuse="overlap_linear").weights([*range(16)], 32)[0] == 1
    near = Contexts(fuse="relative").weights([*range(16)], 32)
    assert near[0] == near[-1] == 0.01 and near.argmax() in (7, 8)
