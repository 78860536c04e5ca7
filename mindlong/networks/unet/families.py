"""The published UNets as specs: how their layers are put together, and the sizes they were released
in.

Sources: ModelScope text-to-video 1.7B and zeroscope (unet_sd.py of modelscope; diffusers'
UNet3DConditionModel), VideoCrafter2 (openaimodel3d.py of lvdm), Tune-A-Video (arXiv 2212.11565),
make-a-stable-diffusion-video's pseudo-3D inpainting UNet, and Stable Diffusion 1.x and 2.x
themselves, which read each frame as a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mindlong.networks.unet.spec import Branch, Res, TemporalConv, Transformer, UNetSpec
from mindlong.utils.errors import ConfigError, did_you_mean

_SELF = Branch("attn1", "norm1", "space")
_TEXT = Branch("attn2", "norm2", "text")
_FF = Branch("ff", "norm3", "ff")

_SPATIAL = Transformer("spatial", (_SELF, _TEXT, _FF))
_TEMPORAL = Transformer(
    "temporal",
    (Branch("attn1", "norm1", "time", "all"), Branch("attn2", "norm2", "time", "all"), _FF),
    joint=True,
)
_TUNED = Transformer(
    "spatial",
    (
        Branch("attn1", "norm1", "space", "sparse_causal"),
        _TEXT,
        _FF,
        Branch("attn_temp", "norm_temp", "time", "all", zero=True),
    ),
)
_PSEUDO = Transformer(
    "spatial", (_SELF, _TEXT, Branch("attn_temporal", "norm_temporal", "time", "all"), _FF)
)


@dataclass(frozen=True)
class Family:
    """One way of putting the network together.

    Attributes:
        about: one line for people.
        fixed: the fields of UNetSpec that make the family.
        sizes: the other fields, as published.
        layouts: the ways in which files of this family name their tensors
            (mindlong.networks.unet.names), the usual first.
    """

    about: str
    fixed: Mapping[str, Any]
    layouts: tuple[str, ...]
    sizes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def spec(self, **sizes: Any) -> UNetSpec:
        """The spec at the published sizes, with the given fields changed."""
        return UNetSpec(**{**self.sizes, **self.fixed, **sizes})


_VIDEO = {"stages": (Res(), TemporalConv(), _SPATIAL, _TEMPORAL), "entry": _TEMPORAL}
_SD15 = {"head_dim": None, "heads": 8, "context_dim": 768, "linear_projection": False}

FAMILIES: dict[str, Family] = {
    "modelscope": Family(
        "ModelScope text-to-video 1.7B, zeroscope", _VIDEO, ("diffusers", "modelscope")
    ),
    "videocrafter2": Family(
        "VideoCrafter2", _VIDEO | {"conditions": ("time", "fps")}, ("lvdm", "diffusers")
    ),
    "tune_a_video": Family(
        "Tune-A-Video on Stable Diffusion",
        {"stages": (Res(), _TUNED), "joint": True},
        ("diffusers", "ldm"),
        _SD15,
    ),
    "pseudo3d": Family(
        "pseudo-3D Stable Diffusion inpainting (make-a-stable-diffusion-video)",
        {"stages": (Res(), _PSEUDO), "joint": True, "pseudo3d": True},
        ("diffusers",),
        _SD15 | {"in_channels": 9},
    ),
    "stable_diffusion": Family(
        "Stable Diffusion 1.x and 2.x, frame by frame",
        {"stages": (Res(), _SPATIAL)},
        ("diffusers", "ldm"),
        _SD15,
    ),
}


def family(name: str) -> Family:
    """The family called `name`. Raises ConfigError where there is none."""
    if name not in FAMILIES:
        raise ConfigError(f"There is no UNet family {name!r}.{did_you_mean(name, FAMILIES)}")
    return FAMILIES[name]
