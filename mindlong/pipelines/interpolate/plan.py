"""What a run of the interpolation pipeline would do, without MindSpore: where key frames come from,
the chain, the rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.lora.latent import lora_row, parts_of
from mindlong.config.infer_options.conditioning import unread
from mindlong.pipelines.checks import (
    far_size,
    fit,
    idle,
    idle_where_told,
    is_told,
    one_prompt,
    one_to_one,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.image_parts import check_rates, images_of, rates_row, unusual_rates
from mindlong.pipelines.interpolate import between_plan
from mindlong.pipelines.interpolate.gaps import (
    check_stages,
    one_by_one,
    stretch_of,
    unread_by_images,
)
from mindlong.pipelines.interpolate.hinted import HINTED_MAKER, is_hinted, unhinted
from mindlong.pipelines.interpolate.key_frames import KeyFrames, from_images, from_video
from mindlong.pipelines.journal import OF_NO_LATENT
from mindlong.pipelines.one_prompt import shown_of
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.pipelines.unlike_sizes import unlike
from mindlong.plans.chain import Chain, place, plan_chain
from mindlong.utils import arrays
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.infer_options.interpolate import InterpolateOptions
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import InterpolateConfig
    from mindlong.plans.hierarchy import LongPlan

UNRELATED = {  # keys that change no latent
    "": OF_NO_LATENT,
    "interpolate": ("detail",),
}


@dataclass(frozen=True)
class Work:
    """A configuration worked out.

    Attributes:
        source: key frames from a file, or None.
        latents: key frames as latents (C, K, h, w), or None; with neither they are made from
            prompts.
        chain: of the whole; `redo` as pin says.
        rate: frames per second of the result.
        natural: the rate at which the result lasts as long as its source; 0: it has none.
    """

    source: KeyFrames | None
    latents: np.ndarray | None
    chain: Chain
    rate: float
    natural: float

    @property
    def frames(self) -> int:
        """Of the finished video."""
        return self.chain.frames or self.chain.total


def work_of(config: InterpolateConfig) -> Work:
    """Read what key frames there are and lay out the chain. Raises ConfigError, InputFileError."""
    o: InterpolateOptions = config.interpolate
    source = _source(o)
    latents = read_key_latents(o.key_latents) if o.key_latents else None
    keys = source.count if source else latents.shape[1] if latents is not None else o.keys
    natural = source.fps * prod(o.stages()) if source else 0.0
    pieces = o.chunk if source else 0
    redo = o.pin == "none" and o.method == "diffusion"
    chain = Chain(keys, o.stages(), config.frames, o.window, redo, pieces)
    return Work(source, latents, chain, o.rate or natural or float(config.fps), natural)


def _source(o: InterpolateOptions) -> KeyFrames | None:
    if o.video:
        return from_video(o.video, o.max_frames, o.uneven)
    return from_images(o.images) if o.images else None


def read_key_latents(path: str) -> np.ndarray:
    """(C, K, h, w) float32 from an npz with `latents`, as other pipelines leave them. Raises
    InputFileError.
    """
    found = arrays.read_given(path, "latents", "interpolate.key_latents")
    if found.dtype.kind not in "fiu":
        raise InputFileError(f"interpolate.key_latents: latents of {path} are {found.dtype}")
    latents = found.astype(np.float32)
    latents = latents[0] if latents.ndim == 5 and len(latents) == 1 else latents
    if latents.ndim != 4 or latents.shape[1] < 2:
        raise InputFileError(
            f"interpolate.key_latents: {path} holds latents of shape {latents.shape}; (channels, key frames, "
            "height, width) with at least 2 key frames is needed"
        )
    return latents


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: InterpolateConfig = loaded.values
    o, work = config.interpolate, work_of(config)
    notes = (
        tuple(f"{work.source.where}: {note}" for note in work.source.notes) if work.source else ()
    )
    rows = {
        "key frames": _said(work, o),
        "result": f"{work.frames} frames at {work.rate:g} frames a second",
    }
    if o.method != "diffusion":
        said = _cut_off(work, tuple(config.size))
        return Planned(rows | {"method": f"{o.method}, no network"}, (*notes, *said))
    if config.weights and between_plan.reads_both_ends(config):
        return between_plan.plan(loaded, work, rows, notes)
    return _by_networks(loaded, work, rows, notes)


def find_for(config: Any, weights: str) -> LatentParts:
    """The parts at `weights`, with the LoRAs of the configuration if they are its key `weights`."""
    if weights == config.weights:
        return parts_of(config)
    return find_latent_parts(weights, config.latent)


def _by_networks(
    loaded: Loaded, work: Work, rows: dict[str, str], notes: tuple[str, ...]
) -> Planned:
    config, o = loaded.values, loaded.values.interpolate
    stages = [find_for(config, w) for w in dict.fromkeys(o.stage_weights or [config.weights])]
    imaged = any(images_of(p) for p in stages)
    if imaged:
        work = replace(work, chain=one_by_one(work.chain))
    told = _told(loaded, work, stages)
    parts, made = stages[-1], _maker(config, work)
    for each in (*stages, *filter(None, [made])):
        fit(each, images=imaged)
        one_to_one(each, "interpolate")
        one_prompt(each, "interpolate.scenes", o.scenes)
    size = _size(config, work, parts)
    chained = plan_chain(work.chain)
    idle(loaded, idle_where_told(parts, "interpolate.negative"))
    guided = 1 if config.sample.guidance == 1 or is_told(parts) else 2
    run = images_of(parts).frames if imaged else _longest(chained, work)
    rows_of = config.batch if imaged else guided * config.batch
    step = step_cost(parts, rows_of, run, size)
    others = [p for p in (*stages, made) if p is not None and p.where != parts.where]
    room = room_of(config, parts, step, work.frames, size, others)
    rows = rows | {
        "weights": f"{parts.where}",
        "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
        "network": f"{parts.network.family}, {told}",
        "prompts": several(o.told(config.wanted_prompts()), config.count),
        "plan": "\n".join(chained.describe()),
        "a step": f"{count(step.flops)}FLOP",
        **lora_row(parts),
        "peak memory": room.row(),
    }
    shown_of(o.scenes, "", work.frames, "interpolate.scenes")
    texts = [*o.scenes.values(), *config.wanted_prompts() * (not o.scenes), o.negative]
    said = [note for each in stages for note in worded(each, config, texts)]
    said += unled(o.negative, "interpolate.negative", [config.sample.guidance])
    said += far_size(size, parts.size[1:])
    said += unusual_rates(images_of(parts), config.conditioning.fs)
    said += _cut_off(work, size)
    return Planned(
        rows, (*notes, *dict.fromkeys(said)), room.peak, "size, batch or interpolate.window"
    )


def _told(loaded: Loaded, work: Work, stages: Sequence[LatentParts]) -> str:
    """How the last stage's network learns of given frames.

    Raises:
        ConfigError: a stage's network cannot, or not with these settings.
    """
    o, parts = loaded.values.interpolate, stages[-1]
    if any(images_of(p) for p in stages):
        check_stages(stages, o)
        check_rates(loaded.values.conditioning.fs, len(o.stages()))
        idle(loaded, unread_by_images("interpolate"))
        rates = rates_row(*_rates(loaded.values, work, parts))
        return f"makes {images_of(parts).frames} frames between two; {rates}"
    idle(loaded, unread())
    hinted = [is_hinted(p.network.spec, p.vae.spec.latent_channels) for p in stages]
    if not all(hinted) and o.pin != "each_step":
        raise ConfigError(
            f"interpolate.pin is {o.pin}, but a network reads no hints; it learns of the given frames only "
            "with pin=each_step"
        )
    idle(loaded, unhinted("interpolate") if not any(hinted) else ())
    return "reads hints" if hinted[-1] else "reads no hints"


def _rates(config: InterpolateConfig, work: Work, parts: LatentParts) -> tuple[Any, ...]:
    """How the network is conditioned on images, the rates given, and that of the last stage."""
    images = images_of(parts)
    finest = work.rate * stretch_of(work.chain.factors[-1], images.frames)
    return images, config.conditioning.fs[-1:], images.taken(finest)


def _maker(config: InterpolateConfig, work: Work) -> LatentParts | None:
    """The networks that make key frames from prompts, where they are made so.

    Raises:
        ConfigError: they read hints.
    """
    if work.source or work.latents is not None:
        return None
    parts = find_for(config, config.interpolate.key_weights or config.weights)
    if images_of(parts) or is_hinted(parts.network.spec, parts.vae.spec.latent_channels):
        raise ConfigError(HINTED_MAKER)
    return parts


def _size(config: InterpolateConfig, work: Work, parts: LatentParts) -> tuple[int, int]:
    """Height and width in pixels. Raises ConfigError where latents given are not of the network."""
    spec = parts.vae.spec
    if work.latents is None:
        size = config.size or (work.source.size if work.source else parts.size[1:])
        return divisible(size, spec.factor)
    channels, _, height, width = work.latents.shape
    if channels != spec.latent_channels:
        raise ConfigError(
            f"interpolate.key_latents have {channels} channels; the autoencoder has {spec.latent_channels}"
        )
    return height * spec.factor, width * spec.factor


def _cut_off(work: Work, size: tuple[int, ...]) -> Iterator[str]:
    """A sentence where much of the key frames is lost on the way to `size`, (height, width); empty:
    they stay as they are.
    """
    if work.source and size:
        yield from unlike(work.source.where, work.source.size, (size[0], size[1]))


def _longest(plan: LongPlan, work: Work) -> int:
    """Frames of the longest run of a stage; each stands once, whatever its version."""
    runs = [len({place(f, work.chain.total) for f in job.frames}) for job in plan.jobs if job.level]
    return max(runs, default=1)


def _said(work: Work, o: InterpolateOptions) -> str:
    if work.source:
        height, width = work.source.size
        rate = f" at {work.source.fps:g} frames a second" if work.source.fps else ""
        return f"{work.source.count} of {height}x{width}{rate} from {work.source.where}"
    return (
        f"{work.chain.keys} from {o.key_latents}"
        if o.key_latents
        else f"{work.chain.keys}, made from the prompts"
    )
