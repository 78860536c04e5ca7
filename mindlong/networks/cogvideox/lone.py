"""CogVideoX's transformer, to be run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.lone import NOISY_LATENTS, TIMESTEPS, Arrays, Input, Lone, like_x
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec


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


LONE = (
    Lone(
        "cogvideox",
        (
            NOISY_LATENTS,
            TIMESTEPS,
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
        like_x,
        "mindlong.networks.cogvideox.cell:alone",
        about="shaped like x",
    ),
)
