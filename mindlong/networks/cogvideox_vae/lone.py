"""Both halves of CogVideoX's autoencoder, to be run alone on one chunk at the start of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.lone import Arrays, Input, Lone
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec


def _check_images(spec: VideoVaeSpec, arrays: Arrays) -> dict[str, int]:
    *_, height, width = arrays["x"].shape
    if arrays["x"].ndim == 4 and (height % spec.factor or width % spec.factor):
        raise InputFileError(
            f"inputs: x holds images of {height}x{width}; both sides must be multiples of {spec.factor}"
        )
    return {"C": spec.channels}


def _output_moments(spec: VideoVaeSpec, arrays: Arrays) -> tuple[int, ...]:
    count, _, *sides = arrays["x"].shape
    for _ in range(spec.halvings):
        count = count // 2 + count % 2
    return count, 2 * spec.latent_channels, *(side // spec.factor for side in sides)


def _output_images(spec: VideoVaeSpec, arrays: Arrays) -> tuple[int, ...]:
    count, _, *sides = arrays["x"].shape
    for _ in range(spec.halvings):
        count = 1 if count == 1 else 2 * count - count % 2
    return count, spec.channels, *(side * spec.factor for side in sides)


LONE = (
    Lone(
        "cogvideox_encode",
        (Input("x", "FCHW", "float", "images in [-1, 1] (frames, channels, height, width)", True),),
        _check_images,
        _output_moments,
        "mindlong.networks.cogvideox_vae.cell:encoder_alone",
        about="(n,2L,h,w): mean and log variance stacked on channels, of one chunk",
    ),
    Lone(
        "cogvideox_decode",
        (
            Input(
                "x", "NLhw", "float", "latents, not scaled (latents, channels, height, width)", True
            ),
        ),
        lambda spec, arrays: {"L": spec.latent_channels},
        _output_images,
        "mindlong.networks.cogvideox_vae.cell:decoder_alone",
        about="(F,C,H,W), of one chunk",
    ),
)
