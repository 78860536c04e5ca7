"""Unet3D, to be run alone, with guidance where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.lone import Arrays, Input, Lone, like_x
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec


def _check(spec: Unet3DSpec, arrays: Arrays) -> dict[str, int]:
    try:
        spec.check_video(arrays["x"].shape)
    except ValueError as error:
        raise InputFileError(f"inputs: x: {error}") from None
    if spec.cond_dim and "cond" not in arrays:
        raise InputFileError(
            f"inputs: the array 'cond' is missing; the model has cond_dim {spec.cond_dim}, so the "
            f"condition is ({arrays['x'].shape[0]}, {spec.cond_dim})"
        )
    if "cond" in arrays and not spec.cond_dim:
        raise InputFileError(
            "inputs: there is an array 'cond', but the model has no cond_dim; leave out the one or "
            "give the other"
        )
    if "label" in arrays and (not spec.classes or arrays["label"].max() >= spec.classes):
        raise InputFileError(
            f"inputs: label holds {arrays['label'].max()}; the model has {spec.classes} classes, from 0"
        )
    return {"C": spec.channels, "B": arrays["x"].shape[0]} | (
        {"D": spec.cond_dim} if spec.cond_dim else {}
    )


LONE = (
    Lone(
        "unet",
        (
            Input(
                "x",
                "BCFHW",
                "float",
                "the noisy video (batch, channels, frames, height, width)",
                needed=True,
            ),
            Input("t", "B", "int", "timesteps (batch)", needed=True),
            Input("cond", "BD", "float", "the condition (batch, cond_dim)"),
            Input(
                "focus_present_mask",
                "B",
                "bool",
                "True: the frames of that video attend to themselves only (batch)",
            ),
            Input("label", "B", "int", "the class of each video, -1 for none (batch)"),
            Input("cond_scale", "", "number", "guidance scale, one number; 1 without"),
        ),
        _check,
        like_x,
        "mindlong.networks.unet3d.built_cell:alone",
        aside=("cond_scale",),
        about="shaped like x",
    ),
)
