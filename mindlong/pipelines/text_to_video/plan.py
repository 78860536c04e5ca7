"""Which clips a text-to-video configuration asks for, and what they would cost; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.config.load import Loaded
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.networks.cost import Load
from mindlong.pipelines.clips import Clip
from mindlong.plans.frame_prompts import of_frames, title
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count


def plan(loaded: Loaded) -> dict[str, str]:
    """Rows of the dry run."""
    config = loaded.values
    parts = find_latent_parts(config.weights, config.latent)
    frames, height, width = size_of(config, parts.size)
    clips, s = clips_of(config, frames), config.sample
    network, vae, text = parts.network, parts.vae, parts.text_encoder
    factor, batch = vae.spec.factor, min(config.batch, len(clips))
    rows = batch * (1 if s.guidance == 1 or config.text_to_video.two_passes else 2)
    latents, chunk = vae.spec.latents_of(frames), min(config.latent.chunk, frames)
    step = network.network.cost(
        network.spec,
        Load(rows, latents, height // factor, width // factor, text.spec.length),
    )
    decode = vae.network.codec.decode_cost(vae.spec, Load(1, chunk, height, width))
    passes = 2 if s.guidance != 1 and config.text_to_video.two_passes else 1
    half = 0.5 if config.latent.dtype == "float16" else 1.0
    return {
        "weights": f"{parts.where} ({parts.network.family})",
        "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
        "plan": f"{len(clips)} videos of {frames} frames {height}x{width}, {-(-len(clips) // batch)} batches of "
        f"{count_steps(s, parts.noising)} steps, {sampler_of(s, parts.noising).name}, guidance {s.guidance:g}",
        "a step": f"{count(passes * step.flops)}FLOP",
        "peak memory": f"denoising about {step.bytes * half / 2**30:.2f} GiB, decoding {chunk} frames "
        f"at a time about {decode.bytes * half / 2**30:.2f} GiB (estimates)",
    }


def size_of(config: Any, usual: tuple[int, int, int]) -> tuple[int, int, int]:
    """Frames, height and width: as the configuration says, else as the network is used."""
    height, width = config.size or usual[1:]
    return config.frames or usual[0], height, width


def clips_of(config: Any, frames: int) -> list[Clip]:
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
