"""The published UNets: how their layers are put together, the sizes they were released in, and what
is to be known of each.

Sources: AnimateDiff (arXiv 2307.04725), ModelScope text-to-video 1.7B and zeroscope (unet_sd.py of
modelscope; diffusers' UNet3DConditionModel), VideoCrafter2 (openaimodel3d.py of lvdm), Tune-A-Video
(arXiv 2212.11565), make-a-stable-diffusion-video's pseudo-3D inpainting UNet, and Stable Diffusion
1.x and 2.x themselves, which read each frame as an image; DynamiCrafter (arXiv 2310.12190;
openaimodel3d.py of its lvdm), of which 512, interp and 1024 differ in what they were trained on;
VideoCrafter1's image-to-video network (arXiv 2310.19512), which knows an image by its tokens alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mindlong.networks.network import Images
from mindlong.networks.unet import motion
from mindlong.networks.unet.spec import UNetSpec
from mindlong.networks.unet.stage_spec import Branch, Res, TemporalConv, Transformer
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
_IMAGED = {
    image: Transformer("spatial", (_SELF, Branch("attn2", "norm2", "text", image=image), _FF))
    for image in ("plain", "gated")
}
_PSEUDO = Transformer(
    "spatial", (_SELF, _TEXT, Branch("attn_temporal", "norm_temporal", "time", "all"), _FF)
)


@dataclass(frozen=True)
class Classes:
    """What a family is called in diffusers.

    Attributes:
        network: the class of the UNet. pipeline: that of the whole folder.
        wide: attention_head_dim in its config is the width of a head, not the number of heads.
        sample_size: latent pixels of a side, as its config says.
    """

    network: str = "UNet2DConditionModel"
    pipeline: str = "StableDiffusionPipeline"
    wide: bool = False
    sample_size: int = 64


@dataclass(frozen=True)
class Family:
    """One way of putting the network together.

    Attributes:
        about: one line for people.
        fixed: the fields of UNetSpec that make the family.
        layouts: the ways in which files of this family name their tensors
            (mindlong.networks.unet.names), the usual first.
        own: markers that only files of the family have, by layout; "": our names.
        sizes: the other fields, as published.
        classes: its names in diffusers.
        size: frames, height and width in pixels that it is used at.
        flavour: of DDIM, of mindlong.diffusion.samplers.flavours.FLAVOURS.
        linear: the published betas rise linearly, not those of Stable Diffusion.
        scale: where the clean sample is scaled by timestep (arXiv 2401.09047), also if a
            scheduler_config.json says nothing of it: the factor from timestep 400 on; 0: it is not.
        zero_snr: it predicts v, and its last timestep is pure noise; else eps.
        images: see `Denoiser.images`.
        base: the family whose weights it starts from, or "".
        features: see `Denoiser.features`. tuned_as: see there.
    """

    about: str
    fixed: Mapping[str, Any]
    layouts: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    classes: Classes = Classes()
    size: tuple[int, int, int] = (16, 512, 512)
    flavour: str = "diffusers"
    linear: bool = False
    scale: float = 0.0
    zero_snr: bool = False
    images: Images | None = None
    base: str = ""
    features: frozenset[str] = frozenset(("branch", "maps"))
    tuned_as: str = ""

    def spec(self, **sizes: Any) -> UNetSpec:
        """The spec at the published sizes, with the given fields changed."""
        return UNetSpec(**{**self.sizes, **self.fixed, **sizes})

    def reads(self, latents: int) -> int:
        """Channels of its input, where latents have so many."""
        return latents * (2 if self.images and self.images.beside else 1)

    @property
    def moves(self) -> bool:
        """Whether it has motion modules, of one of several versions."""
        return any(getattr(stage, "name", "") == motion.NAME for stage in self.fixed["stages"])


_VIDEO = {"stages": (Res(), TemporalConv(), _SPATIAL, _TEMPORAL), "entry": _TEMPORAL}
_SD15 = {"head_dim": None, "heads": 8, "context_dim": 768, "linear_projection": False}
_THREE = Classes("UNet3DConditionModel", "TextToVideoSDPipeline", True, 32)
_BLOCK = "transformer_blocks.0"

_LVDM = (
    "init_attn.0.proj_in.weight",
    "middle_block.0.temopral_conv.conv1.0.weight",
    f"middle_block.1.{_BLOCK}.attn2.to_k_ip.weight",
)
_OURS = (
    "fps_embedding.fc1.weight",
    "entry.proj_in.weight",
    "mid.0.tconv.convs.0.weight",
    "mid.0.spatial.block.attn2.to_k_ip.weight",
)
_MARKS = {  # layout, markers of the file and of ours
    "plain": ("lvdm", "fps_embedding.0.weight", ""),
    "gated": (
        "lvdm_framestride",
        "framestride_embed.0.weight",
        f"middle_block.1.{_BLOCK}.attn2.alpha",
        "mid.0.spatial.block.attn2.alpha",
    ),
}


def _imaged(about: str, image: str = "plain", **facts: Any) -> Family:
    """A UNet of VideoCrafter's kind that reads an image's tokens."""
    layout, *theirs, ours = _MARKS[image]
    stages = (Res(), TemporalConv(), _IMAGED[image], _TEMPORAL)
    fixed = {"stages": stages, "entry": _TEMPORAL, "conditions": ("time", "fps")}
    own = {layout: (*theirs, *_LVDM), "": _OURS + ((ours,) if ours else ())}
    return Family(about, fixed, (layout,), own, **facts)


def _dynamicrafter(about: str, **facts: Any) -> Family:
    """A DynamiCrafter that predicts v, and starts from pure noise: all have the same tensors."""
    facts |= {"sizes": {"in_channels": 8}, "zero_snr": True, "flavour": "mindlong"}
    return _imaged(f"DynamiCrafter {about}", **facts)


FAMILIES: dict[str, Family] = {
    "modelscope": Family(
        "ModelScope text-to-video 1.7B, zeroscope",
        _VIDEO,
        ("diffusers", "modelscope"),
        {
            "diffusers": (
                "transformer_in.proj_in.weight",
                "mid_block.temp_convs.0.conv1.0.weight",
            ),
            "modelscope": (
                "input_blocks.0.1.proj_in.weight",
                "middle_block.0.temopral_conv.conv1.0.weight",
            ),
            "": ("entry.proj_in.weight", "mid.0.tconv.convs.0.weight"),
        },
        classes=_THREE,
        size=(16, 256, 256),
        flavour="modelscope",
    ),
    "videocrafter2": Family(
        "VideoCrafter2",
        _VIDEO | {"conditions": ("time", "fps")},
        ("lvdm", "diffusers"),
        {
            "diffusers": (
                "fps_embedding.linear_1.weight",
                "transformer_in.proj_in.weight",
                "mid_block.temp_convs.0.conv1.0.weight",
            ),
            "lvdm": (
                "fps_embedding.0.weight",
                "init_attn.0.proj_in.weight",
                "middle_block.0.temopral_conv.conv1.0.weight",
            ),
            "": ("fps_embedding.fc1.weight", "entry.proj_in.weight", "mid.0.tconv.convs.0.weight"),
        },
        classes=Classes("UNet3DConditionModel", "TextToVideoSDPipeline", True),
        size=(16, 320, 512),
        flavour="videocrafter",
        scale=0.7,
    ),
    "dynamicrafter_512": _dynamicrafter(
        "512, video from an image",
        size=(16, 320, 512),
        scale=0.7,
        images=Images("first", (15, 30), 24),
    ),
    "dynamicrafter_interp": _dynamicrafter(
        "512 interp, frames between two images, and loops",
        size=(16, 320, 512),
        scale=0.7,
        images=Images("ends", (5, 30), 5),
    ),
    "dynamicrafter_1024": _dynamicrafter(
        "1024, video from an image",
        size=(16, 576, 1024),
        scale=0.3,
        images=Images("first", (5, 15), 10),
    ),
    "dynamicrafter_256": _imaged(
        "DynamiCrafter 256, video from an image, which weighs the image's tokens by a learnt number",
        "gated",
        sizes={"in_channels": 8},
        size=(16, 256, 256),
        flavour="modelscope",
        images=Images("first", (1, 6), 3, stride=True),
    ),
    "videocrafter1_i2v": _imaged(
        "VideoCrafter1, video that shows what an image shows",
        size=(16, 320, 512),
        flavour="videocrafter",
        scale=0.7,
        images=Images("tokens", (4, 32), 8, frames=0),
    ),
    "tune_a_video": Family(
        "Tune-A-Video on Stable Diffusion",
        {"stages": (Res(), _TUNED), "joint": True},
        ("diffusers", "ldm"),
        {
            "diffusers": (f"mid_block.attentions.0.{_BLOCK}.attn_temp.to_q.weight",),
            "ldm": (f"middle_block.1.{_BLOCK}.attn_temp.to_q.weight",),
            "": ("mid.0.spatial.block.attn_temp.to_q.weight",),
        },
        _SD15,
        Classes("UNet3DConditionModel", "TuneAVideoPipeline"),
        base="stable_diffusion",
        features=frozenset(("branch", "maps", "tuning")),
    ),
    "pseudo3d": Family(
        "pseudo-3D Stable Diffusion inpainting (make-a-stable-diffusion-video)",
        {"stages": (Res(), _PSEUDO), "joint": True, "pseudo3d": True},
        ("diffusers",),
        {
            "diffusers": (f"mid_block.attentions.0.{_BLOCK}.attn_temporal.to_q.weight",),
            "": ("mid.0.spatial.block.attn_temporal.to_q.weight",),
        },
        _SD15 | {"in_channels": 9},
        Classes("UNetPseudo3DConditionModel", "StableDiffusionVideoInpaintPipeline"),
        base="stable_diffusion",
    ),
    "animatediff": Family(
        "AnimateDiff on Stable Diffusion 1.x",
        motion.fields(),
        ("diffusers", "guoyww", "ldm"),
        {
            "diffusers": ("down_blocks.0.motion_modules.0.proj_in.weight",),
            "guoyww": (
                "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight",
                "down_blocks.0.motion_modules.0.temporal_transformer.proj_out.weight",
            ),
            "ldm": ("input_blocks.1.2.temporal_transformer.proj_in.weight",),
            "": ("down.0.motion.proj_in.weight",),
        },
        _SD15,
        Classes("UNetMotionModel", "AnimateDiffPipeline"),
        flavour="animatediff",
        linear=True,
        base="stable_diffusion",
    ),
    "stable_diffusion": Family(
        "Stable Diffusion 1.x and 2.x, frame by frame",
        {"stages": (Res(), _SPATIAL)},
        ("diffusers", "ldm"),
        sizes=_SD15,
        tuned_as="tune_a_video",
    ),
}


def alike(name: str) -> tuple[str, ...]:
    """The families whose files have the same tensor names as `name`'s, itself included; () where
    there is no other.
    """
    own = FAMILIES[name]
    same = [n for n, f in FAMILIES.items() if f.images and own.images and f.layouts == own.layouts]
    return tuple(same) if len(same) > 1 else ()


def family(name: str) -> Family:
    """The family called `name`. Raises ConfigError where there is none."""
    if name not in FAMILIES:
        raise ConfigError(f"There is no UNet family {name!r}.{did_you_mean(name, FAMILIES)}")
    return FAMILIES[name]
