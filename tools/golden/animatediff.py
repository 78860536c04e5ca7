"""Golden arrays of AnimateDiff's module alone, of FreeNoise, FreeInit and context windows
(developers only: needs torch).

`make` runs diffusers as pip installs it: FreeNoiseTransformerBlock and FreeInitMixin. The other
originals are not packages; `module`, `attention` and `windows` take their classes from their own
files, run on a CPU in float32:

    VanillaTemporalModule    guoyww/AnimateDiff at e92bd566, animatediff/models/motion_module.py,
                             with diffusers 0.11.1
    CrossAttention           arthur-qiu/LongerCrafter at 2b5e0c9,
                             lvdm/modules/attention_freenoise.py
    create_windows_*         Kosinkadink/ComfyUI-AnimateDiff-Evolved at d8d163c,
                             animatediff/context.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import animatediff_cases as cases  # noqa: E402


def fill(net: torch.nn.Module) -> torch.nn.Module:
    """Weights from the tensors' names; tables of places stay."""
    state = net.state_dict()
    shapes = {n: tuple(v.shape) for n, v in state.items() if not n.endswith(".pe")}
    drawn = {n: torch.from_numpy(v.copy()) for n, v in cases.weights(shapes).items()}
    net.load_state_dict({**state, **drawn}, strict=True)
    return net.eval()


def gradients(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """By parameter."""
    return {f"grad {n}": p.grad.numpy() for n, p in net.named_parameters()}


def views() -> dict[str, np.ndarray]:
    """Outputs of diffusers' block in views; gradients at 24 frames."""
    from diffusers.models.attention import FreeNoiseTransformerBlock

    found: dict[str, np.ndarray] = {}
    for weighting in cases.WEIGHTINGS:
        net = fill(
            FreeNoiseTransformerBlock(
                cases.WIDTH,
                cases.HEADS,
                cases.WIDTH // cases.HEADS,
                double_self_attention=True,
                attention_bias=False,
                positional_embeddings="sinusoidal",
                num_positional_embeddings=32,
                context_length=16,
                context_stride=4,
                weighting_scheme=weighting,
            )
        )
        for frames in cases.FRAMES:
            x = torch.from_numpy(cases.tokens(frames)).requires_grad_()
            out = net(x)
            found[f"{weighting} {frames}"] = out.detach().numpy()
            if frames == 24 and weighting == "pyramid":
                (out * torch.from_numpy(cases.probe(frames))).sum().backward()
                found |= {"grad x": x.grad.numpy()} | gradients(net)
    return found


def free_init() -> dict[str, np.ndarray]:
    """Filters of diffusers, and one mix at each size."""
    from diffusers.pipelines.free_init_utils import FreeInitMixin

    found = {}
    for size in cases.SIZES:
        for method in ("butterworth", "gaussian", "ideal"):
            kept = FreeInitMixin()._get_free_init_freq_filter(
                (1, 1, *size), "cpu", method, 4, 0.25, 0.25
            )
            found[f"{method} {size}"] = kept.numpy()[0, 0]
        low, high = (torch.from_numpy(cases.draw((1, 2, *size), w)) for w in ("low", "high"))
        kept = torch.from_numpy(found[f"butterworth {size}"])
        mixed = FreeInitMixin()._apply_freq_filter(low, high, kept)
        found[f"mixed {size}"] = mixed.numpy()
    return found


def module(kind: type[torch.nn.Module]) -> dict[str, np.ndarray]:
    """AnimateDiff's module, which `kind` is, on small activations."""
    sizes = cases.MODULE
    net = fill(
        kind(
            sizes["width"],
            num_attention_heads=sizes["heads"],
            num_transformer_block=1,
            temporal_position_encoding=True,
            temporal_position_encoding_max_len=sizes["places"],
        )
    )
    x = torch.from_numpy(cases.quiet((1, sizes["width"], sizes["frames"], 3, 2))).requires_grad_()
    out = net(x, None, None)
    (out * torch.from_numpy(cases.draw(tuple(out.shape), "module probe"))).sum().backward()
    made = {"out": out.detach().numpy(), "grad x": x.grad.numpy()}
    norms = {n: g for n, g in gradients(net).items() if g.ndim == 1}
    return made | norms


def attention(kind: type[torch.nn.Module]) -> dict[str, np.ndarray]:
    """LongerCrafter's attention, which `kind` is, in windows of 16 frames, 4 apart."""
    net = fill(kind(cases.WIDTH, heads=cases.HEADS, dim_head=cases.WIDTH // cases.HEADS))
    found = {}
    for frames in cases.FRAMES:
        windows = [(i, i + 16) for i in range(0, frames - 15, 4)]
        with torch.no_grad():
            out = net(torch.from_numpy(cases.tokens(frames)), context_next=windows)
        found[f"attention {frames}"] = out.numpy()
    return found


def windows(functions: dict[str, Callable[[int, Any], list[list[int]]]]) -> dict[str, np.ndarray]:
    """Fingerprints of the windows of ComfyUI-AnimateDiff-Evolved's functions, by schedule."""
    found = {}
    for name, function in functions.items():
        for length, overlap, stride in cases.SETTINGS:
            for closed in (False, True):
                given = {"context_length": length, "context_overlap": overlap}
                given |= {"context_stride": stride, "closed_loop": closed}

                def listed(frames: int, step: int, call=function, options=given):
                    rows = call(frames, SimpleNamespace(**options, step=step))
                    return [[int(f) for f in row] for row in rows]

                key = f"{name} {length} {overlap} {stride} {closed}"
                found[key] = np.array(cases.digest(listed, length << (stride - 1)))
    return found


def make(folder: Path) -> list[Path]:
    """Write what diffusers alone makes into `folder`."""
    written = []
    for name, arrays in (("views", views()), ("free_init", free_init())):
        written.append(Path(folder) / f"animatediff_{name}.npz")
        np.savez_compressed(written[-1], **arrays)
    return written
