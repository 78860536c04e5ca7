"""What a run of the pixel pipeline would do and cost, without MindSpore."""

from __future__ import annotations

import numpy as np

from mindlong.checkpoints.find import config_of, locate
from mindlong.config.cost import sampling_cost
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import Loaded
from mindlong.config.schema import TrainConfig
from mindlong.data.one_shot import read_clip
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.sample import count_steps
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count


def plan(loaded: Loaded) -> dict[str, str]:
    """Rows of the dry run."""
    config: InferConfig = loaded.values
    trained: TrainConfig = config_of(locate(config.weights))
    _, frames, *size = shape_of(config, trained)
    videos = max(len(config.wanted_prompts()), 1) * config.count
    batches = -(-videos // config.batch)
    given_videos(config, trained)
    steps = count_steps(config.sample, visited(config, trained))
    between = " between two" if config.pixel.interpolate else ""
    cost = sampling_cost(
        trained.model, config.sample.guidance, frames, size, min(config.batch, videos)
    )
    return {
        "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
        "plan": f"{videos} videos{between} of {frames} frames {size[0]}x{size[1]}, {batches} batches of {steps} steps",
        "a step": f"{count(cost.flops)}FLOP",
        "peak memory": f"about {cost.memory / 2**30:.2f} GiB (estimate)",
    }


def shape_of(config: InferConfig, trained: TrainConfig) -> tuple[int, int, int, int]:
    """(C, F, H, W) of the videos: as the configuration says, else as the network was trained."""
    height, width = config.size or trained.data.size
    return trained.model.channels, config.frames or trained.data.frames, height, width


def visited(config: InferConfig, trained: TrainConfig) -> Noising:
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


def given_videos(config: InferConfig, trained: TrainConfig) -> np.ndarray | None:
    """The two videos of `pixel.interpolate`, uint8 (2, F, H, W, 3), if there are any."""
    channels, frames, *size = shape_of(config, trained)
    if not config.pixel.interpolate:
        return None
    if channels != 3:
        raise ConfigError(
            f"pixel.interpolate reads videos of 3 colours; the network has {channels} channels"
        )
    return np.stack([read_clip(path, frames, tuple(size)) for path in config.pixel.interpolate])
