"""Runs ours on the cases of vdm_cases.py and says how far each array is from the golden one.

A difference is relative: the largest absolute one, over the largest absolute value of the golden
array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mindspore as ms
import numpy as np
import vdm_cases as cases
from mindspore import Tensor, nn, ops

from mindlong.diffusion.guidance import guided
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.samplers import sampler
from mindlong.diffusion.schedules import cosine
from mindlong.diffusion.thresholding import dynamic_threshold, static_threshold
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.extended_unet_cell import GuidedUnet3D
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.positions import focus_bias
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.ops import device

FOLDER = Path(__file__).parents[1] / "golden"
Arrays = dict[str, np.ndarray]
Differences = dict[str, float]


@contextmanager
def running(mode: str, native: str) -> Iterator[None]:
    """Graph mode or PyNative, C++ operators "on" or "off", for the cells built inside."""
    device.configure(native)
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        device.configure("auto")
        ms.set_context(mode=ms.GRAPH_MODE)


def golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of tests/golden/vdm_NAME.npz."""
    with np.load(FOLDER / f"vdm_{name}.npz") as arrays:
        return dict(arrays)


@cache
def parts_golden() -> dict[str, dict[str, np.ndarray]]:
    """The golden arrays of the blocks, by case."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in golden("blocks").items():
        case, _, name = key.partition("/")
        found.setdefault(case, {})[name] = value
    return found


def relative(ours: np.ndarray, want: np.ndarray) -> float:
    """The largest difference over the largest value; shapes must agree."""
    assert ours.shape == want.shape, (ours.shape, want.shape)
    if not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours - want).max() / max(np.abs(want).max(), 1e-12))


def network(spec: Unet3DSpec, weights: Callable = cases.weights) -> Unet3D:
    """Our network with the case's weights."""
    net, values = Unet3D(spec), weights(spec)
    by_name = {p.name: p for p in net.get_parameters()}
    for entry in names(spec):
        by_name[entry.ours].set_data(Tensor(values[entry.source].reshape(entry.our_shape)))
    return net


def gradients(
    cell: nn.Cell, inputs: list, probe: np.ndarray, trained: list
) -> tuple[np.ndarray, np.ndarray, list]:
    """Output of cell(*inputs), and the gradients of sum(output * probe) by the first input and by
    `trained`.
    """

    def forward(probe, *inputs):
        out = cell(*inputs)
        return (out * probe).sum(), out

    run = ms.value_and_grad(forward, 1, trained, has_aux=True)
    if ms.get_context("mode") == ms.GRAPH_MODE:
        run = ms.jit(run)
    (_, out), (by_input, by_trained) = run(Tensor(probe), *inputs)
    return out.asnumpy(), by_input.asnumpy(), [g.asnumpy() for g in by_trained]


def _tensors(arrays: dict[str, np.ndarray], *wanted: str) -> list:
    return [Tensor(arrays[name]) if name in arrays else None for name in wanted]


def _compare(want: Arrays, out: np.ndarray, by_x: np.ndarray, by_name: Arrays) -> Differences:
    """Output, input gradient and every parameter's gradient; one that the original does not have
    must be zero.
    """
    found = {"out": relative(out, want["out"]), "grad_x": relative(by_x, want["grad_x"])}
    for name, value in by_name.items():
        golden_value = want.get(f"grad/{name}")
        found[f"grad/{name}"] = (
            float(np.abs(value).max()) if golden_value is None else relative(value, golden_value)
        )
    missing = {k for k in want if k.startswith("grad/")} - found.keys()
    assert not missing, f"gradients never compared: {sorted(missing)}"
    return found


def net_differences(case: cases.NetCase) -> Differences:
    """A whole network: output and every gradient."""
    spec, given = case.spec(), case.inputs()
    net = GuidedUnet3D(network(spec), case.scale)
    trained = net.trainable_params()
    inputs = _tensors(given, "x", "t", "cond", "focus_present_mask")
    out, by_x, by_trained = gradients(net, inputs, given["probe"], trained)
    return _compare(golden(f"net_{case.name}"), out, by_x, _source_names(spec, trained, by_trained))


def _source_names(spec: Unet3DSpec, parameters: list, arrays: list) -> dict[str, np.ndarray]:
    """Arrays under the original's keys and in its shapes."""
    entries = {entry.ours: entry for entry in names(spec)}
    pairs = [(entries[p.name], a) for p, a in zip(parameters, arrays, strict=True)]
    return {entry.source: array.reshape(entry.source_shape) for entry, array in pairs}


class _Part(nn.Cell):
    """One part of the network behind (B, C, F, H, W), as the original's parts are."""

    def __init__(self, net: Unet3D, case: cases.BlockCase) -> None:
        super().__init__(auto_prefix=False)
        self.part, self.extra, self.focused = (
            _at(net, case.ours),
            case.extra,
            case.focus is not None,
        )
        self.rotary, self.bias = net.rotary, net.time_bias
        self.focus = Tensor(np.array(case.focus)) if self.focused else None

    def construct(self, x, emb=None):
        batch, channels, frames, height, width = x.shape
        x = x.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        if "time" in self.extra:
            x = self.part(x, emb)
        elif self.extra == "positions":
            cos, sin = self.rotary(frames)
            bias = self.bias(frames)
            x = self.part(x, cos, sin, focus_bias(bias, self.focus) if self.focused else bias)
        else:
            x = self.part(x)
        return x.reshape((batch, frames) + x.shape[1:]).transpose((0, 2, 1, 3, 4))


def _at(net: nn.Cell, path: str) -> nn.Cell:
    for step in path.split("."):
        net = net[int(step)] if step.isdigit() else getattr(net, step)
    return net


def block_differences(case: cases.BlockCase) -> Differences:
    """One part of the network: output and the gradients of its own parameters."""
    spec, given = cases.BLOCK_NET.spec(), case.inputs()
    net = network(spec)
    want = parts_golden()[case.name]
    cell = _Part(net, case)
    trained = [p for p in net.trainable_params() if p.name.startswith(case.ours + ".")]
    emb = (
        [] if "emb" not in given else [ops.silu(Tensor(given["emb"]))]
    )  # ours applies it once for all blocks
    out, by_x, by_trained = gradients(
        cell, [Tensor(given["x"]), *emb], case.probe(want["out"].shape), trained
    )
    by_name = _source_names(spec, trained, by_trained)
    used = {f"grad/{name}" for name in by_name} | {"out", "grad_x"}
    return _compare(
        {k: v for k, v in want.items() if k in used or not case.special}, out, by_x, by_name
    )


def piece_differences() -> Differences:
    """Time embedding, relative bias, rotary positions: outputs."""
    want, net = parts_golden(), network(cases.BLOCK_NET.spec())
    t = Tensor(cases.TIMES)
    found = {
        "time_mlp": relative(net.time_mlp(t).asnumpy(), want["time_mlp"]["out"]),
        "sinusoid": relative(net.time_mlp.embed(t).asnumpy(), want["sinusoid"]["out"]),
    }
    for frames in cases.BIAS_FRAMES:
        bias = _Call(net.time_bias, frames)().asnumpy()[0]
        found[f"bias {frames}"] = relative(bias, want["bias"][str(frames)])
    for frames in cases.ROTARY_FRAMES:
        found[f"rotary {frames}"] = relative(_turned(net, frames), want["rotary"][str(frames)])
    return found


class _Call(nn.Cell):
    def __init__(self, cell: nn.Cell, frames: int) -> None:
        super().__init__(auto_prefix=False)
        self.cell, self.frames = cell, frames

    def construct(self):
        return self.cell(self.frames)


def _turned(net: Unet3D, frames: int) -> np.ndarray:
    """Pairs of features turned by our angles, on the host."""
    q = np.random.default_rng(frames).standard_normal((1, 1, frames, 16), dtype=np.float32)
    cos, sin = (a.asnumpy() for a in _Call(net.rotary, frames)())
    even, odd = q[..., 0::2], q[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(q.shape)


class _Loss(nn.Cell):
    """The network with its focus mask, as DiffusionLoss calls it."""

    def __init__(self, net: Unet3D) -> None:
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x, t, cond, focus):
        return self.net(x, t, cond, None, focus)


def loss_differences(kind: str) -> Differences:
    """p_losses of the original: value, and gradients of some parameters."""
    case = cases.NET["conditional"]
    given, net = case.inputs(), network(case.spec())
    want = {
        k.split("/", 1)[1]: v
        for k, v in golden("diffusion").items()
        if k.startswith(f"loss_{kind}/")
    }
    loss = DiffusionLoss(_Loss(net), cosine(cases.DIFFUSION_STEPS), prediction="eps", loss=kind)
    inputs = [
        np.tanh(given["x"]),
        given["probe"],
        np.array([9, 3], np.int32),
        given["cond"],
        np.array([True, False]),
    ]
    trained = net.trainable_params()
    run = ms.value_and_grad(loss, None, trained)
    value, by_trained = (ms.jit(run) if ms.get_context("mode") == ms.GRAPH_MODE else run)(
        *map(Tensor, inputs)
    )
    by_name = _source_names(case.spec(), trained, [g.asnumpy() for g in by_trained])
    compared = {
        f"grad/{k}": relative(v, want[f"grad/{k}"])
        for k, v in by_name.items()
        if f"grad/{k}" in want
    }
    return {"out": relative(value.asnumpy(), want["out"]), **compared}


def sample_differences(kind: str) -> Differences:
    """Ten guided ancestral steps from a noise tape; the difference is absolute, of values in [0,
    1].
    """
    case = cases.NET["conditional"]
    net, cond = network(case.spec(), cases.calm_weights), Tensor(case.inputs()["cond"])
    start, *tape = cases.noise_tape(case.shape)
    wanted, absent = Tensor(np.zeros(2, bool)), Tensor(np.ones(2, bool))

    def model(mask):
        return lambda x, t: net(Tensor(x), Tensor(t.astype(np.int32)), cond, mask).asnumpy()

    clip = dynamic_threshold(0.9) if kind == "dynamic" else static_threshold()
    video = sampler("ddpm")(
        guided(model(wanted), model(absent), 2.0),
        start,
        cosine(cases.DIFFUSION_STEPS),
        noise=lambda step: tape[step],
        clip=clip,
    )
    return {"out": float(np.abs((video + 1) / 2 - golden("diffusion")[f"sample_{kind}/out"]).max())}
