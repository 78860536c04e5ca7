"""Training a latent UNet to make the frames between given ones, or after a first one
(make-a-stable-diffusion-video).

Legend: B samples, C channels of a latent, F frames of a run, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.inflate import inflate
from mindlong.checkpoints.load import arrays_of, load_into
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.start import base_of, text_of
from mindlong.data.source import Source, to_frames
from mindlong.diffusion import hints
from mindlong.diffusion.losses import loss_of
from mindlong.networks.unet.hinted import Hinted
from mindlong.training.tasks.latent import LatentTask
from mindlong.training.tasks.latent_networks import start_from
from mindlong.training.tasks.preview_files import write_preview
from mindlong.utils import rng
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.diffusion.guidance import Model

PREVIEWS = 4


class InterpolationTask(LatentTask):
    """As LatentTask, with runs cut out of the clips and hints beside them.

    Attributes:
        loss: cell with construct(x0, noise, t, hints, ids[, fps]) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        key, base = base_of(config)
        latents, train = replace(config.latents, unet_weights=""), replace(config.train, start="")
        super().__init__(replace(config, latents=latents, train=train), source)
        self.options = config.interpolation
        if base:
            self._start_from(base, key)
        own_text = text_of(config)
        if own_text:
            start_from(self.network.text_encoder, own_text)
        self.hinted = Hinted(self.network)
        self.loss = loss_of(self.hinted, self.schedule, config.diffusion)

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Latents of runs, noise, timesteps, mask and hints, token ids (and frames per second) of
        `samples`.
        """
        clips, _, t, ids, *_ = super().inputs(step, samples)
        seed, runs = (
            self.config.train.seed,
            [self._run(i, clip.shape[1]) for i, clip in zip(samples, clips, strict=True)],
        )
        clips = np.stack([clip[:, frames] for clip, (frames, _) in zip(clips, runs, strict=True)])
        level = [
            rng.generator(seed, "hint-level", i).random() * self.options.hint_noise for i in samples
        ]
        extra = rng.normal_rows(list(samples), clips.shape[1:], seed, "hint-noise")
        x0, beside = self.with_hints(clips, extra, level)
        noise = rng.normal_rows(list(samples), x0.shape[1:], seed, "run-noise")
        return x0, noise, t, beside, ids, *self._rates([stride for _, stride in runs])

    def with_hints(
        self, clips_BCFhw: np.ndarray, noise: np.ndarray, level: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is learnt of the runs (B, C, F, h, w), and mask and hints (B, 1 + C, F, h, w) to be
        concatenated to it; `level` of `noise` for each is mixed into the hints.
        """
        frames, size, o = clips_BCFhw.shape[2], clips_BCFhw.shape[-2:], self.options
        given, run = (
            ([0], range(1, frames))
            if o.first_frame
            else (range(0, frames, o.factor), range(frames))
        )
        rows = zip(clips_BCFhw[:, :, given], noise[:, :, given], level, strict=True)
        kept = np.stack([hints.augment(*row) for row in rows])
        spread, mask = (
            hints.fill(given, run, o.hint).spread(kept),
            hints.mask(given, run, size, o.mask),
        )
        beside = np.concatenate(
            [np.broadcast_to(mask, (len(clips_BCFhw), *mask.shape[1:])), spread], 1
        )
        return np.ascontiguousarray(clips_BCFhw[:, :, run]), beside

    def preview(self, step: int, folder: Path) -> list[Path]:
        """The first clips, their given frames kept and the others made anew, beside the clips
        themselves.
        """
        options, o = self.config.preview, self.options
        rows = list(range(min(PREVIEWS, self.cache.count)))
        zeros = np.zeros(self.cache.shape, np.float32)
        clips = np.stack([self.cache.latent(row, zeros) for row in rows]) * np.float32(self.scaling)
        frames = o.run_frames(self.config)
        clips = clips[:, :, : frames * min(o.strides) : min(o.strides)]
        x0, beside = self.with_hints(clips, np.zeros_like(clips), [0.0] * len(rows))
        noise = np.stack([rng.normal(x0.shape[1:], options.seed, "sample", 0, row) for row in rows])
        captions = [self.cache.captions[row] for row in rows]
        models = self._model(beside, captions), self._model(beside, [""] * len(captions))
        made = self.denoised(*models, noise, titles=captions)
        videos = to_frames(self.decoded(np.concatenate([x0, made])))
        self.network.set_train(True)
        return write_preview(
            folder,
            step,
            videos,
            [*captions, *(f"made: {c}" for c in captions)],
            options.fps,
            len(rows),
        )

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        o = self.options
        what = (
            "the frames after a first one" if o.first_frame else f"every {o.factor}th frame given"
        )
        return [
            *super().describe(),
            f"interpolation: runs of {o.run_frames(self.config)} frames at strides {list(o.strides)}, "
            f"{what}, hint {o.hint}, mask {o.mask}",
        ]

    def _model(self, beside: np.ndarray, captions: Sequence[str]) -> Model:
        fps = self._rates([min(self.options.strides)] * len(captions))
        rest = [Tensor(a) for a in (beside, self.tokenizer(captions), *fps)]
        return lambda x, t: self.hinted(Tensor(x), Tensor(t), *rest).asnumpy()

    def _run(self, sample: int, length: int) -> tuple[np.ndarray, int]:
        """(places of a run's frames in the clip, stride) of a sample."""
        draw, o = rng.generator(self.config.train.seed, "run", sample), self.options
        stride = int(draw.choice(o.strides))
        frames = o.run_frames(self.config)
        start = int(draw.integers(length - (frames - 1) * stride))
        return start + stride * np.arange(frames), stride

    def _rates(self, strides: Sequence[int]) -> tuple[np.ndarray, ...]:
        rates = self.config.latents.fps / np.array(strides, np.float32)
        return (rates.astype(np.float32),) if "fps" in self.spec.conditions else ()

    def _start_from(self, weights: str, key: str) -> None:
        """Take over a UNet of images, of videos without hints, or of the same kind."""
        part = read_part(open_named(weights, key), "network")
        mine = {n.removeprefix("unet."): a for n, a in arrays_of(self.network.unet).items()}
        found = inflate(
            {name: lazy.read() for name, lazy in part.arrays.items()},
            mine,
            self.options.identity,
            key,
        )
        load_into(
            self.network.unet, {f"unet.{name}": array for name, array in found.arrays.items()}
        )
        get_logger().info("%s: %s", weights, found.describe())
