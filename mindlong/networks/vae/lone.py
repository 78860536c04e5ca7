"""Both halves of an autoencoder, to be run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.lone import Arrays, Input, Lone
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.vae.spec import VaeSpec


def _check_images(spec: VaeSpec, arrays: Arrays) -> dict[str, int]:
    *_, height, width = arrays["x"].shape
    if arrays["x"].ndim == 4 and min(height, width) < spec.factor:
        raise InputFileError(
            f"inputs: x holds images of {height}x{width}; each side must have {spec.factor} pixels or more"
        )
    return {"C": spec.channels}


def _output_moments(spec: VaeSpec, arrays: Arrays) -> tuple[int, ...]:
    count, _, *sides = arrays["x"].shape
    return count, 2 * spec.latent_channels, *(side // spec.factor for side in sides)


def _output_images(spec: VaeSpec, arrays: Arrays) -> tuple[int, ...]:
    count, _, *sides = arrays["x"].shape
    return count, spec.channels, *(side * spec.factor for side in sides)


LONE = (
    Lone(
        "vae_encode",
        (Input("x", "NCHW", "float", "images in [-1, 1] (images, channels, height, width)", True),),
        _check_images,
        _output_moments,
        "mindlong.networks.vae.cell:encoder_alone",
        about="(N,2L,h,w): mean and log variance stacked on channels",
    ),
    Lone(
        "vae_decode",
        (
            Input(
                "x", "NLhw", "float", "latents, not scaled (images, channels, height, width)", True
            ),
        ),
        lambda spec, arrays: {"L": spec.latent_channels},
        _output_images,
        "mindlong.networks.vae.cell:decoder_alone",
        about="(N,C,H,W)",
    ),
)
