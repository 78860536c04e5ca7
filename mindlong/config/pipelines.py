"""The pipelines that infer.py starts: for each the keys of its own, and where the code stands.

To add one: the dataclass of its keys in mindlong/config/infer_options, two functions in
mindlong/pipelines, an entry here. The keys stand in a section called like the pipeline.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.clip_parallel import ClipParallelOptions
from mindlong.config.infer_options.edit import EditOptions
from mindlong.config.infer_options.extend import ExtendOptions
from mindlong.config.infer_options.hierarchical import HierarchicalOptions
from mindlong.config.infer_options.interpolate import InterpolateOptions
from mindlong.config.infer_options.text_to_video import TextToVideoOptions
from mindlong.utils.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Pipeline:
    """One way to make videos.

    Attributes:
        about: one line for the help.
        plan: "module:function" of (Loaded) -> rows of the dry run, a dict of texts; the module
            imports no MindSpore.
        run: "module:function" of (mindlong.pipelines.session.Session) -> None, started with the
            device set up.
        options: the dataclass of the section; None: no keys of its own. A method `problems(config)`
            may yield sentences.
        weights: the default of `weights`.
        resumes: the same command run again goes on in the folder it left unfinished, rather than
            starting a new one.
        shared: several processes (mpirun, msrun) can work on one run.
    """

    about: str
    plan: str
    run: str
    options: type | None = None
    weights: str = "shipped:latent_shapes"
    resumes: bool = True
    shared: bool = False


PIPELINES: dict[str, Pipeline] = {
    "pixel": Pipeline(
        "text to video with Unet3D, in pixels",
        plan="mindlong.pipelines.pixel.plan:plan",
        run="mindlong.pipelines.pixel.run:run",
        weights="shipped:vdm_shapes",
        resumes=False,
    ),
    "text_to_video": Pipeline(
        "text to video in latents: ModelScope, zeroscope, VideoCrafter2, Stable Diffusion's relatives",
        plan="mindlong.pipelines.text_to_video.plan:plan",
        run="mindlong.pipelines.text_to_video.run:run",
        options=TextToVideoOptions,
    ),
    "hierarchical": Pipeline(
        "long video from coarse to fine, diffusion over diffusion: key frames, then every gap filled, level by level",
        plan="mindlong.pipelines.hierarchical.plan:plan",
        run="mindlong.pipelines.hierarchical.run:run",
        options=HierarchicalOptions,
        shared=True,
    ),
    "interpolate": Pipeline(
        "frames between key frames: of a video, of pictures, or of key frames made from prompts",
        plan="mindlong.pipelines.interpolate.plan:plan",
        run="mindlong.pipelines.interpolate.run:run",
        options=InterpolateOptions,
        shared=True,
    ),
    "extend": Pipeline(
        "a picture or a video continued, run after run",
        plan="mindlong.pipelines.extend.plan:plan",
        run="mindlong.pipelines.extend.run:run",
        options=ExtendOptions,
    ),
    "edit": Pipeline(
        "a video changed by prompts: inverted to noise, denoised again under each (Tune-A-Video)",
        plan="mindlong.pipelines.edit.plan:plan",
        run="mindlong.pipelines.edit.run:run",
        options=EditOptions,
        resumes=False,
    ),
    "clip_parallel": Pipeline(
        "one long video in latents from clips denoised side by side, over one process or several",
        plan="mindlong.pipelines.clip_parallel.plan:plan",
        run="mindlong.pipelines.clip_parallel.run:run",
        options=ClipParallelOptions,
        shared=True,
    ),
}


def pipeline(name: str) -> Pipeline:
    """The pipeline called `name`. Raises ConfigError where there is none."""
    if name not in PIPELINES:
        raise ConfigError(
            f"pipeline is {name!r}; it must be one of {', '.join(PIPELINES)}.{did_you_mean(name, PIPELINES)}"
        )
    return PIPELINES[name]


def function(place: str) -> Callable[..., Any]:
    """What "module:function" names."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
