"""Training AutoencoderKL on frames: the first stage of the latent families (arXiv 2112.10752,
without the adversarial part).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, nn, ops

from mindlong.checkpoints.start import read_start, start_of
from mindlong.data.source import Source, to_frames, to_network
from mindlong.media.sheet import write_contact_sheet
from mindlong.networks.init import initialise
from mindlong.networks.streams import decode_frames, encode_frames
from mindlong.networks.unet.rows import fold
from mindlong.networks.vae.cell import AutoencoderKL, kl_divergence
from mindlong.networks.vae.streams_cell import FrameStreams
from mindlong.training.begin import begin_with
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

HELD_OUT = 1 << 40  # sample numbers that no training reaches
PICTURES = 8  # in a preview


class AutoencoderLoss(nn.Cell):
    """Mean squared error of the reconstruction, and `kl` times the mean divergence of a latent
    number from N(0, 1).
    """

    def __init__(self, network: AutoencoderKL, kl: float) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.kl = network, kl

    def construct(self, x_BCFHW: Tensor, noise_BLFhw: Tensor) -> Tensor:
        """Frames in [-1, 1] and standard normal noise -> float32 scalar."""
        x_NCHW = fold(x_BCFHW)
        again, mean, logvar = self.network(x_NCHW, fold(noise_BLFhw))
        numbers = mean.size // mean.shape[0]
        return (
            ops.square(again - x_NCHW).mean()
            + self.kl * kl_divergence(mean, logvar).mean() / numbers
        )


class AutoencoderTask:
    """What the trainer needs to know of an autoencoder; a sample is a clip, all its frames are
    images.

    Attributes:
        network: the autoencoder.
        loss: cell with construct(x, noise) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.config, self.source, self.spec = config, source, config.model.spec()
        self.network = AutoencoderKL(self.spec)
        initialise(self.network, config.train.seed)
        if start_of(config):
            part = read_start(config, "vae")
            begin_with(self.network, {name: lazy.read() for name, lazy in part.arrays.items()})
        self.loss = AutoencoderLoss(self.network, config.autoencoder.kl)

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Frames (B, C, F, H, W) and the noise of their latents for `samples` (global numbers)."""
        video = to_network(np.stack([self.source.sample(index).frames_FHWC for index in samples]))
        frames, height, width = video.shape[2:]
        latent = (
            self.spec.latent_channels,
            frames,
            height // self.spec.factor,
            width // self.spec.factor,
        )
        return video, rng.normal_rows(list(samples), latent, self.config.train.seed, "posterior")

    def preview(self, step: int, folder: Path) -> list[Path]:
        """Held-out images above their reconstructions, and their PSNR in the name of the log."""
        pictures = self._held_out(PICTURES)
        again = self._reconstruct(to_network(pictures)[:, :, 0])
        sheet = folder / f"step-{step:08d}.png"
        rows = [np.stack([a, b]) for a, b in zip(pictures[:, 0], again[:, 0], strict=True)]
        write_contact_sheet(sheet, rows, [f"{psnr(a, b):.1f} dB" for a, b in rows])
        self.network.set_train(True)
        return [sheet]

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        s = self.spec
        return [
            self.source.describe(),
            f"autoencoder: {s.factor} x {s.factor} pixels to {s.latent_channels} numbers",
        ]

    def _held_out(self, count: int) -> np.ndarray:
        return np.stack([self.source.sample(HELD_OUT + i).frames_FHWC[:1] for i in range(count)])

    def _reconstruct(self, x_NCHW: np.ndarray) -> np.ndarray:
        self.network.set_train(False)
        streams, scaling = FrameStreams(self.network, chunk=len(x_NCHW)), self.spec.scaling
        z = encode_frames(streams, x_NCHW, scaling)
        (pictures,) = decode_frames(streams, z, scaling)
        return to_frames(pictures[:, :, None])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio of two uint8 arrays in decibels; infinite where they are equal."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255.0**2 / error)) if error else float("inf")
