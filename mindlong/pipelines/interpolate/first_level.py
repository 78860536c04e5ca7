"""Level 0 of a chain: the key frames, from a video or images, from latents, or made from a prompt.

Legend: B runs of a batch, K key frames of a run, C channels, h w latent pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.data.transforms import fitted
from mindlong.diffusion.finite import Row
from mindlong.diffusion.sample import sample
from mindlong.pipelines.interpolate.hinted import HINTED_MAKER, is_hinted
from mindlong.pipelines.interpolate.networks import Networks, predictor
from mindlong.pipelines.one_prompt import Shown
from mindlong.plans.chain import place
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.interpolate.plan import Work
    from mindlong.pipelines.jobs import Batch
    from mindlong.pipelines.latent_model import LatentModel


@dataclass(frozen=True)
class KeyFrames:
    """The work of level 0; call it with a batch (see `mindlong.pipelines.jobs`).

    Attributes:
        config: of the run. work: what it fills. networks: its models.
        shown, number: of the video among those of one seed.
        shape: (C, K, h, w) of all key frames.
        callback: after each denoising step.
    """

    config: Any
    work: Work
    networks: Networks
    shown: Shown
    number: int
    shape: tuple[int, ...]
    callback: Callback

    def __call__(self, batch: Batch, known: np.ndarray) -> np.ndarray:
        """(B, K, C, h, w) float32. Rows that only fill a batch up are no work of their own."""
        parts = {job.name: self._numbers(job.frames) for job in batch.jobs}
        ready = {name: self._frames(which) for name, which in parts.items()}
        return np.stack([ready[job.name] for job in batch.jobs])

    @cached_property
    def _model(self) -> LatentModel:
        """What makes key frames; given ones are encoded by the network that decodes them."""
        o = self.config.interpolate
        given = self.work.source is not None or self.work.latents is not None
        last = (o.stage_weights or [self.config.weights])[-1]
        return self.networks.model(last if given else o.key_weights or self.config.weights)

    def _numbers(self, frames: tuple[int, ...]) -> list[int]:
        chain = self.work.chain
        return [place(f, chain.total) // chain.step(0) for f in frames]

    def _frames(self, which: list[int]) -> np.ndarray:
        """(K, C, h, w) of the key frames `which`."""
        if self.work.latents is not None:
            return self.work.latents.transpose(1, 0, 2, 3)[which]
        return (self._encoded if self.work.source else self._made)(which)

    def _encoded(self, which: list[int]) -> np.ndarray:
        config, source = self.config, self.work.source
        size = tuple(config.size or source.size)
        frames = np.stack([fitted(f, size) for f in source.take(which[0], which[-1] + 1)])
        drawn = None
        if config.interpolate.encode == "sample":
            area = (self.shape[0], *self.shape[2:])
            stream = (config.seed, "interpolate-encode", self.number)
            drawn = np.stack([rng.normal(area, *stream, k) for k in which])
        return self._model.encode(frames, drawn).transpose(1, 0, 2, 3)

    def _made(self, which: list[int]) -> np.ndarray:
        """Every `key_stride`-th frame of one clip made from the prompt."""
        config, chain, model = self.config, self.work.chain, self._model
        if is_hinted(model.spec, self.shape[0]):
            raise ConfigError(HINTED_MAKER)
        stride = config.interpolate.key_stride
        predict = predictor(model, self.shown, config.sample, config.interpolate.negative)
        rate = self.work.rate / chain.step(0) * stride
        frames = [k * chain.step(0) // stride for k in range((chain.keys - 1) * stride + 1)]
        whole = (self.shape[0], (chain.keys - 1) * stride + 1, *self.shape[2:])
        latents = sample(
            config.sample,
            lambda x, t: predict(x, t, rate, [frames]),
            self._noise(whole, "start"),
            model.noising,
            noise=lambda step: self._noise(whole, "step", step),
            callback=self.callback,
            rows=[Row(f"the key frames of {self.shown.title!r}")],
        )
        return latents[0].transpose(1, 0, 2, 3)[::stride][which]

    def _noise(self, shape: tuple[int, ...], *stream: str | int) -> np.ndarray:
        """(1, C, F, h, w)."""
        return rng.normal(shape, self.config.seed, "interpolate-keys", *stream, self.number)[None]
