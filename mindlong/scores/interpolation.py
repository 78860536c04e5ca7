"""How good frames made between kept ones are: keep every n-th frame, make the rest, compare them
with what was there.

Legend: F frames, H W pixels, C channels; frames uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.film_reader import FilmReading, read_film
from mindlong.data.film_truth import FilmClip
from mindlong.data.shapes import Clip
from mindlong.data.shapes_reader import Reading, read
from mindlong.utils.errors import ConfigError

Fill = Callable[
    [np.ndarray], Iterable[np.ndarray]
]  # kept frames (K, H, W, C) -> all frames, the kept ones among them


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images; 100 for equal ones."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return min(100.0, 10 * np.log10(255.0**2 / error)) if error else 100.0


def ssim(a_HWC: np.ndarray, b_HWC: np.ndarray) -> float:
    """Structural similarity of the luminances (Wang et al., 2004): Gaussian window of 11 pixels,
    deviation 1.5.
    """
    a, b = (
        cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY).astype(np.float64)
        for f in (a_HWC, b_HWC)
    )

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101)

    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * ma * mb + c1) * (2 * both + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return float(similar[5:-5, 5:-5].mean() if min(a.shape) > 20 else similar.mean())


@dataclass(frozen=True)
class Score:
    """Means over the frames that were made (not the kept ones), and how many."""

    psnr: float
    ssim: float
    frames: int


def score(truth: Iterable[np.ndarray], made: Iterable[np.ndarray], every: int) -> Score:
    """Compare frame by frame, leaving out every `every`-th, which was kept; frames are read one at
    a time.

    Raises:
        ConfigError: nothing to compare.
    """
    pairs = [
        (psnr(a, b), ssim(a, b))
        for i, (a, b) in enumerate(zip(truth, made, strict=False))
        if i % every
    ]
    if not pairs:
        raise ConfigError(
            f"every is {every}: no frame lies between two kept ones, so there is nothing to compare"
        )
    means = np.mean(pairs, axis=0)
    return Score(float(means[0]), float(means[1]), len(pairs))


def usable(frames: int, every: int) -> int:
    """Frames up to the last kept one: the longest part of a clip that begins and ends with a kept
    frame.
    """
    return (frames - 1) // every * every + 1


@dataclass(frozen=True)
class ShapeScore:
    """What the shapes reader says of an interpolated clip.

    Attributes:
        position: mean distance, in pixels, of the object from its true place in the frames made;
            NaN where it was never seen there.
        lost: share of the frames made in which nothing was seen.
        steady: one and the same object in all frames.
        right: shape and colour are read, surely, as the caption says.
        smoothness: mean length of the second difference of the position over all frames, pixels;
            the truth's own is taken off, so 0 is as smooth as the truth.
    """

    position: float
    lost: float
    steady: bool
    right: bool
    smoothness: float


def score_shapes(clip: Clip | FilmClip, made_FHWC: np.ndarray, every: int) -> ShapeScore:
    """Read `made_FHWC` and compare it with the truth behind `clip`, at the frames made; of a film
    every object, each found by its colour, in the image.
    """
    film = isinstance(clip, FilmClip)
    reading = read_film(made_FHWC) if film else read(made_FHWC)
    paths = list(_paths(clip, reading, len(made_FHWC)))
    between = np.arange(len(made_FHWC)) % every > 0
    far = np.concatenate(
        [np.linalg.norm(path - truth, axis=1)[between & shown] for path, truth, shown in paths]
    )
    seen = ~np.isnan(far)
    position = float(far[seen].mean()) if seen.any() else float("nan")
    agrees = reading.agrees(clip.caption)
    return ShapeScore(
        position,
        float(1 - seen.mean()),
        bool(reading.steady and reading.sure),
        bool(agrees["shape"] and agrees["colour"]),
        float(
            np.mean([_bend(path[~np.isnan(path[:, 0])]) - _bend(truth) for path, truth, _ in paths])
        ),
    )


def _paths(
    clip: Clip | FilmClip, reading: Reading | FilmReading, frames: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of every object: where it was read (F, 2), NaN where it was not; where it is (F, 2); bool
    (F,), where half of it can be seen at least.
    """
    if isinstance(clip, FilmClip) and isinstance(reading, FilmReading):
        for truth in clip.truth.objects:
            found = reading.of(truth.colour)
            lost = np.full((frames, 2), np.nan)
            path = lost if found is None else found.image_F2
            yield path, truth.where.image_F2[:frames], truth.visible_F[:frames] >= 0.5
    else:
        yield reading.position_F2, clip.truth.position_F2[:frames], np.ones(frames, bool)


def _bend(places_F2: np.ndarray) -> float:
    return (
        float(np.linalg.norm(np.diff(places_F2, 2, axis=0), axis=1).mean())
        if len(places_F2) > 2
        else 0.0
    )


def mean_shapes(scores: Sequence[ShapeScore]) -> dict[str, float]:
    """The means over clips."""
    if not scores:
        raise ConfigError("there are no clips to take a mean of")
    names = ("position", "lost", "steady", "right", "smoothness")
    return {name: float(np.nanmean([float(getattr(s, name)) for s in scores])) for name in names}


def kept(frames: Iterable[np.ndarray], every: int) -> Iterator[np.ndarray]:
    """Every `every`-th frame, from the first."""
    return (frame for i, frame in enumerate(frames) if i % every == 0)
