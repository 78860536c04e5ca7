"""An autoencoder of single frames as streams: the frames are cut into chunks of one size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mindspore import Tensor, nn

from mindlong.networks.vae.cell import AutoencoderKL, Decode, Encode
from mindlong.ops.graph_cache.calls import call
from mindlong.ops.precision import set_types
from mindlong.utils.errors import ConfigError


class Chunks:
    """Runs a cell on `size` rows at a time; the last chunk is filled up, so that one compiled graph
    serves all.
    """

    def __init__(self, cell: nn.Cell, size: int) -> None:
        self.cell, self.size = cell, size
        self.waiting: np.ndarray | None = None

    def feed(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows (n, ...) -> chunks that are full."""
        rows = np.asarray(rows, np.float32)
        rows = rows if self.waiting is None else np.concatenate([self.waiting, rows])
        full = len(rows) - len(rows) % self.size
        self.waiting = rows[full:]
        for start in range(0, full, self.size):
            yield self._run(rows[start : start + self.size])

    def close(self) -> Iterator[np.ndarray]:
        """The chunk that is not full, if there is one."""
        rest, self.waiting = self.waiting, None
        if rest is not None and len(rest):
            filled = np.concatenate([rest, np.repeat(rest[-1:], self.size - len(rest), 0)])
            yield self._run(filled)[: len(rest)]

    def _run(self, rows: np.ndarray) -> np.ndarray:
        return call(self.cell, Tensor(np.ascontiguousarray(rows))).asnumpy()


class FrameStreams:
    """See `mindlong.networks.streams.Streams`.

    Raises:
        ConfigError: a chunk below one frame.
    """

    def __init__(self, vae: AutoencoderKL, dtype: str = "float32", chunk: int = 1) -> None:
        if chunk < 1:
            raise ConfigError(f"chunk is {chunk}; it must be at least 1 frame.")
        if dtype != "float32":
            set_types(vae, dtype)
        self.encode, self.decode = Encode(vae), Decode(vae)
        self.chunk = chunk

    def encoding(self, frames: int) -> Chunks:
        """See `Streams.encoding`."""
        return Chunks(self.encode.set_train(False), min(self.chunk, frames))

    def decoding(self, latents: int) -> Chunks:
        """See `Streams.decoding`."""
        return Chunks(self.decode.set_train(False), min(self.chunk, latents))
