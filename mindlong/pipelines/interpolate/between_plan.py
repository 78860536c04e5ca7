"""What a run would do whose network reads the first and the last image of a run; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.parts import read_part
from mindlong.config.infer_options.conditioning import unread
from mindlong.pipelines.checks import (
    far_size,
    fit,
    idle,
    one_prompt,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.pipelines.unlike_sizes import unlike
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.pipelines.interpolate.plan import Work

HINT = "hint"  # the condition of such a network, mask and known latents
IDLE = ("hint", "mask", "shared_noise", "window", "stage_weights", "key_weights", "chunk", "encode")


def reads_both_ends(config: Any) -> bool:
    """Whether the weights of a configuration are of such a network."""
    part = read_part(open_named(config.weights), "network", config.latent.family or None)
    denoiser = part.network.denoiser
    return denoiser.space == "latent" and HINT in denoiser.takes(part.spec)


def plan(
    loaded: Loaded, work: Work, rows: dict[str, str], notes: tuple[str, ...], key: str = ""
) -> Planned:
    """The rows of a dry run; `key` is what gave the lengths of runs, where no factors did. Raises
    ConfigError, InputFileError as the run would.
    """
    config = loaded.values
    parts = find_latent_parts(config.weights, config.latent)
    fit(parts)
    one_prompt(parts, "interpolate.scenes", config.interpolate.scenes)
    idle(loaded, (*_idle(parts), *unread()))
    size, lengths = _size(config, work, parts), _lengths(config, work, parts, key)
    length = max(lengths)
    spec = parts.network.spec
    step = step_cost(parts, 1, parts.vae.spec.latents_of(length), size)
    room = room_of(config, parts, step, length, size)
    rows = rows | {
        "weights": f"{parts.where}",
        "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
        "network": f"{parts.network.family}, reads both ends of a run ({spec.in_channels} channels)",
        "prompts": several(config.wanted_prompts(), config.count),
        "plan": _runs(work, size),
        "a step": f"{count(step.flops)}FLOP",
        "peak memory": room.row(),
    }
    negative = config.interpolate.negative
    said = (
        *worded(parts, config, [*config.wanted_prompts(), negative]),
        *unled(negative, "interpolate.negative", [config.sample.guidance]),
        *far_size(size, parts.size[1:]),
        *(unlike(work.source.where, work.source.size, size) if work.source else ()),
    )
    return Planned(rows, (*notes, *said), room.peak, "size or interpolate.factor")


def _idle(parts: LatentParts) -> Iterator[tuple[str, str]]:
    for key in IDLE:
        yield f"interpolate.{key}", "is not read: the network reads both ends of a run by itself"
    chunks = parts.vae.network.codec.chunks
    if chunks:
        yield "latent.chunk", f"is not read: {chunks}"


def _size(config: Any, work: Work, parts: LatentParts) -> tuple[int, int]:
    if work.latents is not None:
        raise ConfigError(
            "the network reads both ends of a run, which are images: give interpolate.images or "
            "interpolate.video in the place of interpolate.key_latents, or none, and key frames are made too"
        )
    side = parts.network.network.denoiser.side(parts.network.spec)
    usual = work.source.size if work.source else parts.size[1:]
    return divisible(config.size or usual, parts.vae.spec.factor, side)


def _runs(work: Work, size: tuple[int, int]) -> str:
    """What is made, level by level."""
    pixels, lines = f"{size[0]}x{size[1]}", []
    if work.source is None:
        lines = [f"1 run of {work.chain.keys} frames {pixels}, from the prompt"]
    for level, factor in enumerate(work.chain.factors):
        runs = -(-(work.frames - 1) // prod(work.chain.factors[level:]))
        lines.append(f"{runs} runs of {factor + 1} frames {pixels}, from image to image")
    return "\n".join(lines)


def _lengths(config: Any, work: Work, parts: LatentParts, key: str) -> list[int]:
    """Frames of the runs of each level, and of that which makes key frames. Raises ConfigError for
    a length that the autoencoder does not take; `key` gives lengths, "" where factors do.
    """
    own, check = config.interpolate, parts.vae.spec.latents_of
    word = "factor" if own.factor else "factors"
    for factor in work.chain.factors:
        said = f"interpolate.{word} has {factor}, a run with both ends one frame more"
        _checked(check, factor + 1, f"{key} has {factor + 1}" if key else said)
    if work.source is None:
        said = f"interpolate.keys is {own.keys}, and nothing else gives key frames"
        _checked(check, own.keys, f"{key} begins with {own.keys}" if key else said)
    return [factor + 1 for factor in work.chain.factors] + [own.keys] * (work.source is None)


def _checked(check: Callable[[int], int], frames: int, said: str) -> None:
    try:
        check(frames)
    except ConfigError as error:
        raise ConfigError(f"{said}: {error}") from None
