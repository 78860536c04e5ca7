"""Which videos an animation asks for, and what they would cost; without MindSpore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.lora.latent import lora_row
from mindlong.checkpoints.lora.latent import parts_of as named_parts
from mindlong.data.transforms import fitted
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.media.read import read_image
from mindlong.pipelines.checks import (
    far_size,
    fit,
    idle,
    network_rows,
    one_prompt,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.clips import Clip, shown_by
from mindlong.pipelines.image_parts import (
    calls,
    check_rates,
    check_room,
    images_of,
    rates_row,
    unusual_rates,
    unusual_run,
)
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.pipelines.unlike_sizes import unlike_sizes
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.config.infer_options.animate import AnimateOptions
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import AnimateConfig
    from mindlong.config.sample import SampleOptions
    from mindlong.networks.network import Images


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: AnimateConfig = loaded.values
    own, s = config.animate, config.sample
    parts = parts_of(config)
    fit(parts, images=True)
    images = images_of(parts)
    check_ends(own, images)
    idle(loaded, _unread(images))
    one_prompt(parts, "animate.scenes", own.scenes)
    check_rates(config.conditioning.fs, 1)
    frames, *size = size_of(config, parts.size)
    check_room(images, frames)
    height, width = divisible(size, parts.vae.spec.factor)
    read_given(own, (height, width))
    clips, times = clips_of(config, frames), calls(s, config.conditioning.image_guidance)
    batch = min(config.batch, len(clips))
    step = step_cost(parts, batch, parts.vae.spec.latents_of(frames), size)
    room = room_of(config, parts, step, frames, (height, width))
    texts = [prompt for clip in clips for prompt in clip.prompts] + [own.negative] * (times > 1)
    return Planned(
        {
            **network_rows(parts),
            "images": f"{len(own.given())}, {_made(own, images)}",
            "prompts": several(
                list(dict.fromkeys(own.told(config.wanted_prompts()))), config.count
            ),
            "plan": f"{len(clips)} videos of {written(own, frames)} frames {height}x{width}, "
            f"{-(-len(clips) // batch)} batches of {_steps(s, parts)}, {times} calls a step",
            "frame rate": rates_row(images, config.conditioning.fs, images.rate),
            "a step": f"{count(times * step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": room.row(),
        },
        (
            *worded(parts, config, texts),
            *unled(own.negative, "animate.negative", [s.guidance]),
            *far_size(size, parts.size[1:]),
            *unusual_run(images, frames),
            *unusual_rates(images, config.conditioning.fs),
            *unlike_sizes(_paths(own), (height, width)),
        ),
        room.peak,
        "size or batch (latent.chunk for decoding)",
    )


def _steps(s: SampleOptions, parts: LatentParts) -> str:
    steps, name = count_steps(s, parts.noising), sampler_of(s, parts.noising).name
    return f"{steps} steps, {name}, guidance {s.guidance:g}"


def parts_of(config: AnimateConfig) -> LatentParts:
    """The networks. Raises ConfigError where none are named, or they read no image."""
    if not config.weights:
        raise ConfigError(
            "weights is empty; pipeline animate needs those of a network that is conditioned on images, and "
            "none are shipped (docs/long_real_video.md says where they are)"
        )
    parts = named_parts(config)
    if parts.network.network.denoiser.images is None:
        raise ConfigError(
            f"{parts.where} is {parts.network.network.about}, which reads no image; pipeline animate needs one "
            "that does"
        )
    return parts


def check_ends(own: AnimateOptions, images: Images) -> None:
    """Raise ConfigError where what is given is not what the network is conditioned on."""
    between = bool(own.last or own.loop)
    if images.given == "ends" and not between:
        raise ConfigError(
            "the network makes what lies between two given images, and only the first is given: give "
            "animate.last=FILE, or animate.loop=true, which ends where it begins"
        )
    if images.given != "ends" and between:
        key = "last" if own.last else "loop"
        raise ConfigError(
            f"animate.{key} is given, and the network makes video from one image; it needs weights that make "
            "frames between two (a file of theirs looks the same: say which it is with latent.family, or when "
            "it is converted)"
        )


def read_given(own: AnimateOptions, size: tuple[int, int]) -> list[np.ndarray]:
    """The images, (height, width, 3) uint8: scaled until they cover `size`, their middle; the last
    one behind the others. Raises InputFileError.
    """
    return [fitted(read_image(path), size) for path in _paths(own)]


def _paths(own: AnimateOptions) -> list[str]:
    return [*own.given(), *filter(None, [own.last])]


def size_of(config: Any, usual: tuple[int, int, int]) -> tuple[int, int, int]:
    """Frames, height and width: as the configuration says, else as the network is used."""
    height, width = config.size or usual[1:]
    return config.frames or usual[0], height, width


def written(own: AnimateOptions, frames: int) -> int:
    """Frames of a video: all, but a loop's last, which is its first."""
    return frames - 1 if own.loop and not own.last else frames


def clips_of(config: AnimateConfig, frames: int) -> list[Clip]:
    """The clips in order: those of the images, each `count` times; i is of image i // count. Raises
    ConfigError where scenes do not fit `frames`.
    """
    own = config.animate
    given, prompts = own.given(), own.told(config.wanted_prompts()) or [""]
    texts = prompts * len(given) if len(prompts) == 1 else prompts
    repeated = [text for text in texts for _ in range(config.count)]
    shown = {text: shown_by(own.scenes, text, frames, "animate.scenes") for text in texts}
    return [
        Clip(name, shown[text][0], text or name, config.seed, number, shown[text][1])
        for number, (name, text) in enumerate(zip(_names(len(repeated)), repeated, strict=True))
    ]


def _names(count_of: int) -> Iterator[str]:
    for number in range(count_of):
        yield f"video-{number:03d}" if count_of > 1 else "video"


def _unread(images: Images) -> Iterator[tuple[str, str]]:
    if not images.beside:
        yield "animate.encode", "is not read: the network knows an image by its tokens alone"


def _made(own: AnimateOptions, images: Images) -> str:
    if own.last:
        return f"video from each to {own.last}"
    return "a loop from each" if own.loop else "video from each"


def told_rate(images: Images, rates: Sequence[int]) -> int:
    """What the network takes as its frame rate where a run has no level."""
    return rates[0] if rates else images.rate
