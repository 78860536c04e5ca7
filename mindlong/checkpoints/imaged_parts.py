"""Whether the parts that make what a network reads of an image go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.utils.errors import ConfigError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part


def check_imaged(
    network: Part,
    vae: Part,
    text: Part,
    image_encoder: Part,
    projector: Part,
    section: str = "latent",
) -> None:
    """Raise ConfigError where the parts that make a network's image tokens do not go together."""
    spec, given = network.spec, projector.spec
    images = needed(needed(network.network.denoiser, "denoiser").images, "images")
    for what, found, wanted, key in (
        ("the image encoder's tokens have", image_encoder.spec.width, given.reads, "image_encoder"),
        ("the projector gives vectors of", given.gives, spec.context_dim, "projector"),
        ("the text encoder reads", text.spec.length, spec.text_tokens, "text_encoder"),
        (
            "the UNet takes channels of",
            spec.in_channels,
            vae.spec.latent_channels * (2 if images.beside else 1),
            "vae",
        ),
    ):
        if found != wanted:
            raise ConfigError(
                f"the parts do not go together: {what} {found} and {wanted} is wanted; "
                f"{section}.{key} can name another"
            )
    if images.frames and given.tokens % images.frames:
        raise ConfigError(
            f"the projector gives {given.tokens} tokens, which do not divide into those of {images.frames} frames"
        )
