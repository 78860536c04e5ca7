"""One task for each kind of training; `build_task` chooses it by the model's family."""

from __future__ import annotations

from mindlong.config.schema import TrainConfig
from mindlong.data.source import Source
from mindlong.networks import table
from mindlong.training.task import Task


def build_task(config: TrainConfig, source: Source) -> Task:
    """The task that trains `config.model` on `source`."""
    entry = table.get(config.model.family)
    if entry.denoiser is not None and entry.denoiser.space == "pixel":
        from mindlong.training.tasks.pixel import PixelTask

        return PixelTask(config, source)
    if entry.role == "vae":
        from mindlong.training.tasks.autoencoder import AutoencoderTask

        return AutoencoderTask(config, source)
    if config.interpolation.wanted:
        from mindlong.training.tasks.interpolation import InterpolationTask

        return InterpolationTask(config, source)
    if config.infinet.lengths:
        from mindlong.training.tasks.infinet import InfinetTask

        return InfinetTask(config)
    if config.tune.wanted:
        from mindlong.training.tasks.tune_a_video import TuneTask

        return TuneTask(config)
    from mindlong.training.tasks.latent import LatentTask

    return LatentTask(config, source)
