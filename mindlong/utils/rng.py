"""Random numbers that depend on names, not on history.

Every draw of the project comes from a Philox generator keyed by (seed, stream, index): `stream`
says what the numbers are for ("noise", "timestep", "init"), `index` which one (a step, a global
sample, a global frame). Nothing has to be saved to resume, and the number of processes or the size
of a batch cannot change a draw.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, stream: str, *index: int | str) -> np.random.Generator:
    """A fresh generator for (seed, stream, index). Equal arguments give equal numbers, on every
    machine.
    """
    text = "\x1f".join([str(int(seed)), stream, *map(str, index)])
    key = np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def normal(shape: tuple[int, ...], seed: int, stream: str, *index: int | str) -> np.ndarray:
    """Standard normal float32 numbers of `shape`."""
    return generator(seed, stream, *index).standard_normal(shape, dtype=np.float32)


def uniform(shape: tuple[int, ...], seed: int, stream: str, *index: int | str) -> np.ndarray:
    """float32 numbers in [0, 1) of `shape`."""
    return generator(seed, stream, *index).random(shape, dtype=np.float32)


def normal_rows(
    rows: list[int], shape: tuple[int, ...], seed: int, stream: str, *index: int | str
) -> np.ndarray:
    """(len(rows), *shape) float32: row i depends on rows[i] only, so splitting a batch over
    processes changes nothing.
    """
    return np.stack([normal(shape, seed, stream, *index, row) for row in rows])
