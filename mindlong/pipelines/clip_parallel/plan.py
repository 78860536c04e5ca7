"""What a clip-parallel run will do: its clips, prompts, what is sent, and what it costs; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.lora.latent import lora_row
from mindlong.checkpoints.lora.latent import parts_of as named_parts
from mindlong.diffusion.block_queue import blocks_of
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.networks.unet.views import Views
from mindlong.parallel import halo, volume
from mindlong.parallel.launch import world_size
from mindlong.pipelines.checks import (
    far_size,
    fit,
    gib,
    idle,
    no_rate,
    not_told,
    one_prompt,
    step_cost,
    unjoined,
    unled,
    worded,
)
from mindlong.pipelines.clip_parallel.windows import windows
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.plans.clip_layout import (
    ClipLayout,
    exact_layout,
    video_infinity_layout,
    views_layout,
)
from mindlong.plans.dual_scope import Phase, Tuning
from mindlong.plans.frame_prompts import of_frames, shares_of, travels
from mindlong.plans.joint_reads import Joint
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.checkpoints.parts import Part
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import ClipParallelConfig

Mixed = Sequence[tuple[str, float]]  # the prompts of a frame and their weights
JOINT_KEYS = tuple(f"clip_parallel.{key}" for key in ("text_reads", "text_balance", "places"))
IN_LOCK_STEP = ("exact", "video_infinity", "views")


def clips_of(config: ClipParallelConfig, usual_frames: int) -> tuple[range, ...]:
    """The frames of each clip.

    Raises:
        ConfigError: lengths, clips and frames that do not go together.
    """
    own = config.clip_parallel
    if own.lengths:
        if config.frames and sum(own.lengths) != config.frames:
            raise ConfigError(
                f"clip_parallel.lengths add up to {sum(own.lengths)} frames; frames is {config.frames}."
            )
        return halo.split_by(own.lengths)
    frames = config.frames or own.clips * usual_frames
    return halo.split_frames(_checked(own, frames), own.clips)


def latents_of(config: ClipParallelConfig, parts: LatentParts) -> tuple[range, ...]:
    """The latents of each clip; `clip_parallel.lengths` counts latents, `frames` images.

    Raises:
        ConfigError: as `clips_of`, or a length that the autoencoder has not.
    """
    return latent_clips(config, parts.size[0], parts.vae.spec)


def latent_clips(config: ClipParallelConfig, usual: int, vae: Any) -> tuple[range, ...]:
    """The same of an autoencoder's spec, for a network of `usual` frames."""
    own = config.clip_parallel
    if one_each(vae):
        return clips_of(config, usual)
    if own.lengths:
        return clips_of(replace(config, frames=0), usual)
    frames = config.frames or own.clips * (usual - 1) + 1
    return halo.split_frames(_checked(own, vae.latents_of(frames)), own.clips)


def one_each(vae: Any) -> bool:
    """Whether the autoencoder makes one latent of one image."""
    return vae.frames_of(3) == 3


def _checked(own: Any, frames: int) -> int:
    if own.strategy in ("video_infinity", "independent") and frames % own.clips:
        raise ConfigError(
            f"frames is {frames}; strategy {own.strategy} needs a multiple of the {own.clips} clips."
        )
    return frames


def views_of(config: ClipParallelConfig, usual_frames: int) -> Views | None:
    """How attentions over frames read, with the strategy views; None with another. Raises
    ConfigError.
    """
    own = config.clip_parallel
    if own.strategy != "views":
        return None
    window = own.window or usual_frames
    return Views(window, min(own.stride, window))


def parts_of(config: ClipParallelConfig) -> LatentParts:
    """The networks, reading in views where the strategy is so.

    Raises:
        InputFileError, ConfigError: as `named_parts`, or views that they cannot have.
    """
    parts = named_parts(config)
    views = views_of(config, parts.size[0])
    if views is None:
        return parts
    if not hasattr(parts.network.spec, "viewed"):
        raise ConfigError(
            f"clip_parallel.strategy is views; {parts.network.network.about} has no attentions that could read so"
        )
    return replace(parts, network=replace(parts.network, spec=parts.network.spec.viewed(views)))


def layout_of(
    config: ClipParallelConfig, clips: Sequence[range], usual_frames: int = 0
) -> ClipLayout:
    """The layout of a strategy in lock step. Raises ConfigError."""
    own, total = config.clip_parallel, clips[-1].stop
    views = views_of(config, usual_frames)
    if views:
        window = min(views.window, total)
        starts = views.starts(total) if total > views.window else [0]
        return views_layout(clips, [range(s, s + window) for s in starts])
    phases = [Phase(int(p[0]), p[1], p[2]) if p else None for p in (own.early, own.late)]
    tuning = Tuning(*phases, own.attn_scale, own.token_scale)
    if own.strategy == "exact":
        joint = Joint(own.text_reads, own.text_balance, own.places)
        return exact_layout(clips, own.local, own.spread, tuning, joint)
    return video_infinity_layout(clips, own.padding, own.top_k, tuning, own.conv_padding)


def prompt_of_clip(clip: int, clips: int, prompts: int, original: bool) -> int:
    """Which of `prompts` prompts a clip shows. The original computes in floating point, which is
    one too low in a few cases, the first of them clip 15 of 22 with 22 prompts; ours is the
    whole-number quotient.
    """
    return int(clip / clips * prompts) if original else clip * prompts // clips


def prompts_of(config: ClipParallelConfig, clips: Sequence[range]) -> list[str]:
    """The prompt of each frame. Raises ConfigError where a scene does not fit the frames."""
    own, given = config.clip_parallel, config.wanted_prompts()
    if own.scenes:
        try:
            if travels(own.scenes):
                rows = shares_of(own.scenes, clips[-1].stop)
                return [max(row, key=lambda part: part[1])[0] for row in rows]
            return of_frames(own.scenes, clips[-1].stop)
        except ConfigError as error:
            raise ConfigError(f"clip_parallel.scenes: {error}") from None
    original = own.strategy == "video_infinity"
    return [
        given[prompt_of_clip(i, len(clips), len(given), original)]
        for i, mine in enumerate(clips)
        for _ in mine
    ]


def mixture_of(config: ClipParallelConfig, prompts: Sequence[str]) -> Sequence[Mixed]:
    """For each frame its prompts with their weights: of a scene in which one prompt turns into the
    next, or of `prompts` mixed where they change.
    """
    own = config.clip_parallel
    if own.scenes and travels(own.scenes):
        return shares_of(own.scenes, len(prompts))
    return mixture(prompts, own.blend)


def mixture(prompts: Sequence[str], blend: int) -> list[list[tuple[str, float]]]:
    """For each frame its prompts with their weights: where one prompt follows another, they are
    mixed over `blend` frames, half on each side of the change.
    """
    made = [[(prompt, 1.0)] for prompt in prompts]
    for change in (f for f in range(1, len(prompts)) if prompts[f] != prompts[f - 1]):
        for f in range(max(change - blend // 2, 0), min(change + (blend + 1) // 2, len(prompts))):
            share = (f - (change - blend // 2) + 1) / (blend + 1)
            made[f] = [(prompts[change - 1], 1 - share), (prompts[change], share)]
    return made


def mixed(mixtures: Sequence[Mixed], encoded: dict[str, np.ndarray]) -> np.ndarray:
    """The vectors of every frame: (F, S, D), or (1, S, D) where all frames have one prompt."""
    found = {prompt for row in mixtures for prompt, _ in row}
    if len(found) == 1:
        return encoded[found.pop()][None]
    rows = [sum(np.float32(share) * encoded[prompt] for prompt, share in row) for row in mixtures]
    return np.stack(rows).astype(np.float32)


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: ClipParallelConfig = loaded.values
    own, s = config.clip_parallel, config.sample
    parts = parts_of(config)
    not_told(parts, "clip_parallel")
    fit(parts)
    idle(loaded, no_rate(parts, "clip_parallel.fps_condition"))
    idle(loaded, unjoined(parts, *JOINT_KEYS))
    clips, factor, ranks = latents_of(config, parts), parts.vae.spec.factor, world_size()
    side = parts.network.network.denoiser.side(parts.network.spec)
    height, width = divisible(config.size or parts.size[1:], factor, side)
    size, total = (height // factor, width // factor), clips[-1].stop
    (rows, passes), prompts = _calls(config), prompts_of(config, clips)
    windowed = own.strategy in ("windows", "free_noise", "queue")
    at_once = own.window or parts.size[0] if windowed else max(map(len, clips))
    step = step_cost(parts, rows, at_once, (height, width))
    half = 1.0 if config.latent.dtype == "float32" else 0.5
    room = room_of(config, parts, step, parts.vae.spec.frames_of(total), (height, width))
    sent, waiting = _sent(config, parts.network, clips, ranks, size, rows, passes, half)
    key = "clip_parallel.scenes" if own.scenes else "prompts"
    one_prompt(parts, key, len(set(prompts)) > 1)
    alone(config, ranks)
    texts = [*prompts, *[own.negative] * (s.guidance != 1)]
    return Planned(
        {
            "weights": f"{parts.where} ({parts.network.family})",
            "plan": f"{_frames(parts, total)} {height}x{width} by {own.strategy}: {_what(config, clips, at_once, parts.size[0])}, "
            f"{count_steps(s, parts.noising)} steps of {sampler_of(s, parts.noising).name}, guidance {s.guidance:g}",
            "prompts": f"{len(set(prompts))} over {total} frames, mixed over {own.blend} where they change",
            "processes": f"{ranks}; {_held(config, clips, ranks)}",
            **sent,
            "a step of a clip": f"{count(passes * step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": room.row(" on a device, whatever the length"),
        },
        (
            *worded(parts, config, texts),
            *unled(own.negative, "clip_parallel.negative", [s.guidance]),
            *far_size((height, width), parts.size[1:]),
        ),
        max(room.denoising + waiting, room.decoding),
        "size, the frames of a clip (more clip_parallel.clips) or of a window",
    )


def alone(config: ClipParallelConfig, ranks: int) -> None:
    """Raise ConfigError where several processes are started for a queue."""
    if config.clip_parallel.strategy == "queue" and ranks > 1:
        raise ConfigError(
            f"clip_parallel.strategy is queue, in which a block waits for the one behind; {ranks} processes were "
            "started, of which one would work: take strategy exact or windows for several"
        )


def _frames(parts: LatentParts, latents: int) -> str:
    vae = parts.vae.spec
    if one_each(vae):
        return f"{latents} frames"
    return f"{vae.frames_of(latents)} frames ({latents} latents)"


def _calls(config: ClipParallelConfig) -> tuple[int, int]:
    """(rows of a call for one video, calls of a step)."""
    if config.sample.guidance == 1:
        return 1, 1
    return (1, 2) if config.clip_parallel.two_passes else (2, 1)


def _what(
    config: ClipParallelConfig, clips: Sequence[range], at_once: int, usual_frames: int
) -> str:
    own = config.clip_parallel
    if own.strategy in ("windows", "free_noise"):
        return f"{len(windows(clips[-1].stop, at_once, own.stride))} windows of {at_once} frames, {own.stride} apart"
    if config.clip_parallel.strategy == "queue":
        blocks, beside = blocks_of(clips[-1].stop, at_once, config.clip_parallel.stride)
        return f"{len(blocks)} blocks of {len(blocks[0])}, {beside} beside them"
    views = views_of(config, usual_frames)
    if views:
        return f"{len(clips)} clips, read in windows of {views.window} frames, {views.stride} apart"
    lengths = sorted(set(map(len, clips)))
    return f"{len(clips)} clips of {' or '.join(map(str, lengths))} frames"


def _held(config: ClipParallelConfig, clips: Sequence[range], ranks: int) -> str:
    if config.clip_parallel.strategy not in IN_LOCK_STEP:
        return "windows are dealt to them in turn"
    most = max(map(len, halo.deal(len(clips), ranks)))
    return (
        "a clip each"
        if most == 1
        else f"up to {most} clips each, one after the other in every layer"
    )


def _sent(
    config: ClipParallelConfig,
    part: Part,
    clips: Sequence[range],
    ranks: int,
    size: tuple[int, int],
    rows: int,
    passes: int,
    half: float,
) -> tuple[dict[str, str], float]:
    """How much goes between processes; and, for clips in turn, what waits in host memory, in rows
    and in bytes.
    """
    if config.clip_parallel.strategy not in IN_LOCK_STEP:
        return {}, 0.0
    denoiser = part.network.denoiser
    if not denoiser.sharded:
        raise ConfigError(
            f"clip_parallel.strategy is {config.clip_parallel.strategy}, which {part.network.about} has no form for; "
            "windows asks it for single windows"
        )
    exact = config.clip_parallel.strategy != "video_infinity"
    sites = list(denoiser.sites(part.spec, size, exact))
    usual = denoiser.size[0] if config.clip_parallel.strategy == "views" else 0
    layout, held = layout_of(config, clips, usual), halo.deal(len(clips), ranks)
    width, middle = (2 if half < 1 else 4), ranks // 2
    table = volume.table(sites, layout, held, middle, rows, width)
    sent, received = (sum(row[i] for row in table) * passes for i in (3, 4))
    lines = {
        "sent a step": f"{sent / 1e6:.1f} MB from process {middle}, {received / 1e6:.1f} MB to it"
    }
    waiting = 0.0
    if max(map(len, held)) > 1:
        frames = sum(len(clips[i]) for i in held[middle])
        waiting = denoiser.kept(part.spec, size, rows, width) * frames
        lines["host memory"] = f"{gib(waiting)} of features wait in process {middle}"
    return lines, waiting
