"""Which clips a text-to-video configuration asks for, and what they would cost; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator

from mindlong.checkpoints.latent_parts import LatentParts, parts_of
from mindlong.checkpoints.lora.latent import lora_row
from mindlong.config.load import Loaded
from mindlong.config.pipelines import TextToVideoConfig
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.networks.cost import Load
from mindlong.pipelines.checks import (
    divisible,
    far_size,
    fit,
    gib,
    idle,
    no_rate,
    overlong,
    several,
    step_cost,
    unled,
)
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.starts import read_start
from mindlong.plans.frame_prompts import of_frames, title
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: TextToVideoConfig = loaded.values
    own, s = config.text_to_video, config.sample
    parts = parts_of(config)
    fit(parts)
    idle(loaded, no_rate(parts, "text_to_video.told_fps"))
    frames, *size = size_of(config, parts.size)
    height, width = divisible(size, parts.vae.spec.factor)
    clips = clips_of(config, frames)
    batch, guided = min(config.batch, len(clips)), s.guidance != 1
    rows = batch * (2 if guided and not own.two_passes else 1)
    if own.start:
        read_start(own.start, len(clips), _latents(parts, frames, height, width))
    step = step_cost(parts, rows, parts.vae.spec.latents_of(frames), size)
    chunk = min(config.latent.chunk, frames)
    decode = parts.vae.network.codec.decode_cost(parts.vae.spec, Load(1, chunk, height, width))
    half = 1.0 if config.latent.dtype == "float32" else 0.5
    passes = 2 if guided and own.two_passes else 1
    texts = [prompt for clip in clips for prompt in clip.prompts] + [own.negative] * guided
    return Planned(
        {
            "weights": f"{parts.where} ({parts.network.family})",
            "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
            "prompts": several([clip.title for clip in clips[:: config.count]], config.count),
            "plan": f"{len(clips)} videos of {frames} frames {height}x{width}, {-(-len(clips) // batch)} batches of "
            f"{count_steps(s, parts.noising)} steps, {sampler_of(s, parts.noising).name}, guidance {s.guidance:g}",
            "a step": f"{count(passes * step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": f"denoising {gib(step.bytes * half)}, decoding {chunk} frames at a time "
            f"{gib(decode.bytes * half)} (estimates)",
        },
        (
            *overlong(parts, texts),
            *unled(own.negative, "text_to_video.negative", [s.guidance]),
            *far_size(size, parts.size[1:]),
        ),
        half * max(step.bytes, decode.bytes),
        "frames, size or batch (latent.chunk for decoding)",
    )


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
    wanted = [(text, (text,)) for text in config.wanted_prompts()]
    for number, scene in enumerate(config.text_to_video.scenes):
        try:
            wanted.append((title(scene), tuple(of_frames(scene, frames))))
        except ConfigError as error:
            raise ConfigError(f"text_to_video.scenes[{number}]: {error}") from None
    if not wanted:
        raise ConfigError(
            "there is nothing to make: give prompt=TEXT, prompts=[...] or text_to_video.scenes"
        )
    repeated = [row for row in wanted for _ in range(config.count)]
    return [
        Clip(name, prompts, text, config.seed, number)
        for number, (name, (text, prompts)) in enumerate(
            zip(_names(len(repeated)), repeated, strict=True)
        )
    ]


def _names(count_of: int) -> Iterator[str]:
    for number in range(count_of):
        yield f"video-{number:03d}" if count_of > 1 else "video"
