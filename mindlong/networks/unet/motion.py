"""The motion modules of AnimateDiff (arXiv 2307.04725): a transformer over frames behind every
residual block (and spatial transformer) of an image model's UNet.

What the published versions differ in is data here. The norm of a motion module is frame by frame as
published (guoyww/AnimateDiff); diffusers, and what is ported from it, takes it over all frames:
`compat="diffusers"`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.networks.unet.stage_spec import Branch, Res, Stage, Transformer
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

NAME = "motion"  # of the stage
COMPATS = ("", "diffusers")
KEYS = ("version", "places", "compat")  # of the `model` section


@dataclass(frozen=True)
class Version:
    """What a published motion module differs in.

    Attributes:
        about: which files are so.
        mid: it has a module in the middle.
        places: rows of its table of places.
        joint: the GroupNorms of the image model's residual blocks take their statistics over all
            frames together (`UNetSpec.joint`).
    """

    about: str
    mid: bool
    places: int
    joint: bool


VERSIONS: dict[str, Version] = {
    "v1": Version("mm_sd_v14, mm_sd_v15", False, 24, True),
    "v2": Version("mm_sd_v15_v2", True, 32, False),
    "v3": Version("v3_sd15_mm", False, 32, False),
    "lcm": Version("AnimateLCM's sd15_t2v", True, 64, False),
}
USUAL = "v2"


def version(name: str) -> Version:
    """The version called `name`. Raises ConfigError where there is none."""
    if name not in VERSIONS:
        raise ConfigError(
            f"There is no motion module of the version {name!r}.{did_you_mean(name, VERSIONS)}"
        )
    return VERSIONS[name]


def fields(name: str = "", places: int = 0, compat: str = "") -> dict[str, Any]:
    """The fields of a `UNetSpec` that a version of the motion module sets.

    Args:
        name: of VERSIONS; "": USUAL.
        places: rows of the table of places; 0: the version's.
        compat: of COMPATS.
    """
    if compat not in COMPATS:
        raise ConfigError(f"compat is {compat!r}.{did_you_mean(compat, COMPATS)}")
    made = version(name or USUAL)
    alike = compat == "diffusers"
    stage = motion_stage(made.mid, places or made.places, alike)
    return {"stages": (*_IMAGE, stage), "joint": made.joint and not alike}


def motion_stage(mid: bool, places: int, joint: bool = False) -> Transformer:
    """The stage of a layer."""
    return Transformer(
        NAME,
        (
            Branch("attn1", "norm1", "time", "all", places=places),
            Branch("attn2", "norm2", "time", "all", places=places),
            Branch("ff", "norm3", "ff"),
        ),
        joint=joint,
        where="all",
        mid=mid,
        word="motion_modules",
    )


_IMAGE: tuple[Stage, ...] = (
    Res(),
    Transformer(
        "spatial",
        (
            Branch("attn1", "norm1", "space"),
            Branch("attn2", "norm2", "text"),
            Branch("ff", "norm3", "ff"),
        ),
    ),
)


def stage_of(spec: UNetSpec) -> Transformer | None:
    """The motion stage of a network; None where it has none."""
    return next((s for s in spec.transformers if s.name == NAME), None)


def stage_in(spec: UNetSpec) -> Transformer:
    """The motion stage of a network. Raises ConfigError where it has none."""
    stage = stage_of(spec)
    if stage is None:
        raise ConfigError("this network has no motion modules")
    return stage


def described(spec: UNetSpec) -> dict[str, Any]:
    """What a `model` section has to say of the motion modules: {"version", "places", "compat"},
    only what is not usual. Empty for another network.
    """
    stage = stage_of(spec)
    if stage is None:
        return {}
    alike = [n for n, v in VERSIONS.items() if v.mid == stage.mid]
    name = min(
        alike,
        key=lambda n: (
            VERSIONS[n].places != stage.places,
            not stage.joint and VERSIONS[n].joint != spec.joint,
        ),
    )
    found: dict[str, Any] = {"version": name}
    if stage.places != VERSIONS[name].places:
        found["places"] = stage.places
    if stage.joint:
        found["compat"] = "diffusers"
    return found


def sines(places: int, width: int) -> np.ndarray:
    """float32 (1, places, width): sines and cosines in turn, computed in float32 as torch does."""
    steps = np.exp(np.arange(0, width, 2).astype(np.float32) * np.float32(-math.log(1e4) / width))
    angles = np.arange(places, dtype=np.float32)[:, None] * steps
    table = np.zeros((1, places, width), np.float32)
    table[0, :, 0::2], table[0, :, 1::2] = np.sin(angles), np.cos(angles)
    return table


def of_keys(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the motion module's keys, the rest) of the keys that rule over a file."""
    own = {key: value for key, value in given.items() if key in KEYS}
    return own, {key: value for key, value in given.items() if key not in own}
