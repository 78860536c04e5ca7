"""Our networks and samplers on the cases of `dynamicrafter_cases`, and how far they are from an
original's arrays.
"""

from __future__ import annotations

from pathlib import Path

import dynamicrafter_cases as cases
import mindspore as ms
import numpy as np
import unet_cases
import unet_measure as measure
from mindspore import Tensor, nn

from mindlong.diffusion.guidance import guided, guided_by_image
from mindlong.diffusion.parameterise import to_eps, to_x0
from mindlong.diffusion.sample import Plain, sample
from mindlong.diffusion.samplers.ddim import move, spread_of
from mindlong.diffusion.samplers.flavours import FLAVOURS
from mindlong.networks import table
from mindlong.networks.names import our_array
from mindlong.networks.resampler.cell import Resampler
from mindlong.networks.resampler.names import names
from mindlong.networks.unet.families import family

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name):
    """The arrays of tests/golden/NAME.npz."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def given(case):
    """x, t, context and fps as our network takes them."""
    arrays = case.inputs()
    arrays["context"] = case.by_frame(arrays["context"])
    return [Tensor(arrays[name]) for name in ("x", "t", "context", "fps")]


def gradients(case):
    """By x, by the original's context, and by its names of tensors, of sum(out * probe)."""
    net = measure.network(case)
    trained = net.trainable_params()
    step = ms.jit(ms.value_and_grad(measure._Probed(net), (1, 3), trained, has_aux=True))
    (_, _), (by_inputs, by_trained) = step(Tensor(case.inputs()["probe"]), *given(case))
    named = {p.name: g.asnumpy() for p, g in zip(trained, by_trained, strict=True)}
    by_source = {e.source: named[e.ours].reshape(e.source_shape) for e in case.entries()}
    return by_inputs[0].asnumpy(), _whole(case, by_inputs[1].asnumpy()), by_source


def _whole(case, by_context):
    """The gradient by a context for each frame as that by the original's one context."""
    if case.shared:
        return by_context
    text, (batch, _, _, width) = cases.TEXT, by_context.shape
    image = by_context[:, :, text:].reshape(batch, -1, width)
    return np.concatenate([by_context[:, :, :text].sum(1), image], 1)


def check_gradients(case, tolerance, noise):
    """Every gradient of a case is the original's."""
    want, (by_x, by_context, by_source) = measure.golden(case), gradients(case)
    assert unet_cases.relative(by_x, want["grad_x"]) <= tolerance
    assert unet_cases.relative(by_context, want["grad_context"]) <= tolerance
    found = unet_cases.gradient_error(by_source, want)
    for name in unet_cases.still(set(by_source), want):
        assert found.pop(name) <= noise
    assert max(found.values()) <= tolerance, sorted(found.items(), key=lambda i: -i[1])[:5]


class _Weighed(nn.Cell):
    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x, probe):
        out = self.net(x)
        return (out * probe).sum(), out


def check_resampler(spec, want, forward, gradient):
    """Output and every gradient of a Resampler are the original's."""
    net, weights = Resampler(spec), cases.resampler_weights(spec)
    entries = {e.ours: e for e in names(spec)}
    for parameter in net.get_parameters():
        entry = entries[parameter.name]
        parameter.set_data(Tensor(our_array(entry, weights[entry.source])))
    trained = net.trainable_params()
    assert {p.name for p in trained} == set(entries)
    step = ms.jit(ms.value_and_grad(_Weighed(net), None, trained, has_aux=True))
    (_, out), by_trained = step(*map(Tensor, cases.resampler_inputs(spec)))
    assert unet_cases.relative(out.asnumpy(), want["out"]) <= forward
    for parameter, found in zip(trained, by_trained, strict=True):
        entry = entries[parameter.name]
        ours = found.asnumpy().reshape(entry.source_shape)
        assert unet_cases.relative(ours, want[entry.source]) <= gradient, entry.source


def noising_of(name):
    """The noising process of a family, with its factor on the clean sample."""
    denoiser = table.get(name).denoiser
    found, scale = (f(family(name).spec(), {}) for f in (denoiser.noising, denoiser.signal_scale))
    if scale is None:
        return found
    return type(found)(found.schedule.with_signal_scale(scale), found.prediction, found.flavour)


def ran(run, models, x_T):
    """The end of a run of ours, and the clean samples on the way."""
    cond, image, null = models
    if run.image_guidance is not None:
        model = guided_by_image(cond, image, null, run.guidance, run.image_guidance, run.rescale)
    else:
        model = guided(cond, null, run.guidance, run.rescale)
    found = []
    end = sample(
        Plain(steps=run.steps, eta=run.eta, flavour="dynamicrafter" if run.v else ""),
        model,
        x_T,
        noising_of(run.variant),
        noise=lambda step: cases.tape(step, x_T.shape),
        callback=lambda step, total, x0: found.append(x0) and None,
    )
    return found, end


def exact(run):
    """The end of a guided run by the closed form of which every number is a float64: what the
    original and ours would give without rounding.
    """
    noising, x = noising_of(run.variant), cases.start().astype(np.float64)
    schedule = noising.schedule
    flavour = FLAVOURS["dynamicrafter"] if run.v else noising.flavour
    visited = flavour.times(schedule.timesteps, run.steps)
    for step, (t, after) in enumerate(
        zip(visited, flavour.after(schedule, visited, run.steps), strict=True)
    ):
        level, out = schedule.level(t), _guided(run, x, t)
        x0 = to_x0(noising.prediction, x, out, level.alpha, level.sigma) / level.signal_scale
        eps = to_eps(noising.prediction, x, out, level.alpha, level.sigma)
        spread = run.eta * spread_of(level, after)
        x = move(x0, eps, after, spread) + spread * cases.tape(step)
    return x


def _guided(run, x, t):
    def closed(which):
        a, b = (np.float64(np.float32(n)) for n in cases.CONDITIONS[which])
        return np.tanh(a * x) + b * (t / 1000)

    both, neither = closed("text and image"), closed("nothing")
    out, axes = neither + run.guidance * (both - neither), tuple(range(1, x.ndim))
    if not run.rescale:
        return out
    spread = both.std(axis=axes, keepdims=True) / out.std(axis=axes, keepdims=True)
    return out * (run.rescale * spread + 1 - run.rescale)


def ran_closed(run):
    """A run by the closed form."""
    models = [
        lambda x, t, which=which: cases.closed_form(x, t, which) for which in cases.CONDITIONS
    ]
    return ran(run, models, cases.start())
