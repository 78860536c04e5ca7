"""Which clips a text-to-video configuration asks for, and what they would cost; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.lora.latent import lora_row
from mindlong.checkpoints.lora.latent import parts_of as named_parts
from mindlong.data.one_shot import read_clip, read_frame
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.networks.cost import Cost, Load
from mindlong.pipelines.checks import (
    far_size,
    fit,
    gib,
    idle,
    idle_where_told,
    in_few_steps,
    is_told,
    network_rows,
    no_rate,
    one_prompt,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.clips import Clip, shown_by, stem
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.pipelines.starts import read_start
from mindlong.plans.frame_prompts import Shares, title
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import TextToVideoConfig
    from mindlong.diffusion.noising import Noising


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: TextToVideoConfig = loaded.values
    own, s = config.text_to_video, config.sample
    parts = _checked_parts(loaded)
    frames, height, width = _checked_size(config, parts)
    noising, latents = noising_of(config, parts.noising), parts.vae.spec.latents_of(frames)
    clips = _checked_clips(config, parts, (frames, height, width))
    batch, guided = min(config.batch, len(clips)), s.guidance != 1 and not is_told(parts)
    step, calls = _step(config, parts, batch, guided, (latents, height, width))
    room = room_of(config, parts, step, frames, (height, width))
    texts = [prompt for clip in clips for prompt in clip.prompts] + [own.negative] * guided
    return Planned(
        {
            **network_rows(parts),
            "prompts": several([clip.title for clip in clips[:: config.count]], config.count),
            "plan": f"{len(clips)} videos of {frames} frames {height}x{width}, {-(-len(clips) // batch)} batches of "
            f"{count_steps(s, noising)} steps, {sampler_of(s, noising).name}, guidance {s.guidance:g}"
            f"{_ways(config, latents)}",
            "a step": f"{count(calls * step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": room.row(beside=_text_memory(parts)),
        },
        (
            *worded(parts, config, texts),
            *unled(own.negative, "text_to_video.negative", [s.guidance]),
            *far_size((height, width), parts.size[1:]),
            *in_few_steps(parts, s),
        ),
        max(room.peak, _text_bytes(parts)),
        f"frames, size or batch{'' if parts.vae.network.codec.chunks else ' (latent.chunk for decoding)'}",
    )


def _checked_parts(loaded: Loaded) -> LatentParts:
    """The networks; keys that they leave idle are refused."""
    parts = parts_of(loaded.values)
    fit(parts)
    idle(loaded, no_rate(parts, "text_to_video.fps_condition"))
    idle(loaded, idle_where_told(parts, "text_to_video.negative", "text_to_video.two_passes"))
    chunks = parts.vae.network.codec.chunks
    idle(loaded, [("latent.chunk", f"is not read: {chunks}")] if chunks else ())
    return parts


def _checked_size(config: TextToVideoConfig, parts: LatentParts) -> tuple[int, int, int]:
    """Frames, height and width, the source's frames being there in them."""
    frames, *size = size_of(config, parts.size)
    side = parts.network.network.denoiser.side(parts.network.spec)
    height, width = divisible(size, parts.vae.spec.factor, side)
    source_of(config, (frames, height, width))
    return frames, height, width


def _checked_clips(
    config: TextToVideoConfig, parts: LatentParts, size: tuple[int, int, int]
) -> list[Clip]:
    """The clips, their prompts and starts being such as the network takes."""
    clips = clips_of(config, size[0])
    framed = any(len(clip.prompts) > 1 or clip.shares for clip in clips)
    one_prompt(parts, "text_to_video.scenes", framed)
    start = config.text_to_video.start
    if start:
        read_start(start, len(clips), _latents(parts, *size))
    return clips


def _step(
    config: TextToVideoConfig,
    parts: LatentParts,
    batch: int,
    guided: bool,
    size: tuple[int, int, int],
) -> tuple[Cost, int]:
    """What a call of the network costs on latents of that size, and the calls of a step."""
    latents, *pixels = size
    contexts, passes = config.contexts.contexts(), guided and config.text_to_video.two_passes
    rows = batch * (2 if guided and not passes else 1)
    step = step_cost(parts, rows, min(latents, contexts.length) if contexts else latents, pixels)
    return step, (1 + passes) * (len(contexts.windows(latents, 1)) if contexts else 1)


def _text_bytes(parts: LatentParts) -> float:
    """Peak memory of encoding a prompt, for encoders that are larger than the networks beside them;
    others do not show.
    """
    network, spec = parts.text_encoder.network, parts.text_encoder.spec
    return network.cost(spec, Load(1, 1, 1, 1)).bytes if network.text.layered else 0.0


def _text_memory(parts: LatentParts) -> str:
    held = _text_bytes(parts)
    return f", encoding prompts a layer at a time {gib(held)}" if held else ""


def parts_of(config: TextToVideoConfig) -> LatentParts:
    """The networks, with the views of frames that the configuration asks for.

    Raises:
        InputFileError, ConfigError: as `named_parts`, or views that they cannot have.
    """
    parts = named_parts(config)
    views = config.free_noise.views()
    if views is None:
        return parts
    spec = parts.network.spec
    if not hasattr(spec, "viewed"):
        raise ConfigError(
            f"free_noise.around is {views.around}; {parts.network.network.about} has no attentions that could read in views"
        )
    return replace(parts, network=replace(parts.network, spec=spec.viewed(views)))


def noising_of(config: TextToVideoConfig, whole: Noising) -> Noising:
    """The noising process, or the part of it that a video to start from goes up and down."""
    own = config.text_to_video
    return whole.below(own.strength) if own.video or own.image else whole


def source_of(config: TextToVideoConfig, size: tuple[int, int, int]) -> np.ndarray | None:
    """The frames to start from, uint8 (F, H, W, 3); None where a video starts from noise. Raises
    InputFileError, ConfigError.
    """
    own, (frames, height, width) = config.text_to_video, size
    if own.image:
        still = read_frame(own.image, (height, width))
        return np.repeat(still[None], frames, 0)
    if not own.video:
        return None
    start, stride = own.video_start, own.video_stride
    return read_clip(own.video, frames, (height, width), start=start, stride=stride)


def _ways(config: TextToVideoConfig, latents: int) -> str:
    """What is done beside plain sampling."""
    noise, again, contexts = config.free_noise, config.free_init, config.contexts.contexts()
    views, said = noise.views(), ""
    if views and latents > views.window:
        said += f", attention over frames in {len(views.starts(latents))} windows of {views.window}"
    if contexts:
        said += f", {len(contexts.windows(latents, 1))} windows of {contexts.length} frames a step ({contexts.schedule})"
    if again.iterations > 1:
        said += f", {again.iterations} times (FreeInit)"
    return said


def _latents(parts: LatentParts, frames: int, height: int, width: int) -> tuple[int, ...]:
    """(C, F, h, w) of a video's latents."""
    vae = parts.vae.spec
    return (
        vae.latent_channels,
        vae.latents_of(frames),
        height // vae.factor,
        width // vae.factor,
    )


def size_of(config: TextToVideoConfig, usual: tuple[int, int, int]) -> tuple[int, int, int]:
    """Frames, height and width: as the configuration says, else as the network is used."""
    height, width = config.size or usual[1:]
    return config.frames or usual[0], height, width


def clips_of(config: TextToVideoConfig, frames: int) -> list[Clip]:
    """The clips in order: those of prompt and prompts, then the scenes, each `count` times.

    Raises:
        ConfigError: nothing is asked for, or a scene does not fit the frames.
    """
    wanted: list[tuple[str, tuple[str, ...], tuple[Shares, ...]]] = [
        (text, (text,), ()) for text in config.wanted_prompts()
    ]
    for number, scene in enumerate(config.text_to_video.scenes):
        shown = shown_by(scene, "", frames, f"text_to_video.scenes[{number}]")
        wanted.append((title(scene), *shown))
    if not wanted:
        raise ConfigError(
            "there is nothing to make: give prompt=TEXT, prompts=[...] or text_to_video.scenes"
        )
    repeated = [row for row in wanted for _ in range(config.count)]
    return [
        Clip(name, prompts, text, config.seed, number, shares)
        for number, (name, (text, prompts, shares)) in enumerate(
            zip(_names(len(repeated)), repeated, strict=True)
        )
    ]


def _names(count_of: int) -> Iterator[str]:
    for number in range(count_of):
        yield stem(number, count_of)
