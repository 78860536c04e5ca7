"""What a run of the pixel pipeline would do and cost, without MindSpore."""

from __future__ import annotations

from mindlong.checkpoints.find import config_of, locate
from mindlong.config.cost import sampling_cost
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import Loaded
from mindlong.config.schema import TrainConfig
from mindlong.utils.lines import count


def plan(loaded: Loaded) -> dict[str, str]:
    """Rows of the dry run."""
    config: InferConfig = loaded.values
    trained: TrainConfig = config_of(locate(config.weights))
    frames, size = config.frames or trained.data.frames, config.size or trained.data.size
    videos = max(len(config.wanted_prompts()), 1) * config.count
    cost = sampling_cost(
        trained.model, config.sample.guidance, frames, size, min(config.batch, videos)
    )
    steps = trained.diffusion.timesteps if config.sample.sampler == "ddpm" else config.sample.steps
    return {
        "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
        "plan": f"{videos} videos of {frames} frames {size[0]}x{size[1]}, {-(-videos // config.batch)} batches of {steps} steps",
        "a step": f"{count(cost.flops)}FLOP",
        "peak memory": f"about {cost.memory / 2**30:.2f} GiB (estimate)",
    }
