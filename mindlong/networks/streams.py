"""Frames to latents and back as streams: opened, fed, closed.

An autoencoder may keep state from frame to frame, and make one latent of several frames. So nobody
hands it a video: a stream is opened for a number of frames, fed rows as they come, and closed; each
of these gives rows as soon as they are made. For an autoencoder of single frames
(`mindlong.networks.vae.streams_cell`) a stream only cuts the rows into chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from mindlong.diffusion.finite import Row, check_finite


class Stream(Protocol):
    """One video on its way through one half of an autoencoder."""

    def feed(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Take the next rows, float32 (n, ...), and give what can be made by now, float32."""

    def close(self) -> Iterator[np.ndarray]:
        """Give the rest; nothing is fed any more."""


class Streams(Protocol):
    """Both halves of an autoencoder: `Codec.streams` makes it of (cell, dtype, chunk).

    `chunk` is how many rows a user wants run at a time; an autoencoder that knows better says so.
    """

    def encoding(self, frames: int) -> Stream:
        """For a video of `frames` images (n, C, H, W) in [-1, 1]: gives mean and log variance of
        latents, stacked on channels (n, 2L, h, w), not scaled.
        """

    def decoding(self, latents: int) -> Stream:
        """For a video of `latents` latents (n, L, h, w), not scaled: gives images (n, C, H, W),
        about -1 to 1.
        """


def through(stream: Stream, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """What a stream makes of all `parts`, piece by piece."""
    for rows in parts:
        yield from stream.feed(rows)
    yield from stream.close()


def encode_frames(
    streams: Streams, x_NCHW: np.ndarray, scaling: float, noise: np.ndarray | None = None
) -> np.ndarray:
    """Latents of a video's images in [-1, 1], as a network sees them: float32 (n, L, h, w).

    Args:
        scaling: what latents are multiplied by.
        noise: standard normal, shaped like the latents: a sample of the posterior is taken. None:
            its mode.
    """
    moments = np.concatenate(list(through(streams.encoding(len(x_NCHW)), [x_NCHW])))
    mean, logvar = np.split(moments, 2, axis=1)
    if noise is not None:
        mean = mean + np.exp(0.5 * logvar) * noise
    return mean * np.float32(scaling)


def decode_frames(streams: Streams, z_NLhw: np.ndarray, scaling: float) -> Iterator[np.ndarray]:
    """Images (n, C, H, W) float32 of a video's latents as a network sees them, a part at a time, so
    that the whole video is never held.

    Raises:
        NotFiniteError: the autoencoder gives images with NaN or infinities; their frames are named.
    """
    rows, done = z_NLhw / np.float32(scaling), 0
    for images in through(streams.decoding(len(rows)), [rows]):
        names = [Row(f"frame {done + i}") for i in range(len(images))]
        check_finite(images, "What the autoencoder decodes", rows=names)
        done += len(images)
        yield images
