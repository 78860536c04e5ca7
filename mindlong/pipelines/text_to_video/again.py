"""A batch of videos sampled several times, each time from noise with the low frequencies of the
sample before (FreeInit).

Legend: B videos, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.free_init import low_pass, started_again, steps_of
from mindlong.diffusion.sample import count_steps
from mindlong.diffusion.shared_noise import share_low
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.clips import Clip


class Again:
    """Text to video, as often as the section `free_init` says.

    Args:
        shared_low: as of the first noise, `mindlong.diffusion.shared_noise.share_low`.

    Attributes:
        total: denoising steps of a batch, over all samplings.
    """

    def __init__(self, pipeline: Any, options: Any, shared_low: float = 0.0) -> None:
        self.pipeline, self.options, self.sample = pipeline, options, pipeline.sample
        self.shared_low = shared_low
        own = [self._sample(i) for i in range(options.iterations)]
        self.total = sum(count_steps(sample, pipeline.noising) for sample in own)

    def latents(
        self,
        clips: Sequence[Clip],
        x_T: np.ndarray,
        callback: Callback | None,
        *,
        pure_noise: bool,
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips`, the first time from `x_T`."""
        options, pipeline, x = self.options, self.pipeline, x_T
        for i in range(options.iterations):
            pipeline.sample = self._sample(i)
            made = pipeline.latents(clips, x, callback, pure_noise=pure_noise)
            if i + 1 < options.iterations:
                x = self._next(clips, made, x_T, i + 1)
        pipeline.sample = self.sample
        return made

    def _sample(self, iteration: int) -> Any:
        o, steps = self.options, self.sample.steps
        count = steps_of(steps, iteration, o.iterations, o.fast) if o.iterations > 1 else steps
        return self.sample if count == steps else replace(self.sample, steps=count)

    def _next(
        self, clips: Sequence[Clip], x0: np.ndarray, first: np.ndarray, iteration: int
    ) -> np.ndarray:
        o = self.options
        frames, height, width = first.shape[-3:]
        kept = low_pass((frames, height, width), o.method, o.order, o.space, o.time)
        fresh = np.stack([self._fresh(clip, first.shape[1:], iteration) for clip in clips])
        return started_again(x0, first, fresh, self.pipeline.noising.schedule, kept)

    def _fresh(self, clip: Clip, shape: tuple[int, ...], iteration: int) -> np.ndarray:
        noise = rng.normal(shape, clip.seed, "free-init", iteration, clip.number)
        return share_low(noise, self.shared_low, clip.seed, clip.number)
