"""Text to video in latents: prompts in, latents out, whichever latent family the UNet is of.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.

Legend: B videos, C channels of a latent, F frames, h w latent pixels, S tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import guided, guided_batched, scale_of
from mindlong.diffusion.sample import rule_of, sample
from mindlong.diffusion.samplers.flavours import told_of
from mindlong.pipelines.text_to_video.windowed import windowed
from mindlong.pipelines.wording import states_of_rows
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.clips import Clip
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.plans.contexts import Contexts


class TextToVideo:
    """A latent model with the way to sample from it.

    Args:
        model: the networks.
        sample: the `sample` section of a configuration.
        negative: what guidance leads away from.
        two_passes: guidance asks the network twice a step rather than once with twice the rows.
        fps: for a UNet that is conditioned on it.
        curve: of guidance over the steps, of mindlong.diffusion.guidance.CURVES.
        noising: the part of the noising process to go through where it is not all of the model's.
        contexts: the network is asked for windows of the video.
    """

    def __init__(
        self,
        model: LatentModel,
        sample: Any,
        *,
        negative: str = "",
        two_passes: bool = False,
        fps: float = 8,
        noising: Noising | None = None,
        curve: str = "constant",
        contexts: Contexts | None = None,
    ) -> None:
        self.contexts = contexts
        self.curve = curve
        self.model, self.sample, self.noising = model, sample, noising or model.noising
        self.negative, self.two_passes, self.fps = negative, two_passes, fps

    def latents(
        self,
        clips: Sequence[Clip],
        x_T: np.ndarray,
        callback: Callback | None = None,
        model: Model | None = None,
        *,
        pure_noise: bool = True,
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips`, denoised together from `x_T` of the same shape,
        by the network under guidance or by the `model` given. `pure_noise` as for
        `mindlong.diffusion.sample.sample`.
        """
        model = model or self.guided(self.context(clips, x_T.shape[2]), x_T.shape[2])

        def noise(step: int) -> np.ndarray:
            return np.stack(
                [
                    rng.normal(x_T.shape[1:], clip.seed, "sample-step", step, clip.number)
                    for clip in clips
                ]
            )

        return sample(
            self.sample,
            model,
            x_T,
            self.noising,
            noise=noise,
            callback=callback,
            rows=[Row(clip.name) for clip in clips],
            pure_noise=pure_noise,
        )

    def context(self, clips: Sequence[Clip], frames: int) -> np.ndarray:
        """The prompts' vectors: (B, S, D), or (B, F, S, D) where a clip has a prompt for each
        frame.
        """
        if all(len(clip.prompts) == 1 and not clip.shares for clip in clips):
            return self.model.encode_text([clip.prompts[0] for clip in clips])
        return np.stack([self._of_frames(clip, frames) for clip in clips])

    def _of_frames(self, clip: Clip, frames: int) -> np.ndarray:
        """(F, S, D)."""
        if not clip.shares:
            return self.model.encode_text(clip.prompts * (frames // len(clip.prompts)))
        return states_of_rows(clip.shares, self.model.encode_text)

    def guided(self, context: np.ndarray, frames: int = 0) -> Model:
        """The network under guidance, for a sampler; `frames` of the latents, where it is asked for
        windows.
        """
        scale, rescale = self.sample.guidance, self.sample.rescale
        if self.model.told:
            return self._asked(context, frames, told_of(self.sample.flavour, scale))
        if scale == 1:
            return self._asked(context, frames)
        if self.curve != "constant":
            scale = scale_of(self.curve, scale, rule_of(self.sample, self.noising).times)
        null = self.model.null_text(self.negative, context)
        if self.two_passes:
            return guided(self._asked(context, frames), self._asked(null, frames), scale, rescale)
        both = np.concatenate([null, context])
        return guided_batched(self._asked(both, frames), scale, rescale)

    def _asked(self, context: np.ndarray, frames: int, guidance: float | None = None) -> Model:
        """The network with its conditions inside: of the whole video, or window by window."""
        if self.contexts is None:
            return self.model.denoiser(context, self.fps, guidance)

        def ask(x: np.ndarray, t: np.ndarray, mine: np.ndarray) -> np.ndarray:
            return self.model.denoiser(mine, self.fps, guidance)(x, t)

        times = rule_of(self.sample, self.noising).times
        return windowed(ask, self.contexts, frames, times, context)
