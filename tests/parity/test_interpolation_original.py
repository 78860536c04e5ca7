"""Ours against make-a-stable-diffusion-video's own code. The arrays are made by
tools/golden/interpolation.py.
"""

from dataclasses import replace
from pathlib import Path

import interpolation_cases as cases
import mindspore as ms
import numpy as np
import pytest
import unet_cases
import unet_measure as measure
from mindspore import Tensor, nn

from mindlong.checkpoints.inflate import deflate
from mindlong.checkpoints.load import arrays_of, load_into
from mindlong.diffusion import hints
from mindlong.diffusion.guidance import guided
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.parameterise import add_noise
from mindlong.diffusion.samplers import FLAVOURS, sampler
from mindlong.diffusion.samplers.ddim import move, spread_of
from mindlong.diffusion.schedules import scaled_linear
from mindlong.networks.unet.blocks import Res, Transformer
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.rows import JointNorm, Parts, PseudoConv, fold, unfold
from mindlong.training.patterns import matches

MODE = "pynative"  # what is compiled: gradients, and the networks of four levels
GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name):
    with np.load(GOLDEN / f"interpolation_{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def layers():
    return golden("layers")


@pytest.fixture(scope="module")
def networks():
    return golden("networks")


def close(ours, want, tolerance):
    assert unet_cases.relative(np.asarray(ours), want) <= tolerance


def fill(cell, values):
    load_into(cell, values)
    return cell


class Folded(nn.Cell):
    """A cell of folded frames, on (B, C, F, H, W)."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, x_BCFHW, *given):
        frames = x_BCFHW.shape[2]
        return unfold(self.cell(fold(x_BCFHW), *given, frames), frames)


@pytest.mark.parametrize("conv", cases.CONVS, ids=lambda c: c.name)
def test_pseudo_3d_convolution(conv, layers):
    values = {k.replace("_conv", ""): v for k, v in conv.weights().items()}
    net = PseudoConv(*conv.sizes)
    fill(net, values)
    folded = Folded(net)
    for frames in (1, 2, 5):
        close(folded(Tensor(conv.input(frames))).asnumpy(), layers[f"{conv.name}_f{frames}"], 1e-6)
    close(
        net.spatial(Tensor(conv.input(0))).asnumpy(), layers[f"{conv.name}_f0"], 1e-6
    )  # images: no time


def test_a_fresh_pseudo_3d_convolution_is_the_picture_s_exactly():
    net = PseudoConv(4, 6, 3, padding=1)
    net.temporal.init_weights(None)
    net.spatial.weight.set_data(Tensor(cases.draw("fresh", 6, 4, 3, 3)))
    x = fold(Tensor(cases.CONVS[0].input(5)))
    assert np.array_equal(net(x, 5).asnumpy(), net.spatial(x).asnumpy())


RES = {"time_emb_proj": "time_proj", "conv_shortcut": "skip", "_conv.": "."}


@pytest.mark.parametrize("res", cases.RESNETS, ids=lambda r: r.name)
def test_residual_block_on_frames_of_very_different_scale(res, layers):
    spec = family("pseudo3d").spec(**cases.TINY)
    net = Res(res.cin, res.cout, res.groups, spec.eps, res.emb, Parts(JointNorm, PseudoConv))
    values = {}
    for parameter in net.get_parameters():
        key = parameter.name.replace(".spatial.", ".spatial_conv.").replace(
            ".temporal.", ".temporal_conv."
        )
        key = key.replace("time_proj", "time_emb_proj").replace("skip", "conv_shortcut")
        values[parameter.name] = unet_cases.weight(f"{res.name}.{key}", parameter.shape)
    fill(net, values)
    emb = res.embedding()
    rows = np.repeat(emb / (1 + np.exp(-emb)), 4, 0).astype(
        np.float32
    )  # through SiLU, a row for each frame
    x = Tensor(res.input())
    out = unfold(net(fold(x), Tensor(rows), None, 4), 4).asnumpy()
    for frame in range(4):  # each on its own scale, so that the largest does not hide the others
        close(out[:, :, frame], layers[res.name][:, :, frame], 5e-6)


def _transformer(block, policy="all"):
    spec = family("pseudo3d").spec(
        **{**cases.TINY, "context_dim": block.context, "groups": block.groups}
    )
    spec = spec.reading("time", policy)
    net = Transformer(spec, spec.stages[1], block.width, block.heads, block.width // block.heads)
    names = [
        ("block.", "transformer_blocks.0."),
        (".to_out.", ".to_out.0."),
        ("ff.proj_in", "ff.net.0.proj"),
        ("ff.proj_out", "ff.net.2"),
    ]
    values = {}
    for parameter in net.get_parameters():
        key = parameter.name
        for ours, theirs in names:
            key = key.replace(ours, theirs)
        shape = (
            (*parameter.shape, 1, 1)
            if key.startswith("proj_") and key.endswith("weight")
            else parameter.shape
        )
        values[parameter.name] = unet_cases.weight(f"block.{key}", shape).reshape(parameter.shape)
    return fill(net, values)


@pytest.mark.parametrize("block", cases.BLOCKS, ids=lambda b: b.name)
def test_transformer_with_two_prompts(block, layers):
    net, frames = _transformer(block), block.frames
    out = unfold(net(fold(Tensor(block.input())), None, Tensor(block.prompts()), frames), frames)
    close(out.asnumpy(), layers[block.name], 1e-5)


SLOW = [
    pytest.param(case, id=case.name, marks=pytest.mark.slow) for case in cases.NETS
]  # four levels


@pytest.mark.parametrize(
    "case", [*SLOW, *(pytest.param(case, id=case.name) for case in cases.BANDED)]
)
def test_whole_network(case, networks):
    """1 to 65 frames, not square; and with local attention over time, masked as xformers defines
    the band.
    """
    if case in cases.NETS:
        ms.set_context(mode=ms.GRAPH_MODE)
    close(measure.network(case)(*measure.tensors(case)).asnumpy(), networks[case.name], 1e-4)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.name, marks=[] if c.name == "picture_12x16" else pytest.mark.slow)
        for c in cases.PICTURES
    ],
)
def test_pictures_of_any_size(case, networks):
    """4-D input of the original is the image's network; ours takes videos of 12 x 16 and 4 x 4
    too, the original not.
    """
    both = measure.network(case)
    flat = UNet(family("stable_diffusion").spec(**cases.TINY))
    fill(flat, deflate(arrays_of(both)))
    given = measure.tensors(case)
    close(flat(*given).asnumpy()[:, :, 0], networks[case.name], 1e-4)
    out = both(*given).asnumpy()
    assert out.shape == (2, 4, 1, *case.shape[2:]) and np.isfinite(out).all()


def test_gradients_of_what_is_trained_and_none_of_the_rest():
    case, want = cases.GRADIENT, golden("gradients")
    net, entries = measure.network(case), {e.ours: e for e in case.entries()}
    for parameter in net.get_parameters():
        parameter.requires_grad = matches(parameter.name, cases.TRAINED)
    assert sorted(entries[p.name].source for p in net.trainable_params()) == list(want["trained"])
    *_, ours = measure.gradients(net, case)
    found = {
        entries[name].source: g.reshape(entries[name].source_shape) for name, g in ours.items()
    }
    errors = unet_cases.gradient_error(found, want)
    assert max(errors.values()) <= 1e-3, sorted(errors.items(), key=lambda item: -item[1])[:5]


def test_noising_and_steps_with_shared_noise():
    want, schedule = golden("steps"), scaled_linear(1000)
    x, out, noise = (cases.draw(f"step {n}", 2, 4, 3, 4, 5) for n in ("x", "out", "noise"))
    shared = cases.draw("step shared", 2, 4, 4, 5)[:, :, None]
    levels = [schedule.level(t) for t in (3, 940)]
    alpha, sigma = (
        np.array([getattr(v, n) for v in levels], np.float32).reshape(2, 1, 1, 1, 1)
        for n in ("alpha", "sigma")
    )
    close(add_noise(x, noise, alpha, sigma), want["noised"], 1e-6)
    flavour = FLAVOURS["diffusers"]
    for t in (901, 1):
        level, after = schedule.level(t), flavour.after(schedule, [t], 10)[0]
        x0 = (x - level.sigma * out) / level.alpha
        for eta in (0, 1):
            spread = eta * spread_of(level, after)
            close(move(x0, out, after, spread) + spread * shared, want[f"step_eta{eta}_t{t}"], 1e-6)


@pytest.fixture(scope="module")
def sampled_network():
    """That of both etas, which is compiled once."""
    case, other = (sampling.case for sampling in cases.SAMPLINGS)
    assert case == other
    return measure.network(case)


@pytest.mark.slow
@pytest.mark.parametrize("sampling", cases.SAMPLINGS, ids=lambda s: s.name)
def test_ten_guided_steps_on_a_tape_of_noise(sampling, sampled_network):
    ms.set_context(mode=ms.GRAPH_MODE)  # many steps
    net, hint, tape = sampled_network, sampling.hint(), sampling.tape()

    def model(context):
        return hints.with_hints(
            lambda x, t: net(Tensor(x), Tensor(t), Tensor(context)).asnumpy(),
            hint[:, :1],
            hint[:, 1:],
        )

    null, text = (model(sampling.contexts()[i : i + 1]) for i in range(2))
    out = sampler("ddim")(
        guided(text, null, sampling.guidance),
        sampling.start(),
        scaled_linear(1000),
        sampling.steps,
        eta=sampling.eta,
        noise=lambda step: tape[step][:, :, None],
        flavour="diffusers",
    )
    close(out, golden("sampling")[sampling.name], 1e-3)


@pytest.mark.parametrize("name", list(cases.masks()))
def test_masks_and_pictures_bit_for_bit(name):
    want = golden("masks")
    found = hints.prepare_mask(cases.picture(), cases.masks()[name], (5, 7))
    for ours, kind in zip(found, ("mask", "masked", "small"), strict=True):
        assert np.array_equal(ours, want[f"{name}_{kind}"]), kind


class Told(nn.Cell):
    """The network on latents, with zeros as mask and hints behind them."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x, t, hint, context):
        return self.net(ms.ops.concat((x, hint), 1), t, context)


def test_loss_of_the_first_frame_model():
    given, case = cases.loss_inputs(), cases.LOSS
    latents = given["f8"] * np.float32(0.18215)
    run = hints.fill([0], range(1, 5))
    hint = np.concatenate(
        [hints.mask([0], range(1, 5), (8, 8)).repeat(2, 0), run.spread(latents[:, :, :1])], 1
    )
    loss = DiffusionLoss(Told(measure.network(case)), scaled_linear(1000), "eps", "l2")
    found = loss(
        *(
            Tensor(a)
            for a in (latents[:, :, 1:].copy(), given["noise"], given["t"], hint, given["context"])
        )
    )
    close(np.float32(found.asnumpy()), golden("loss")["loss"], 1e-5)


def _small_case(frames):
    return replace(cases.GRADIENT, name="order", shape=(1, frames, 4, 4))


@pytest.mark.slow
def test_half_precision_stays_near_at_17_frames(networks):
    ms.set_context(mode=ms.GRAPH_MODE)
    case = cases.BANDED[0]
    out = measure.network(case, "float16")(*measure.tensors(case)).asnumpy()
    assert np.isfinite(out).all()
    close(out, networks[case.name], 2e-2)


@pytest.mark.parametrize(("policy", "kept"), [("all", True), ("window:3", False)])
def test_only_the_band_breaks_the_symmetry_of_frames_in_a_fresh_network(policy, kept):
    """With convolutions over time at the identity, any order of frames is as good as any other; a
    band knows the order.
    """
    case = replace(_small_case(7), reads=("time", policy))
    net = measure.network(case)
    for cell in net.cells_and_names():
        if isinstance(cell[1], PseudoConv):
            cell[1].temporal.init_weights(None)
            cell[1].temporal.bias.set_data(
                Tensor(np.zeros(cell[1].temporal.bias.shape, np.float32))
            )
    x, t, context = measure.tensors(case)
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    straight = net(x, t, context).asnumpy()[:, :, order]
    turned = net(Tensor(x.asnumpy()[:, :, order].copy()), t, context).asnumpy()
    error = unet_cases.relative(turned, straight)
    assert error < 1e-5 if kept else error > 1e-3
