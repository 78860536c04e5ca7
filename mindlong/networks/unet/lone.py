"""A latent UNet, to be run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.lone import NOISY_LATENTS, TIMESTEPS, Arrays, Input, Lone, like_x
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


def _check(spec: UNetSpec, arrays: Arrays) -> dict[str, int]:
    try:
        x, t, context = (arrays[name].shape for name in ("x", "t", "context"))
        spec.check_inputs(x, t, context, "fps" in arrays, "guidance" in arrays)
    except ConfigError as error:
        raise InputFileError(f"inputs: {error}") from None
    return {"C": spec.in_channels, "B": arrays["x"].shape[0], "D": spec.context_dim}


LONE = (
    Lone(
        "unet",
        (
            NOISY_LATENTS,
            TIMESTEPS,
            Input(
                "context",
                "BTD|BFTD",
                "float",
                "the prompt's vectors, (batch, tokens, width), or one prompt a frame",
                needed=True,
            ),
            Input("fps", "B", "float", "frames per second, for a network that takes them (batch)"),
            Input(
                "guidance", "B", "float", "guidance less 1, for a network that is told it (batch)"
            ),
        ),
        _check,
        like_x,
        "mindlong.networks.unet.cell:alone",
        about="shaped like x",
    ),
)
