"""CLIP's encoders, to be run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.networks.lone import Arrays, Input, Lone
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.clip.vision_spec import ClipVisionSpec


def _check_ids(spec: Any, arrays: Arrays) -> dict[str, int]:
    ids = arrays["x"]
    if ids.size and not 0 <= ids.min() <= ids.max() < spec.vocabulary:
        raise InputFileError(
            f"inputs: x holds token ids from {ids.min()} to {ids.max()}; the network has {spec.vocabulary} tokens"
        )
    return {"S": spec.length}


def text_alone(build: str) -> Lone:
    """A text encoder of any family: `build` is "module:function" of (spec, arrays) -> the cell."""
    return Lone(
        "text_encoder",
        (Input("x", "BS", "int", "token ids (prompts, tokens)", needed=True),),
        _check_ids,
        lambda spec, arrays: (*arrays["x"].shape, spec.width),
        build,
        about="(B,S,D): the hidden state that a UNet reads",
    )


def _check_images(spec: ClipVisionSpec, arrays: Arrays) -> dict[str, int]:
    return {"C": 3, "H": spec.size, "W": spec.size}


TEXT = text_alone("mindlong.networks.clip.text_cell:alone")
VISION = Lone(
    "image_encoder",
    (
        Input(
            "x",
            "NCHW",
            "float",
            "images, resized, cut and normalised (images, 3, size, size)",
            needed=True,
        ),
    ),
    _check_images,
    lambda spec, arrays: (len(arrays["x"]), spec.projection),
    "mindlong.networks.clip.vision_cell:alone",
    about="(N,P): the embedding, not normalised",
)
