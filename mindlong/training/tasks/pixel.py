"""Training Unet3D on clips in pixel space (Ho et al., Video Diffusion Models, 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.checkpoints.embedder import embedder
from mindlong.checkpoints.start import pixel_arrays, start_of
from mindlong.data.caption_means import CaptionMeans
from mindlong.data.source import Sample, Source, to_frames, to_network
from mindlong.diffusion.losses import loss_of
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.timesteps import draw_timestep
from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.network import Network, made
from mindlong.training.begin import begin_with
from mindlong.training.tasks.preview_files import drawn, write_preview
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

# what weights without it can start a network with: a caption encoder, the layer of frame numbers
FRESH = ("text.*", "unet.frame_embedding.*")


class PixelTask:
    """What the trainer needs to know: the network, its loss, the inputs of a step, and how to draw
    a preview.

    Attributes:
        network: the network whose parameters are trained.
        noising: the process of the section `diffusion`.
        loss: cell with construct(x0, noise, t[, focus], *conditions) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.noising = of_options(config.diffusion, bound=1.0)
        self.means = CaptionMeans(source, config.diffusion.terminal_clips)
        entry = table.get(config.model.family)
        self.network = made(entry.denoiser.conditioned)(config.model)
        initialise(self.network, config.train.seed)
        self.network.embed = embedder(config.model)
        if start_of(config):
            begin_with(self.network, pixel_arrays(config), FRESH)
        learning = self.network
        if config.diffusion.focus_present:
            learning = made(entry.denoiser.focused)(self.network)
        self.loss = loss_of(learning, self.noising.schedule, config.diffusion)

    def lora_parts(self) -> dict[str, tuple[Network, Any]]:
        """The networks of which a LoRA can change layers, by the first word of their names."""
        model = self.config.model
        entry = table.get(model.family)
        return {entry.part: (entry, model.spec())}

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Arrays for `samples` (global numbers): video, noise, timestep(, focus), conditions. The
        same for equal arguments.
        """
        clips = [self.source.sample(index) for index in samples]
        at_end = self._chosen("terminal", self.config.diffusion.terminal_mean, samples)
        video = to_network(self._frames(clips, at_end))
        seed = self.config.train.seed
        noise = rng.normal_rows(list(samples), video.shape[1:], seed, "noise")
        count, shift = self.noising.schedule.timesteps, self.config.diffusion.shift
        t = np.array(
            [draw_timestep(rng.generator(seed, "timestep", i), count, shift) for i in samples],
            np.int32,
        )
        t = np.where(at_end, np.int32(count - 1), t)
        return video, noise, t, *self._focus(samples), *self._conditions(clips, samples)

    def _frames(self, clips: Sequence[Sample], at_end: np.ndarray) -> np.ndarray:
        """(B, F, H, W, C), 0 to 255: at the last timestep, where nothing is left of a clip, the
        mean of its caption's clips, as `mindlong.training.tasks.latent` has it.
        """
        return np.stack(
            [
                self.means.of(clip) if end else clip.frames_FHWC
                for clip, end in zip(clips, at_end, strict=True)
            ]
        )

    def finish(self, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The arrays of `inputs` with captions as vectors, where a text encoder with weights of its
        own reads them: it is a graph, and runs in the thread of the steps.
        """
        return self.network.encoded(arrays)

    def _focus(self, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """bool (B,): whose frames see only themselves; nothing where that is never so."""
        share = self.config.diffusion.focus_present
        return (self._chosen("focus-present", share, samples),) if share else ()

    def _conditions(
        self, clips: Sequence[Sample], samples: Sequence[int]
    ) -> tuple[np.ndarray, ...]:
        dropped = self._chosen("cond-drop", self.config.diffusion.cond_drop, samples)
        if self.config.model.text.encoder == "embedding":
            return self.network.embedding_conditions(
                [clip.embedding for clip in clips], dropped, [clip.caption for clip in clips]
            )
        return self.network.conditions([clip.caption for clip in clips], dropped, raw=True)

    def _chosen(self, stream: str, share: float, samples: Sequence[int]) -> np.ndarray:
        seed = self.config.train.seed
        return np.array([rng.generator(seed, stream, i).random() < share for i in samples])

    def preview(self, step: int, folder: Path) -> list[Path]:
        """Draw the preview prompts from their fixed noise; returns the GIF and the contact
        sheet.
        """
        options, data = self.config.preview, self.config.data
        if not options.prompts:
            return []
        shape = (self.config.model.channels, data.frames, *data.size)
        noise = rng.normal_rows(list(range(len(options.prompts))), shape, options.seed, "sample", 0)
        self.network.set_train(False)
        s = options.sample
        model = self.network.denoiser(options.prompts, s.guidance, s.rescale)
        videos = to_frames(drawn(options, model, noise, self.noising, titles=options.prompts))
        return write_preview(folder, step, videos, options.prompts, options.fps)

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        return [self.source.describe()]
