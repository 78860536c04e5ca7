"""Latents of a set of clips, made once and kept on disk: training reads them instead of running the
autoencoder.

A folder holds `moments.npy` (N, 2L, F, h, w) float16, mean and log variance stacked on channels,
`captions.json`, and `state.json` with what the latents belong to and how many clips are done.
Making goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from mindlong.data.source import Source, to_network
from mindlong.utils import atomic, rng, system
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.progress import bar

EncodeFrames = Callable[[np.ndarray], np.ndarray]
SAVE_EVERY = 64  # clips
FILES = ("moments.npy", "captions.json", "moments.tmp.npy")


class LatentCache:
    """The latents of `count` clips.

    Args:
        folder: made if it is not there; processes that share it wait for the one that fills it.
        source: where the clips come from; clip i of the cache is sample i.
        encode: images (F, C, H, W) float32 in [-1, 1] -> moments (F, 2L, h, w).
        key: what the latents depend on; a folder made with another key is refused.
        older: keys that earlier versions gave the same latents.

    Raises:
        ConfigError: the folder holds latents of something else, or files that are no latents.
        InputFileError: the folder is damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        source: Source,
        count: int,
        encode: EncodeFrames,
        key: str,
        older: Sequence[str] = (),
    ) -> None:
        self.folder, self.source, self.count = Path(folder), source, count
        self.key, self.older = key, older
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder):
            done = self._done()
            if done < count:
                self._fill(done, encode)
        self.moments = self._array("r", count)
        self.captions = self._captions(count)
        self._means: dict[str, np.ndarray] = {}

    def row(self, index: int, seed: int) -> int:
        """Which clip sample `index` is: every clip once before any comes again, in an order that
        changes each round.
        """
        turn, place = divmod(index, self.count)
        return int(rng.generator(seed, "latent-order", turn).permutation(self.count)[place])

    def latent(self, row: int, noise: np.ndarray) -> np.ndarray:
        """A latent of clip `row` drawn with `noise`: float32 (L, F, h, w), not yet scaled."""
        mean, logvar = np.split(np.asarray(self.moments[row], np.float32), 2)
        return mean + np.exp(0.5 * logvar) * noise

    @property
    def shape(self) -> tuple[int, ...]:
        """(L, F, h, w) of one latent."""
        channels, *rest = self.moments.shape[1:]
        return channels // 2, *rest

    def mean_of_caption(self, caption: str) -> np.ndarray:
        """The mean latent (L, F, h, w) float32 of all clips with this caption."""
        if caption not in self._means:
            rows = [i for i, text in enumerate(self.captions) if text == caption]
            means = np.asarray(self.moments[rows], np.float32)
            self._means[caption] = means[:, : means.shape[1] // 2].mean(0)
        return self._means[caption]

    def deviation(self, clips: int = 64) -> float:
        """Standard deviation of the latents' means; 1 over it is the scaling that a UNet wants."""
        part = np.asarray(self.moments[:clips], np.float32)
        return float(part[:, : part.shape[1] // 2].std())

    def _done(self) -> int:
        file = self.folder / "state.json"
        if not file.is_file():
            self._begin()
            return 0
        with self._whole(file.name):
            state = json.loads(file.read_text())
            done, key = int(state["done"]), state["key"]
        if key not in (self.key, *self.older):
            raise ConfigError(
                f"latents.cache: {self.folder} holds latents of other clips or of another autoencoder; "
                "give another folder"
            )
        return done

    def _begin(self) -> None:
        """Say whose the folder is before anything is written; files of others are left alone."""
        foreign = [name for name in FILES if (self.folder / name).exists()]
        if foreign:
            raise ConfigError(
                f"latents.cache: {self.folder} holds {foreign[0]} and no state.json that says what it is; "
                "give another folder"
            )
        self._save(0, [])

    def _fill(self, done: int, encode: EncodeFrames) -> None:
        captions = self._captions(done)[:done] if done else []
        moments = None
        with bar(self.count, "encoding clips", initial=done, unit="clip") as progress:
            for i in range(done, self.count):
                clip = self.source.sample(i)
                found = encode(to_network(clip.frames_FHWC[None])[0].transpose(1, 0, 2, 3))
                if moments is None:
                    moments = self._file((self.count, *np.swapaxes(found, 0, 1).shape), done)
                moments[i] = np.swapaxes(found, 0, 1)
                captions.append(clip.caption)
                progress.update(1)
                if (i + 1) % SAVE_EVERY == 0 or i + 1 == self.count:
                    moments.flush()
                    self._save(i + 1, captions)

    def _file(self, shape: tuple[int, ...], done: int) -> np.memmap:
        """The array on disk, opened for writing; one of fewer clips is copied into a longer one."""
        path, aside = self.folder / "moments.npy", self.folder / "moments.tmp.npy"
        if done and (old := self._array("r+", done)).shape == shape:
            _reserve(path)
            return old
        with system.explained(aside):
            fresh = np.lib.format.open_memmap(aside, "w+", np.float16, shape)
        _reserve(aside)
        if done:
            fresh[:done] = old[:done]
            fresh.flush()
        aside.replace(path)
        return fresh

    def _array(self, mode: Literal["r", "r+"], least: int) -> np.memmap:
        """moments.npy, of at least so many clips."""
        with self._whole("moments.npy"):
            file = self.folder / "moments.npy"
            found = np.load(file, mmap_mode="r")  # "r+" would make a file that was cut whole again
            if found.ndim != 5 or len(found) < least:
                raise ValueError("clips are missing")
            return np.load(file, mmap_mode=mode) if mode != "r" else found

    def _captions(self, least: int) -> list[str]:
        """captions.json, of at least so many clips."""
        with self._whole("captions.json"):
            found = json.loads((self.folder / "captions.json").read_text())
            if not all(isinstance(text, str) for text in found) or len(found) < least:
                raise ValueError("captions are missing")
        return found

    @contextmanager
    def _whole(self, name: str) -> Iterator[None]:
        """What cannot be read inside is a damaged file of that name. Raises InputFileError."""
        try:
            yield
        except (ValueError, KeyError, TypeError, EOFError, FileNotFoundError) as error:
            raise InputFileError(
                f"latents.cache: {self.folder / name} is damaged ({error}); remove the folder, it is made again"
            ) from None

    def _save(self, done: int, captions: list[str]) -> None:
        atomic.write_text(self.folder / "captions.json", json.dumps(captions))
        atomic.write_text(self.folder / "state.json", json.dumps({"done": done, "key": self.key}))


def _reserve(path: Path) -> None:
    """Have all of a file on the disk before it is written to through the memory: where that runs
    full later, the system ends the process without a word. Raises SystemFault.
    """
    with system.explained(path), path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
