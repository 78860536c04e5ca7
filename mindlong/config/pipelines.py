"""The pipelines that infer.py starts: for each its configuration, the keys it reads, and where the
code stands.

To add one: the dataclass of its keys in mindlong/config/infer_options, a configuration with that
section here, three functions in mindlong/pipelines (plan, make, run), an entry in the table. The
section is called like the pipeline.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mindlong.config.infer_options.animate import AnimateOptions
from mindlong.config.infer_options.clip_parallel import ClipParallelOptions
from mindlong.config.infer_options.conditioning import ConditioningOptions
from mindlong.config.infer_options.edit import EditOptions
from mindlong.config.infer_options.extend import ExtendOptions
from mindlong.config.infer_options.hierarchical import HierarchicalOptions
from mindlong.config.infer_options.interpolate import InterpolateOptions
from mindlong.config.infer_options.long import (
    ContextOptions,
    FreeInitOptions,
    FreeNoiseOptions,
)
from mindlong.config.infer_options.pixel import PixelOptions
from mindlong.config.infer_options.text_to_video import TextToVideoOptions
from mindlong.config.infer_schema import InferConfig
from mindlong.config.option import option, section
from mindlong.config.reads import Reader
from mindlong.utils.errors import ConfigError, did_you_mean


def _weights(default: str) -> Any:
    return option(default, InferConfig.__dataclass_fields__["weights"].metadata["help"])


@dataclass
class PixelConfig(InferConfig):
    """A run of Unet3D in pixels."""

    absent: ClassVar[Mapping[str, str]] = {
        "negative": "pixel models have no negative prompt; guidance leads away from no prompt at all"
    }
    weights: str = _weights("shipped:vdm_shapes")
    pixel: PixelOptions = section(PixelOptions)


@dataclass
class LatentConfig(InferConfig):
    """What the latent pipelines share."""

    weights: str = _weights("shipped:latent_shapes")


@dataclass
class TextToVideoConfig(LatentConfig):
    """A run of latent text to video."""

    text_to_video: TextToVideoOptions = section(TextToVideoOptions)
    free_noise: FreeNoiseOptions = section(FreeNoiseOptions)
    contexts: ContextOptions = section(ContextOptions)
    free_init: FreeInitOptions = section(FreeInitOptions)


@dataclass
class ImageConfig(LatentConfig):
    """What the pipelines share whose network may be conditioned on images."""

    conditioning: ConditioningOptions = section(ConditioningOptions)


@dataclass
class AnimateConfig(ImageConfig):
    """A run of videos from images."""

    weights: str = _weights("")
    animate: AnimateOptions = section(AnimateOptions)


@dataclass
class HierarchicalConfig(ImageConfig):
    """A run of diffusion over diffusion."""

    hierarchical: HierarchicalOptions = section(HierarchicalOptions)


@dataclass
class InterpolateConfig(ImageConfig):
    """A run of key-frame interpolation."""

    interpolate: InterpolateOptions = section(InterpolateOptions)


@dataclass
class ExtendConfig(ImageConfig):
    """A run that continues an image or a video."""

    extend: ExtendOptions = section(ExtendOptions)


@dataclass
class EditConfig(LatentConfig):
    """A run that edits a video."""

    edit: EditOptions = section(EditOptions)


@dataclass
class ClipParallelConfig(LatentConfig):
    """A run of clips denoised side by side."""

    clip_parallel: ClipParallelOptions = section(ClipParallelOptions)


ALWAYS = (
    "pipeline",
    "weights",
    "lora",
    "lora_strict",
    "steps",
    "seed",
    "frames",
    "size",
    "formats",
    "gif_max_mb",
    "deflicker",
    "output",
    "scale",
    "recipe",
    "preview_every",
    "env",
)
PROMPTS = ("prompt", "prompts")
TEXTS = (*PROMPTS, "prompt_syntax", "long_prompts")
LATENT = (*ALWAYS, "fps", "attention", "latent", "sample", "-sample.dynamic_threshold")


@dataclass(frozen=True)
class Pipeline:
    """One way to make videos.

    Attributes:
        about: one line for the help.
        schema: its configuration.
        reads: the keys and sections that it reads, as `mindlong.config.reads.Reader` takes them.
        plan: "module:function" of (Loaded) -> mindlong.pipelines.planned.Planned, what the dry run
            checks and prints; the module imports no MindSpore.
        make: "module:function" of (mindlong.pipelines.models.Models, configuration, callback) ->
            an iterator of mindlong.pipelines.made.Made; it writes nothing.
        run: "module:function" of (mindlong.pipelines.session.Session) -> None, started with the
            device set up.
    """

    about: str
    schema: type[InferConfig]
    reads: tuple[str, ...]
    plan: str
    make: str
    run: str


PIPELINES: dict[str, Pipeline] = {
    "pixel": Pipeline(
        "text to video with Unet3D, in pixels",
        schema=PixelConfig,
        reads=(*ALWAYS, *PROMPTS, "count", "batch", "fps", "sample", "pixel"),
        plan="mindlong.pipelines.pixel.plan:plan",
        make="mindlong.pipelines.pixel.make:make",
        run="mindlong.pipelines.pixel.run:run",
    ),
    "text_to_video": Pipeline(
        "text to video in latents: AnimateDiff, ModelScope, zeroscope, VideoCrafter2, Stable Diffusion",
        schema=TextToVideoConfig,
        reads=(
            *LATENT,
            *TEXTS,
            "count",
            "batch",
            "text_to_video",
            "free_noise",
            "contexts",
            "free_init",
        ),
        plan="mindlong.pipelines.text_to_video.plan:plan",
        make="mindlong.pipelines.text_to_video.make:make",
        run="mindlong.pipelines.text_to_video.run:run",
    ),
    "animate": Pipeline(
        "video from an image and a prompt, or between two images, and loops (DynamiCrafter)",
        schema=AnimateConfig,
        reads=(*LATENT, *TEXTS, "count", "batch", "conditioning", "animate"),
        plan="mindlong.pipelines.animate.plan:plan",
        make="mindlong.pipelines.animate.make:make",
        run="mindlong.pipelines.animate.run:run",
    ),
    "hierarchical": Pipeline(
        "long video from coarse to fine, diffusion over diffusion: key frames, then every gap filled, level by level",
        schema=HierarchicalConfig,
        reads=(*LATENT, *TEXTS, "count", "batch", "conditioning", "hierarchical"),
        plan="mindlong.pipelines.hierarchical.planned:plan",
        make="mindlong.pipelines.hierarchical.make:make",
        run="mindlong.pipelines.hierarchical.run:run",
    ),
    "interpolate": Pipeline(
        "frames between key frames: of a video, of images, or of key frames made from prompts",
        schema=InterpolateConfig,
        reads=(*LATENT, *TEXTS, "count", "batch", "conditioning", "interpolate"),
        plan="mindlong.pipelines.interpolate.plan:plan",
        make="mindlong.pipelines.interpolate.videos:make",
        run="mindlong.pipelines.interpolate.run:run",
    ),
    "extend": Pipeline(
        "an image or a video continued, run after run",
        schema=ExtendConfig,
        reads=(*LATENT, *TEXTS, "count", "conditioning", "extend"),
        plan="mindlong.pipelines.extend.plan:plan",
        make="mindlong.pipelines.extend.make:make",
        run="mindlong.pipelines.extend.run:run",
    ),
    "edit": Pipeline(
        "a video changed by prompts: inverted to noise, denoised again under each (Tune-A-Video)",
        schema=EditConfig,
        reads=(*LATENT, *TEXTS, "count", "edit"),
        plan="mindlong.pipelines.edit.plan:plan",
        make="mindlong.pipelines.edit.make:make",
        run="mindlong.pipelines.edit.run:run",
    ),
    "clip_parallel": Pipeline(
        "one long video in latents from clips denoised side by side, over one process or several",
        schema=ClipParallelConfig,
        reads=(*LATENT, *TEXTS, "clip_parallel"),
        plan="mindlong.pipelines.clip_parallel.plan:plan",
        make="mindlong.pipelines.clip_parallel.video:make",
        run="mindlong.pipelines.clip_parallel.run:run",
    ),
}


def pipeline(name: str, where: str = "") -> Pipeline:
    """The pipeline called `name`, which `where` asks for. Raises ConfigError where there is
    none.
    """
    if name not in PIPELINES:
        known, hint = ", ".join(PIPELINES), did_you_mean(name, PIPELINES)
        where = f"{where}: " if where else ""
        raise ConfigError(f"{where}pipeline is {name!r}; it must be one of {known}.{hint}")
    return PIPELINES[name]


def reader(name: str) -> Reader:
    """The pipeline called `name` as a reader of keys."""
    every = {n: Reader(f"pipeline {n}", entry.reads) for n, entry in PIPELINES.items()}
    mine = every.pop(name)
    return Reader(mine.name, mine.reads, tuple(every.values()))


def function(place: str) -> Callable[..., Any]:
    """What "module:function" names."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
