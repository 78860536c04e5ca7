"""A latent network that is conditioned on images: their latents beside the noisy ones, and tokens
of the first image behind the prompt's.

Legend: B runs of a batch, C channels, F frames of a run, h w latent pixels, S tokens of a prompt, P
those of an image for a frame, T all of an image, D their width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.guidance import Model, guided, guided_by_image
from mindlong.pipelines.image_parts import taken
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.pipelines.latent_model import LatentModel


class ImageModel:
    """What runs ask of such a network.

    Args:
        latent: the networks.
        taken: what the network takes as its frame rate, of each level (the last for all below);
            empty: that of its run, as near as it was trained.

    Raises:
        ConfigError: the network reads no images.
    """

    control = None

    def __init__(self, latent: LatentModel, taken: Sequence[int] = ()) -> None:
        if latent.denoises.images is None:
            raise ConfigError(f"the network of the family {latent.family} reads no images")
        self.latent, self.images, self.rates = latent, latent.denoises.images, list(taken)

    def taken(self, fps: float, depth: int = 0) -> int:
        """What the network takes for a run of level `depth` at that rate."""
        return taken(self.images, self.rates, fps, depth)

    def denoiser(
        self,
        context: np.ndarray,
        fps: float,
        clean_BCFHW: np.ndarray,
        known_BF: np.ndarray,
        depth: int,
        image: bool = True,
        tokens_BTD: np.ndarray | None = None,
    ) -> Model:
        """A model for the samplers that knows the frames `known_BF` of `clean_BCFHW`.

        Args:
            context: of the prompts, (B, S, D) or (B, F, S, D).
            fps: of the run.
            image: false for the unconditional call: a grey image in the place of the first one.
                The latents beside are the same.
            tokens_BTD: of the first images; None: they are decoded from `clean_BCFHW`.

        Raises:
            ConfigError: the run does not know the frames that the network is conditioned on.
        """
        batch, _, frames = clean_BCFHW.shape[:3]
        beside = [self.beside(clean_BCFHW, known_BF)] if self.images.beside else []
        if not image:
            tokens_BTD = np.broadcast_to(null := self.latent.null_tokens(), (batch, *null.shape))
        elif tokens_BTD is None:
            tokens_BTD = np.stack([self._decoded(clean[:, :1]) for clean in clean_BCFHW])
        states = behind(context, tokens_BTD, frames, self.images.frames)
        rate = self.taken(fps, depth)

        def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            both = np.concatenate([x, *beside], axis=1).astype(np.float32)
            return self.latent.predict(both, t, states, rate)

        return model

    def beside(self, clean_BCFHW: np.ndarray, known_BF: np.ndarray) -> np.ndarray:
        """The latents that stand beside the noisy ones, shaped like `clean_BCFHW`."""
        check_known(self.images.given, known_BF)
        if self.images.given == "first":
            return np.broadcast_to(clean_BCFHW[:, :, :1], clean_BCFHW.shape)
        found = np.zeros_like(clean_BCFHW)
        found[:, :, [0, -1]] = clean_BCFHW[:, :, [0, -1]]
        return found

    def _decoded(self, latent_C1hw: np.ndarray) -> np.ndarray:
        """The tokens of a frame that is there as latents, (T, D)."""
        return self.latent.image_tokens(next(iter(self.latent.decode(latent_C1hw))))


def check_known(given: str, known_BF: np.ndarray) -> None:
    """Raise ConfigError where a run does not know what its network is conditioned on."""
    if not known_BF[:, 0].all():
        raise ConfigError("the network makes frames from a given first one, and a run knows none")
    if given == "ends" and not known_BF[:, -1].all():
        raise ConfigError(
            "the network makes what lies between two given frames, and a run knows only its first; "
            "give its last one too, or take a network that makes video from one image"
        )


def behind(context: np.ndarray, tokens_BTD: np.ndarray, frames: int, trained: int) -> np.ndarray:
    """An image's tokens behind a prompt's: (B, F, S + P, D) where the run has as many frames as the
    tokens are for, each frame with its own; else every frame reads all, as the original has it.
    """
    batch, count, width = tokens_BTD.shape
    if frames == trained:
        tokens = tokens_BTD.reshape(batch, frames, count // frames, width)
    elif context.ndim == 3:
        return np.concatenate([context, tokens_BTD], 1)
    else:
        tokens = np.broadcast_to(tokens_BTD[:, None], (batch, frames, count, width))
    if context.ndim == 3:
        context = np.broadcast_to(context[:, None], (batch, frames, *context.shape[1:]))
    return np.concatenate([context, tokens], 2)


def guided_model(
    conditioned: Callable[[np.ndarray, bool], Model],
    context: np.ndarray,
    null: Callable[[], np.ndarray],
    sample: Any,
    image_guidance: float = 0.0,
) -> Model:
    """A network of images under guidance.

    Args:
        conditioned: (states of prompts, with the image?) -> the network.
        null: gives the states of the unconditional call; asked for only if they are needed.
        sample: the `sample` section of a configuration.
        image_guidance: the scale of the image apart from the text's, by three calls a step; 0: text
            and image together have `sample.guidance`.
    """
    if sample.guidance == 1 and not image_guidance:
        return conditioned(context, True)
    empty = null()
    both, neither = conditioned(context, True), conditioned(empty, False)
    if not image_guidance:
        return guided(both, neither, sample.guidance, sample.rescale)
    alone = conditioned(empty, True)
    return guided_by_image(both, alone, neither, sample.guidance, image_guidance, sample.rescale)
