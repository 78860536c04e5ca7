"""How much of a picture an autoencoder gives back, and how wide its latents spread. Axes: N
images, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mindlong.data.source import to_frames, to_network
from mindlong.networks.streams import Streams, decode_frames, encode_frames
from mindlong.scores.interpolation import ssim
from mindlong.utils.errors import ConfigError

SAME = 100.0  # dB


@dataclass(frozen=True)
class Fidelity:
    """Of all images together.

    Attributes:
        psnr: decibels of the mean squared error over all images, uint8 against uint8; 100 where
            they are equal.
        ssim: of the luminance, mean of the images.
        deviation: standard deviation of the latents' means, not scaled; 1 over it is what
            `latents.scaling` should be.
    """

    images: int
    psnr: float
    ssim: float
    deviation: float


def fidelity(
    streams: Streams, batches: Iterable[np.ndarray], name: str = "what is given"
) -> tuple[Fidelity, np.ndarray]:
    """The figures, and the first batch next to what became of it, uint8 (2, n, H, W, 3).

    Args:
        streams: of an autoencoder that makes a latent of each image.
        batches: uint8 (n, H, W, 3); the mean of the posterior is taken, nothing is drawn.
        name: of the images, for messages.

    Raises:
        ConfigError: there are no images.
    """
    errors: list[float] = []
    alike: list[float] = []
    latents = _Spread()
    first = None
    for pictures in batches:
        z_NLhw = encode_frames(streams, to_network(pictures[:, None])[:, :, 0], 1.0)
        again = _decoded(streams, z_NLhw)
        errors += [_error(a, b) for a, b in zip(pictures, again, strict=True)]
        alike += [ssim(a, b) for a, b in zip(pictures, again, strict=True)]
        latents.add(z_NLhw)
        first = np.stack([pictures, again]) if first is None else first
    if first is None:
        raise ConfigError(f"{name} has no images to measure an autoencoder by")
    mean = float(np.mean(errors))
    decibels = min(float(10 * np.log10(255.0**2 / mean)), SAME) if mean else SAME
    return Fidelity(len(errors), decibels, float(np.mean(alike)), latents.deviation), first


class _Spread:
    """The deviation of numbers that are not kept: the latents of a long video fill the memory."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """More of them."""
        precise = values.astype(np.float64)
        self.count += precise.size
        self.total += float(precise.sum())
        self.squares += float(np.square(precise).sum())

    @property
    def deviation(self) -> float:
        """Of all that were added."""
        mean = self.total / self.count
        return float(np.sqrt(max(self.squares / self.count - mean**2, 0.0)))


def _decoded(streams: Streams, z_NLhw: np.ndarray) -> np.ndarray:
    images = np.concatenate(list(decode_frames(streams, z_NLhw, 1.0)))
    return to_frames(images[:, :, None])[:, 0]


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(np.float64) - b).mean())
