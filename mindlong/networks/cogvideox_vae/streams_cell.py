"""CogVideoX's autoencoder as streams: rows are gathered to the chunks that the model was published
with, and what the convolutions keep goes from chunk to chunk. The memory does not grow with the
video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor

from mindlong.networks.cogvideox_vae.spec import IMAGES, LATENTS, chunks
from mindlong.ops.graph_cache.calls import call
from mindlong.ops.precision import set_types

if TYPE_CHECKING:
    from mindlong.networks.cogvideox_vae.cell import Half, VideoVae


class CausalStream:
    """One video on its way through one half.

    Args:
        half: of the autoencoder.
        sizes: rows of each chunk.
        bounds: what it gives are moments, whose log variances are cut to -30..20.
    """

    def __init__(self, half: Half, sizes: Sequence[int], bounds: bool) -> None:
        self.half, self.sizes, self.bounds = half, list(sizes), bounds
        self.waiting: list[np.ndarray] = []
        self.kept: tuple[Tensor, ...] = ()

    def feed(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows (n, ...) -> what chunks that are full become."""
        self.waiting.extend(np.asarray(rows, np.float32))
        while self.sizes and len(self.waiting) >= self.sizes[0]:
            size = self.sizes.pop(0)
            chunk, self.waiting = self.waiting[:size], self.waiting[size:]
            yield self._run(np.stack(chunk))

    def close(self) -> Iterator[np.ndarray]:
        """Nothing: every chunk was full. Raises ValueError where rows were too few or too many."""
        if self.sizes or self.waiting:
            raise ValueError(
                f"a stream was closed that lacks {sum(self.sizes)} rows and has {len(self.waiting)} more"
            )
        self.kept = ()
        return iter(())

    def _run(self, rows: np.ndarray) -> np.ndarray:
        out, *kept = call(self.half, Tensor(rows), *self.kept)
        self.kept = tuple(kept)
        made = out.asnumpy()
        if self.bounds:
            mean, logvar = np.split(made, 2, axis=1)
            made = np.concatenate([mean, np.clip(logvar, -30.0, 20.0)], axis=1)
        return made


class CausalStreams:
    """See `mindlong.networks.streams.Streams`. `chunk` is not read: chunks are the model's own."""

    def __init__(self, vae: VideoVae, dtype: str = "float32", chunk: int = 0) -> None:
        if dtype != "float32":
            set_types(vae, dtype)
        self.encoder, self.decoder = vae.encoder, vae.decoder

    def encoding(self, frames: int) -> CausalStream:
        """See `Streams.encoding`."""
        return CausalStream(self.encoder.set_train(False), chunks(frames, IMAGES), True)

    def decoding(self, latents: int) -> CausalStream:
        """See `Streams.decoding`."""
        return CausalStream(self.decoder.set_train(False), chunks(latents, LATENTS), False)
