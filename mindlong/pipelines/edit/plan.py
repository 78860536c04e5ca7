"""Which edits a configuration asks for, and what they would cost; without MindSpore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.changed import tuned_over
from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.lora.latent import lora_row, with_loras
from mindlong.data.one_shot import read_clip
from mindlong.diffusion.sample import count_steps, flavour_of, sampler_of
from mindlong.diffusion.samplers import FLAVOURS
from mindlong.networks.table import has_feature
from mindlong.pipelines.checks import (
    far_size,
    fit,
    network_rows,
    not_told,
    one_prompt,
    one_to_one,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.clips import Clip, digits, shown_by
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import EditConfig


@dataclass(frozen=True)
class EditWork:
    """A configuration worked out.

    Attributes:
        parts: the networks, the tuned tensors over them; the noising process without clipping, with
            Stable Diffusion's timesteps where nothing says others.
        frames_FHWC: the source's frames at the size of the result.
        fresh: tensors of the UNet that no file holds: it is an image model that was never tuned.
    """

    parts: LatentParts
    frames_FHWC: np.ndarray
    fresh: bool


def work_of(config: EditConfig) -> EditWork:
    """Find the weights and read the video. Raises ConfigError, InputFileError."""
    o, options = config.edit, config.latent
    parts = find_latent_parts(config.weights, options)
    video = parts.network.network.denoiser.tuned_as
    if video:  # an image model is made a video model
        parts = find_latent_parts(config.weights, replace(options, family=video))
    not_told(parts, "edit")
    _check_maps(o, parts)
    held = set(parts.network.arrays)
    if o.tuned:
        parts = replace(parts, network=tuned_over(parts.network, _tuned(o.tuned)))
    parts = with_loras(parts, config.lora, config.lora_strict)
    noising = parts.noising.for_inversion()
    if noising.flavour == FLAVOURS["mindlong"] and not config.sample.flavour:
        noising = replace(noising, flavour=FLAVOURS["diffusers"])
    noising = replace(noising, flavour=flavour_of(config.sample, noising))
    frames, height, width = (config.frames or parts.size[0], *(config.size or parts.size[1:]))
    divisible((height, width), parts.vae.spec.factor)
    clip = read_clip(o.video, frames, (height, width), start=o.start, stride=o.stride, fit=o.fit)
    fresh = has_feature(parts.network.family, "tuning") and not any(
        parts.network.network.base_name(name) is None for name in {*held, *parts.network.arrays}
    )
    return EditWork(replace(parts, noising=noising), clip, fresh)


def _check_maps(options: Any, parts: LatentParts) -> None:
    if options.inject and not has_feature(parts.network.family, "maps"):
        raise ConfigError(
            f"edit.inject is given; {parts.network.network.about} has no attention maps that could be taken from the source"
        )


def _tuned(named: str) -> Path:
    path = Path(named)
    return path if path.is_file() else locate(named, "edit.tuned")


def clips_of(config: EditConfig, frames: int) -> list[Clip]:
    """The edits of a configuration, each prompt `count` times. Raises ConfigError where scenes do
    not fit `frames`.
    """
    own = config.edit
    texts = own.told(config.wanted_prompts())
    prompts = [prompt for prompt in texts for _ in range(config.count)]
    width = digits(len(prompts))
    shown = {text: shown_by(own.scenes, text, frames, "edit.scenes") for text in texts}
    return [
        Clip(f"edit-{i:0{width}d}", shown[text][0], text, config.seed, i, shown[text][1])
        for i, text in enumerate(prompts)
    ]


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: EditConfig = loaded.values
    o, s, work = config.edit, config.sample, work_of(config)
    parts, (frames, height, width, _) = work.parts, work.frames_FHWC.shape
    fit(parts, work.fresh)
    one_to_one(parts, "edit")
    one_prompt(parts, "edit.scenes", o.scenes)
    videos = (
        3 if o.inject else 1 if s.guidance == 1 else 2
    )  # the source runs along for its attention maps
    step = step_cost(parts, videos, frames, (height, width))
    room = room_of(config, parts, step, frames, (height, width))
    inversion = f"inverted in {o.invert_steps} steps" + f", each refined {o.refine} times" * bool(
        o.refine
    )
    rows, prompts = (
        network_rows(parts, parts.network.network.about),
        o.told(config.wanted_prompts()),
    )
    rows["weights"] += ", not tuned: temporal layers do nothing" * work.fresh
    texts = [prompt for clip in clips_of(config, frames) for prompt in clip.prompts]
    texts += [o.negative] * (s.guidance != 1) + [o.invert_prompt] * o.invert
    return Planned(
        {
            **rows,
            "source": f"{o.video}: {frames} frames {height}x{width}, "
            + (inversion if o.invert else "noise is fresh"),
            "prompts": several(prompts, config.count),
            "plan": f"{len(prompts)} prompts, {sampler_of(s, parts.noising).name} "
            f"{count_steps(s, parts.noising.below(o.strength))} steps each, guidance {s.guidance:g}, "
            f"{parts.noising.prediction} predicted"
            + f"; reconstructions in {list(o.report)} steps"
            * bool(o.report),
            "a step": f"{count(step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": room.row(),
        },
        (
            *worded(parts, config, texts),
            *unled(o.negative, "edit.negative", [s.guidance]),
            *far_size((height, width), parts.size[1:]),
            *_still(config, frames),
        ),
        room.peak,
        "frames or size",
    )


def _still(config: EditConfig, frames: int) -> Iterator[str]:
    """A sentence where a video is edited as the one image that the weights are used for."""
    if frames == 1 and not config.frames:
        yield (
            "one frame of the video is edited: these weights are an image model's, whose usual length that is; "
            "frames=N edits more"
        )
