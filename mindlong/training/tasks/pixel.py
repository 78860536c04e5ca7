"""Training Unet3D on clips in pixel space (Ho et al., Video Diffusion Models, 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindlong.config.schema import TrainConfig
from mindlong.data.source import Sample, Source, to_network
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.schedules import Schedule, cosine
from mindlong.diffusion.timesteps import draw_timestep
from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.network import made
from mindlong.pipelines.pixel.make import PixelVideo, Plan, Request
from mindlong.training.tasks.preview_files import write_preview
from mindlong.utils import rng


class PixelTask:
    """What the trainer needs to know: the network, its loss, the inputs of a step, and how to draw
    a preview.

    Attributes:
        network: the network whose parameters are trained.
        loss: cell with construct(x0, noise, t, *conditions) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.schedule: Schedule = cosine(config.diffusion.timesteps)
        entry = table.get(config.model.family)
        self.network = made(entry.denoiser.conditioned)(config.model)
        initialise(self.network, config.train.seed)
        self.loss = DiffusionLoss(
            self.network,
            self.schedule,
            prediction=config.diffusion.prediction,
            loss=config.diffusion.loss,
        )

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Arrays for `samples` (global numbers): video, noise, timestep, conditions. The same for
        equal arguments.
        """
        clips = [self.source.sample(index) for index in samples]
        video = to_network(np.stack([clip.frames_FHWC for clip in clips]))
        seed = self.config.train.seed
        noise = rng.normal_rows(list(samples), video.shape[1:], seed, "noise")
        count, shift = self.schedule.timesteps, self.config.diffusion.shift
        t = np.array(
            [draw_timestep(rng.generator(seed, "timestep", i), count, shift) for i in samples],
            np.int32,
        )
        return video, noise, t, *self._conditions(clips, samples)

    def _conditions(
        self, clips: Sequence[Sample], samples: Sequence[int]
    ) -> tuple[np.ndarray, ...]:
        seed, share = self.config.train.seed, self.config.diffusion.cond_drop
        dropped = np.array([rng.generator(seed, "cond-drop", i).random() < share for i in samples])
        if self.config.model.text.encoder == "embedding":
            return self.network.embedding_conditions([clip.embedding for clip in clips], dropped)
        return self.network.conditions([clip.caption for clip in clips], dropped)

    def preview(self, step: int, folder: Path) -> list[Path]:
        """Draw the preview prompts from their fixed noise; returns the GIF and the contact
        sheet.
        """
        options = self.config.preview
        if not options.prompts:
            return []
        plan = sampling_plan(self.config, options.sample)
        requests = [Request(prompt, options.seed, i) for i, prompt in enumerate(options.prompts)]
        videos = PixelVideo(self.network, self.schedule).run(requests, plan)
        self.network.set_train(True)
        return write_preview(folder, step, videos, options.prompts, options.fps)

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        return [self.source.describe()]


def sampling_plan(config: TrainConfig, sample: object) -> Plan:
    """How the videos of a trained configuration are drawn."""
    data = config.data
    return Plan(
        (config.model.channels, data.frames, *data.size),
        sample.sampler,
        sample.steps,
        sample.eta,
        sample.guidance,
        sample.dynamic_threshold,
        config.diffusion.prediction,
        sample.flavour,
        sample.spacing,
        sample.rescale,
    )
