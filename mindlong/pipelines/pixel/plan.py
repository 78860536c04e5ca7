"""What a run of the pixel pipeline would do and cost, without MindSpore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.lora.latent import over_trained
from mindlong.checkpoints.report import compare
from mindlong.checkpoints.text_source import text_source
from mindlong.config.cost import sampling_cost
from mindlong.data.captions import cut
from mindlong.data.one_shot import read_clip
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.sample import count_steps
from mindlong.networks.caption.spec import shapes as caption_shapes
from mindlong.networks.unet3d.classes import NONE, class_of
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import OWN
from mindlong.pipelines.checks import far_size, few, gib, idle, several, shortened
from mindlong.pipelines.planned import Planned
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import PixelConfig
    from mindlong.config.schema import TrainConfig


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: PixelConfig = loaded.values
    found = over_trained(find_trained(config.weights, "pixel"), config.lora, config.lora_strict)
    trained: TrainConfig = found.config
    _check_tensors(locate(config.weights), trained.model)
    text_source(trained.model, config.pixel.text_encoder)
    _check_classes(config.wanted_prompts(), trained.model)
    idle(loaded, _idle(trained.model))
    _, frames, *size = shape_of(config, trained)
    _check_size(size, len(trained.model.dim_mults))
    given_videos(config, trained)
    videos, s = max(len(config.wanted_prompts()), 1) * config.count, config.sample
    cost = sampling_cost(trained.model, s.guidance, frames, size, min(config.batch, videos))
    steps = count_steps(s, visited(config, trained))
    between = " between two" if config.pixel.interpolate else ""
    notes = few(note for prompt in config.wanted_prompts() for note in said(prompt, trained)[1])
    return Planned(
        {
            "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
            "prompts": several(config.wanted_prompts(), config.count),
            "plan": f"{videos} videos{between} of {frames} frames {size[0]}x{size[1]}, "
            f"{-(-videos // config.batch)} batches of {steps} steps",
            "a step": f"{count(cost.flops)}FLOP",
            **({"lora": ", ".join(config.lora)} if config.lora else {}),
            "peak memory": f"{gib(cost.memory)} (estimate)",
        },
        (*notes, *far_size(size, trained.data.size or size)),
        cost.memory,
    )


def _check_tensors(where: Path, model: Any) -> None:
    """Hold the tensors of a file of ours against what the network's sizes need."""
    weights = open_weights(where)
    found = {name: weights.shape(name) for name in weights}
    if not any(name.startswith("unet.") for name in found):  # an original's own names
        return
    needed = {f"unet.{e.ours}": e.our_shape for e in names(model.spec())}
    text = model.text
    if text.encoder == "caption":
        shapes = caption_shapes(text.width, text.layers, text.length, model.cond_dim)
        needed |= {f"text.{name}": shape for name, shape in shapes.items()}
    report = compare(needed, found)
    if not report.fits:
        raise InputFileError(
            f"{where}: its tensors do not fit the network that its config.yaml describes: "
            f"{report.summary()}"
        )


def said(prompt: str, trained: TrainConfig) -> tuple[str, list[str]]:
    """A prompt as far as the network's caption encoder holds it, and what is to be said of the
    rest.
    """
    text = trained.model.text
    if text.encoder != "caption":
        return prompt, []
    kept, needed = cut(prompt, text.length)
    if needed <= text.length:
        return prompt, []
    return kept, [
        f"the prompt {shortened(prompt)} is {needed} tokens long and the caption encoder takes "
        f"{text.length}: it is cut to {shortened(kept)}"
    ]


def _idle(model: object) -> Iterator[tuple[str, str]]:
    """Keys that a network without captions has no use for."""
    if model.text.encoder in OWN:
        yield (
            "pixel.text_encoder",
            "is not read: the network's text condition has no encoder with weights of its own",
        )
    if model.reads_prompts:
        return
    takes = "takes no condition" if model.text.encoder == "none" else "is conditioned on embeddings"
    for key in ("prompt", "prompts"):
        yield key, f"is not read: the network {takes} and no prompt (model.text.encoder)"
    for key in ("sample.guidance", "sample.rescale"):
        yield key, f"has no effect: the network {takes}, and guidance leads towards a prompt"


def _check_classes(prompts: list[str], model: Any) -> None:
    """A network that takes classes and no text is asked for one of them."""
    if not model.classes or model.text.encoder not in ("none", "embedding"):
        return
    for prompt in prompts:
        if prompt and class_of(prompt, model.classes) == NONE:
            raise ConfigError(
                f"the prompt {shortened(prompt)} names none of the network's classes: {', '.join(model.classes)}"
            )


def _check_size(size: list[int], levels: int) -> None:
    step = 2 ** (levels - 1)
    if size[0] % step or size[1] % step:
        raise ConfigError(
            f"size is [{size[0]}, {size[1]}]; both must be multiples of {step}, because the network has "
            f"{levels} levels"
        )


def shape_of(config: PixelConfig, trained: TrainConfig) -> tuple[int, int, int, int]:
    """(C, F, H, W) of the videos: as the configuration says, else as the network was trained."""
    size, frames = config.size or trained.data.size, config.frames or trained.data.frames
    if not size or not frames:
        wanted = " ".join(["size=[H,W]"] * (not size) + ["frames=N"] * (not frames))
        raise ConfigError(
            f"the weights do not say for which videos they were trained; give {wanted}"
        )
    height, width = size
    return trained.model.channels, frames, height, width


def visited(config: PixelConfig, trained: TrainConfig) -> Noising:
    """What a video goes through of the noising process that the network was trained on: all of it,
    or what lies below the level at which two videos are mixed.
    """
    noising, timestep = of_options(trained.diffusion, bound=1.0), config.pixel.timestep
    if not timestep:
        return noising
    if timestep >= noising.schedule.timesteps:
        raise ConfigError(
            f"pixel.timestep is {timestep}; this network has the timesteps 1 to {noising.schedule.timesteps - 1}"
        )
    return noising.first(timestep + 1)


def given_videos(config: PixelConfig, trained: TrainConfig) -> np.ndarray | None:
    """The two videos of `pixel.interpolate`, uint8 (2, F, H, W, 3), if there are any."""
    channels, frames, *size = shape_of(config, trained)
    if not config.pixel.interpolate:
        return None
    if channels != 3:
        raise ConfigError(
            f"pixel.interpolate reads videos of 3 colours; the network has {channels} channels"
        )
    return np.stack([read_clip(path, frames, tuple(size)) for path in config.pixel.interpolate])
