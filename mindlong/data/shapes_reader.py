"""Reads a clip of the shapes world back: which shape, which colour, where in every frame, which
way, and how sure that is.

Plain vision, no learning, no look at the caption. It is made for imperfect clips (generated, noisy,
blurred, compressed) and it can say no: nothing there, two things, a thing that changes its outline,
comes and goes, or jumps. Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from mindlong.data.shapes import COLOURS, MOTIONS, SHAPES, parse_caption
from mindlong.data.shapes_fit import Evidence, Fit, find, fit
from mindlong.utils.errors import ConfigError

SURE = 0.5  # confidence from which a reading counts
FOUR = ("left", "right", "up", "down")
WORK_SIDE = 96  # larger frames are shrunk first


@dataclass(frozen=True)
class Reading:
    """What was read. Names are None where nothing could be read; positions are (x, y) pixels, NaN
    where nothing was seen.

    `confidence` in [0, 1] is the least of `parts` (shape, colour, fit; motion is kept apart, a
    still thing has none). `steady`: one and the same object in all frames; `problems` says why not.
    """

    shape: str | None
    colour: str | None
    motion: str | None
    confidence: float
    motion_confidence: float
    steady: bool
    position_F2: np.ndarray
    radius_F: np.ndarray
    problems: tuple[str, ...] = ()
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def sure(self) -> bool:
        """Shape and colour are to be believed."""
        return self.confidence >= SURE

    @property
    def believed(self) -> Reading:
        """The same, taken for sure."""
        return replace(self, confidence=1.0, motion_confidence=1.0)

    @property
    def names(self) -> tuple[tuple[str | None, str | None], ...]:
        """Shape and colour, of the one object that there is."""
        return ((self.shape, self.colour),)

    def agrees(self, caption: str) -> dict[str, bool]:
        """For shape, colour, motion: read with confidence, and as `caption` says."""
        shape, colour, motion = parse_caption(caption)
        moved = self.sure and self.motion_confidence >= SURE
        return {
            "shape": self.sure and self.shape == shape,
            "colour": self.sure and self.colour == colour,
            "motion": moved and self.motion == motion,
        }


def read(
    frames_FHWC: np.ndarray,
    shapes: tuple[str, ...] = SHAPES,
    colours: tuple[str, ...] = tuple(COLOURS),
    motions: tuple[str, ...] = FOUR,
) -> Reading:
    """Read uint8 frames (F, H, W, 3). The names to choose from should be those of the world asked
    about.

    Raises ConfigError if the frames are not such an array or smaller than 12 pixels.
    """
    frames, scale = prepared(frames_FHWC)
    evidence = find(frames)
    if not evidence.present_F.any():
        return _nothing(len(frames))
    there = evidence.present_F
    seen_C = np.median(evidence.colour_FC[there], axis=0)
    colour, colour_sure = _colour(seen_C, evidence.background_HWC.mean((0, 1)), colours)
    fitted = fit(evidence, seen_C, shapes)
    best, shape_sure, fit_sure = _shape(fitted)
    centre = np.where(there[:, None], fitted.centre_KF2[best], np.nan)
    radius = np.where(there, fitted.radius_KF[best], np.nan)
    motion, motion_sure = _motion(centre, float(np.nanmedian(radius)), motions)
    problems = tuple(_problems(evidence, fitted, best, centre, radius, seen_C))
    parts = {"shape": shape_sure, "colour": colour_sure, "fit": fit_sure, **_seen(evidence)}
    return Reading(
        shapes[best],
        colour,
        motion,
        min(parts.values()),
        motion_sure,
        not problems,
        (centre + 0.5) * scale - 0.5,
        radius * scale,
        problems,
        parts,
    )


def _seen(evidence: Evidence) -> dict[str, float]:
    """How sure it is that there is one thing alone, and in every frame."""
    there = evidence.present_F
    alone = float(np.clip(1.5 - 2 * (evidence.parts_F[there] > 1).mean(), 0, 1))
    return {"alone": alone, "seen": float(there.mean())}


def prepared(frames_FHWC: np.ndarray) -> tuple[np.ndarray, float]:
    """(float32 frames in [0, 1], pixels of the original a pixel of theirs)."""
    frames = np.asarray(frames_FHWC)
    if (
        frames.ndim != 4
        or frames.shape[-1] != 3
        or frames.dtype != np.uint8
        or min(frames.shape[:3]) < 1
    ):
        raise ConfigError(
            f"frames of shape {frames.shape}, dtype {frames.dtype} cannot be read; "
            "uint8 (F, H, W, 3) is needed"
        )
    if min(frames.shape[1:3]) < 12:
        raise ConfigError(
            f"frames of {frames.shape[1]}x{frames.shape[2]} are too small to be read; 12 is the least"
        )
    scale = max(1.0, min(frames.shape[1:3]) / WORK_SIDE)
    if scale > 1:
        side = tuple(int(round(n / scale)) for n in frames.shape[2:0:-1])
        frames = np.stack([cv2.resize(f, side, interpolation=cv2.INTER_AREA) for f in frames])
    return frames.astype(np.float32) / 255.0, scale


def _nothing(frames: int) -> Reading:
    nan = np.full((frames, 2), np.nan)
    return Reading(None, None, None, 0.0, 0.0, False, nan, nan[:, 0], ("nothing stands out",))


def _colour(
    seen_C: np.ndarray, ground_C: np.ndarray, colours: tuple[str, ...]
) -> tuple[str, float]:
    """The nearest named colour, allowing for a thing that is a little faded into the background;
    and how sure.
    """
    named = np.array([COLOURS[name] for name in colours], np.float32) / 255
    towards = named - ground_C
    share = np.clip(((seen_C - ground_C) * towards).sum(1) / (towards**2).sum(1), 0.6, 1.1)
    far = np.linalg.norm(ground_C + share[:, None] * towards - seen_C, axis=1)
    order = np.argsort(far)
    second = far[order[1]] if len(order) > 1 else 0.5
    nearer, near = 1 - far[order[0]] / max(second, 1e-6), 2 - far[order[0]] / 0.15
    return colours[order[0]], float(np.clip(nearer, 0, 1) * np.clip(near, 0, 1))


def _shape(fitted: Fit) -> tuple[int, float, float]:
    """(best outline, how sure it is the right one, how sure it is one of them at all)."""
    energy, noise = fitted.energy_F.sum(), fitted.noise * fitted.area * len(fitted.energy_F)
    error_K = fitted.error_KF.sum(1)
    best = int(error_K.argmin())
    left = max(error_K[best] - noise, 0) / (energy + noise)
    apart_K = ((fitted.drawn_KFNN - fitted.drawn_KFNN[best]) ** 2).sum((1, 2, 3))
    # 1 where the pixels are the best outline's own, 0 where they lie midway between it and another
    # one
    pure_K = (error_K - error_K[best]) / (apart_K + 0.005 * energy)
    pure_K[best] = 1.0
    by_chance_K = 2 * np.sqrt(fitted.noise * apart_K) + 1e-3
    beyond_chance = np.delete((error_K - error_K[best]) / by_chance_K, best).min(initial=np.inf) / 6
    return (
        best,
        float(np.clip(min(2 * pure_K.min() - 0.2, beyond_chance), 0, 1)),
        float(np.clip(2 - left / 0.06, 0, 1)),
    )


def _motion(
    centre_F2: np.ndarray, radius: float, motions: tuple[str, ...]
) -> tuple[str | None, float]:
    """The direction at the beginning, from the longest straight beginning of the path."""
    times = np.flatnonzero(~np.isnan(centre_F2[:, 0]))
    places = centre_F2[times]
    for count in range(len(times), 1, -1):
        t = times[:count] - times[:count].mean()
        mean = places[:count].mean(0)
        velocity = (t[:, None] * (places[:count] - mean)).sum(0) / (t**2).sum()
        bent = np.abs(places[:count] - mean - t[:, None] * velocity).max()
        if bent < 0.4 + 0.06 * radius or count <= 3:
            break
    else:
        return None, 0.0
    travel = float(np.hypot(*velocity)) * (times[count - 1] - times[0])
    if travel < 0.2 * radius + 0.5:
        return None, 0.0
    along = np.array([np.dot(MOTIONS[m], velocity) for m in motions]) / np.hypot(*velocity)
    order = np.argsort(-along)
    gap = along[order[0]] - (along[order[1]] if len(order) > 1 else -1)
    return motions[order[0]], float(
        np.clip(2.5 * gap, 0, 1) * np.clip(3 * along[order[0]] - 1.2, 0, 1)
    )


def _problems(
    evidence: Evidence,
    fitted: Fit,
    best: int,
    centre_F2: np.ndarray,
    radius_F: np.ndarray,
    seen_C: np.ndarray,
) -> Iterator[str]:
    """Sentences on why this is not one and the same object in all frames."""
    there = evidence.present_F
    if not there.all():
        yield f"nothing is seen in {(~there).sum()} of {len(there)} frames"
    if (evidence.parts_F[there] > 1).any():
        yield f"several things are seen in {(evidence.parts_F[there] > 1).sum()} frames"
    other = there & _another_outline(fitted, best)
    if other.any():
        yield f"another outline fits better in {other.sum()} frames"
    left = (fitted.error_KF[best] - fitted.noise * fitted.area) / np.maximum(fitted.energy_F, 1e-6)
    if (there & (left > 0.15)).any():
        yield f"no outline fits in {(there & (left > 0.15)).sum()} frames"
    strength = fitted.amplitude_KF[best][there]
    if strength.min() < 0.7 or strength.max() > 1.35:
        yield "the object fades or flares"
    drift = np.linalg.norm(evidence.colour_FC[there] - seen_C, axis=1)
    if drift.max() > 0.2:
        yield "the object's colour changes"
    if np.abs(evidence.offset_FC).max() > 0.12:
        yield "the background flickers"
    _, height, width = evidence.mask_FHW.shape
    yield from _jumps(centre_F2[there], radius_F[there], (height, width))


def _another_outline(fitted: Fit, best: int) -> np.ndarray:
    """(F,) bool: the pixels lie clearly nearer to another outline than to `best`, and not by
    chance.
    """
    gain_KF = fitted.error_KF[best] - fitted.error_KF
    apart_KF = ((fitted.drawn_KFNN - fitted.drawn_KFNN[best]) ** 2).sum((2, 3))
    chance_KF = 2 * np.sqrt(fitted.noise * apart_KF)
    return (
        (gain_KF > 0.4 * apart_KF) & (gain_KF > 3 * chance_KF) & (gain_KF > 0.01 * fitted.energy_F)
    ).any(0)


def _jumps(centre_F2: np.ndarray, radius_F: np.ndarray, size: tuple[int, int]) -> Iterator[str]:
    if len(centre_F2) < 2:
        return
    typical = float(np.median(radius_F))
    steps = np.linalg.norm(np.diff(centre_F2, axis=0), axis=1)
    if steps.max() > 2.0 * np.median(steps) + 0.35 * typical + 0.5:
        yield "the object jumps"
    if _turns_midway(centre_F2, radius_F, size):
        yield "the object turns round away from the border"
    growth = np.abs(np.diff(np.log(radius_F)))
    if growth.max() > 0.25 + 0.3 / typical:
        yield "the object's size jumps"


def _turns_midway(centre_F2: np.ndarray, radius_F: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a coordinate swings back, by more than jitter, where no border is near or sooner than
    it could cross.
    """
    steps = np.diff(centre_F2, axis=0)
    before, after = np.abs(steps[:-1]), np.abs(steps[1:])
    swings = (steps[:-1] * steps[1:] < 0) & (
        np.minimum(before, after) > 0.15 * np.median(radius_F) + 0.2
    )
    usual = np.median(np.abs(steps), axis=0)
    reach = (
        1.4 * radius_F.max() ** 2 / radius_F.min()
    )  # the border is met at the largest size, seen or not
    extent = np.array(size[::-1]) - 1
    midway = np.minimum(centre_F2, extent - centre_F2)[1:-1] > reach + 1.5 * usual + 1
    crossing = 0.7 * (extent - 2 * reach) / (usual + 1e-6) - 1
    gaps = [min(np.diff(np.flatnonzero(axis)), default=np.inf) for axis in swings.T]
    return bool((swings & midway).any() or (np.array(gaps) < crossing).any())
