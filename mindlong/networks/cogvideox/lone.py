"""CogVideoX's transformer, to be run alone."""

from __future__ import annotations

from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.lone import Arrays, Input, Lone
from mindlong.utils.errors import ConfigError, InputFileError


def _check(spec: CogVideoXSpec, arrays: Arrays) -> dict[str, int]:
    shapes = {name: tuple(arrays[name].shape) for name in ("x", "t", "context")}
    if "hint" in arrays:
        batch, channels, *rest = shapes["x"]
        shapes["x"] = (batch, channels + arrays["hint"].shape[1], *rest)
    try:
        spec.check_inputs(*shapes.values())
    except ConfigError as error:
        raise InputFileError(f"inputs: {error}") from None
    return {"B": arrays["x"].shape[0], "D": spec.context_dim}


def _output(spec: CogVideoXSpec, arrays: Arrays) -> tuple[int, ...]:
    batch, _, *rest = arrays["x"].shape
    return batch, spec.out_channels, *rest


LONE = (
    Lone(
        "cogvideox",
        (
            Input(
                "x",
                "BCFHW",
                "float",
                "the noisy latents (batch, channels, frames, height, width)",
                needed=True,
            ),
            Input("t", "B", "float", "timesteps (batch)", needed=True),
            Input(
                "context",
                "BTD",
                "float",
                "the prompt's vectors (batch, tokens, width)",
                needed=True,
            ),
            Input(
                "hint", "BKFHW", "float", "mask and known latents, for a network that reads them"
            ),
        ),
        _check,
        _output,
        "mindlong.networks.cogvideox.cell:alone",
        about="shaped like x",
    ),
)
