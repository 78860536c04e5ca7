"""The seeing part of the shapes reader: where is the thing, and which drawn outline explains it
best.

Only pixels go in. The background is whatever does not stand out in colour, pooled over the frames;
what remains is turned into a coverage map, and every outline is fitted to that map (position, size,
blur) by Gauss-Newton steps. Axes: F frames, H, W pixels, C channels, K outlines, N the side of a
window around the thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mindlong.data.shapes_draw import coverage

AROUND = np.ones((5, 5), np.uint8)  # pixels beside a thing that are not background either
BLURS = (0.0, 0.6, 1.0, 1.5)  # Gaussian, pixels
STANDS_OUT = 0.16  # least distance of a thing's colour from the background's, grey taken out, of 1


@dataclass(frozen=True)
class Evidence:
    """What stands out in a clip, before anything is called a shape."""

    salience_FHW: np.ndarray  # colour distance from the background
    peak_F: np.ndarray  # its high mark in every frame
    mask_FHW: np.ndarray  # bool: the largest thing that stands out
    parts_F: np.ndarray  # how many things stand out
    background_HWC: np.ndarray
    offset_FC: np.ndarray  # brightness of the background against its mean
    colour_FC: np.ndarray  # of the thing's core; NaN where there is none
    frames_FHWC: np.ndarray  # float32 in [0, 1]

    @property
    def present_F(self) -> np.ndarray:
        """bool: something stands out in this frame."""
        return self.peak_F > STANDS_OUT


def find(frames_FHWC: np.ndarray) -> Evidence:
    """Split float32 frames in [0, 1] into background and the thing that stands out by its
    colour.
    """
    chroma = frames_FHWC - frames_FHWC.mean(-1, keepdims=True)
    chroma = np.stack([cv2.GaussianBlur(f, (0, 0), 0.8) for f in chroma])
    salience = np.linalg.norm(chroma - np.median(chroma, axis=(0, 1, 2)), axis=-1)
    peak_F = np.partition(salience.reshape(len(salience), -1), -5, axis=1)[:, -5]
    clip_peak = np.median(peak_F)
    out_FHW = salience > max(0.5 * clip_peak, 0.6 * STANDS_OUT)
    found = [_largest(mask) for mask in out_FHW]
    mask_FHW, parts_F = np.stack([m for m, _ in found]), np.array([n for _, n in found])
    background, offset = _background(
        frames_FHWC, salience > max(0.25 * clip_peak, 0.4 * STANDS_OUT)
    )
    core = mask_FHW & (salience > 0.8 * (salience * mask_FHW).max((1, 2), keepdims=True))
    colour = _masked_mean(frames_FHWC, core)
    colour[peak_F <= STANDS_OUT] = np.nan
    return Evidence(salience, peak_F, mask_FHW, parts_F, background, offset, colour, frames_FHWC)


def _largest(mask_HW: np.ndarray) -> tuple[np.ndarray, int]:
    """(its largest part, how many parts have at least a fifth of that area)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask_HW.astype(np.uint8), connectivity=8
    )
    if count == 1:
        return np.zeros_like(mask_HW), 0
    areas = stats[1:, cv2.CC_STAT_AREA]
    return labels == 1 + int(areas.argmax()), int((areas >= max(4, areas.max() / 5)).sum())


def _background(frames_FHWC: np.ndarray, thing_FHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(background (H, W, C), its brightness offset in every frame (F, C)); hidden pixels are filled
    from their neighbours.
    """
    near = np.stack([cv2.dilate(m.astype(np.uint8), AROUND) for m in thing_FHW])
    free = 1.0 - near.astype(np.float32)
    if free.mean() < 0.2:
        free = np.ones_like(free)
    level = _masked_mean(frames_FHWC, free)
    offset = level - level.mean(0)
    weight = free.sum(0)[..., None]
    total = ((frames_FHWC - offset[:, None, None]) * free[..., None]).sum(0)
    spread = max(2.0, min(total.shape[:2]) / 12)
    nearby = np.maximum(cv2.GaussianBlur(weight, (0, 0), spread), 1e-3)[..., None]
    smooth = cv2.GaussianBlur(total, (0, 0), spread) / nearby
    known = np.minimum(weight / 2, 1.0)
    return total / np.maximum(weight, 1) * known + smooth * (1 - known), offset


def _masked_mean(frames_FHWC: np.ndarray, weight_FHW: np.ndarray) -> np.ndarray:
    total = (frames_FHWC * weight_FHW[..., None]).sum((1, 2))
    return total / np.maximum(weight_FHW.sum((1, 2)), 1e-3)[:, None]


@dataclass(frozen=True)
class Fit:
    """The best placement of every outline in every frame."""

    error_KF: np.ndarray  # sum of squares left, in pixels
    energy_F: np.ndarray  # sum of squares to explain
    noise: float  # variance of the coverage map where there is nothing
    area: int  # pixels of a window
    centre_KF2: np.ndarray
    radius_KF: np.ndarray
    amplitude_KF: np.ndarray
    drawn_KFNN: np.ndarray
    blur: float


def fit(evidence: Evidence, colour_C: np.ndarray, shapes: tuple[str, ...]) -> Fit:
    """Fit every outline of `shapes` to the frames where something stands out (the other frames get
    zero energy).
    """
    cover = coverage_map(evidence, colour_C)
    far = ~cv2.dilate(evidence.mask_FHW.any(0).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(
        bool
    )
    rest = cover[:, far] if far.any() else cover.reshape(len(cover), -1)[:, :1]
    noise = max(_spread(rest), min(_inner_noise(cover, evidence.mask_FHW), 0.05))
    window, weight, corner, radius = _windows(cover, evidence)
    centre = _centroids(window * weight)
    trials = [_refine(window, weight, centre, radius, shapes, blur, steps=3) for blur in BLURS]
    best = min(range(len(BLURS)), key=lambda i: trials[i][0].sum(1).min())
    error, middle, radii, amplitude, drawn = trials[best]
    energy = (window**2 * weight).sum((1, 2))
    return Fit(
        error,
        energy,
        noise,
        window[0].size,
        middle + corner,
        radii,
        amplitude,
        drawn * weight,
        BLURS[best],
    )


def _inner_noise(cover_FHW: np.ndarray, mask_FHW: np.ndarray) -> float:
    """Variance inside the thing, slopes taken out: darkness hides the noise of the background,
    bright colours do not.
    """
    core = np.stack(
        [cv2.erode(m.astype(np.uint8), np.ones((5, 5), np.uint8)) for m in mask_FHW]
    ).astype(bool)
    rough = np.stack([c - cv2.blur(c, (3, 3)) for c in cover_FHW])[core]
    return _spread(rough) * 9 / 8 if rough.size > 20 else 0.0


def _spread(values: np.ndarray) -> float:
    """Variance, outliers left aside."""
    return float(np.median(np.abs(values)) * 1.4826) ** 2


def coverage_map(evidence: Evidence, colour_C: np.ndarray) -> np.ndarray:
    """(F, H, W): 0 background, 1 the thing's colour."""
    towards = colour_C - evidence.background_HWC
    rest = evidence.frames_FHWC - evidence.background_HWC - evidence.offset_FC[:, None, None]
    cover = (rest * towards).sum(-1) / np.maximum((towards**2).sum(-1), 0.02)
    return np.clip(cover, -0.5, 1.5).astype(np.float32)


def _windows(cover_FHW: np.ndarray, evidence: Evidence):
    """Cut a square around the thing: (window (F, N, N), weight (F, N, N), corner (F, 2) as x, y,
    radius (F,) from the area).
    """
    frames, height, width = cover_FHW.shape
    mask = evidence.mask_FHW & evidence.present_F[:, None, None]
    radius = np.sqrt(np.maximum(mask.sum((1, 2)), 1) / np.pi).astype(np.float32)
    half = int(np.ceil(1.7 * np.median(radius[evidence.present_F]) + 4))
    y, x = np.mgrid[:height, :width]
    total = np.maximum(mask.sum((1, 2)), 1)
    middle = np.rint(
        np.stack([(mask * x).sum((1, 2)) / total, (mask * y).sum((1, 2)) / total], 1)
    ).astype(int)
    corner = middle - half
    padded = np.pad(cover_FHW, ((0, 0), (half, half), (half, half)))
    inside = np.pad(np.ones((height, width), np.float32), half)
    cut = [np.s_[cy + half : cy + 3 * half + 1, cx + half : cx + 3 * half + 1] for cx, cy in corner]
    window = (
        np.stack([padded[f][cut[f]] for f in range(frames)]) * evidence.present_F[:, None, None]
    )
    return window, np.stack([inside[c] for c in cut]), corner.astype(np.float32), radius


def _centroids(window_FNN: np.ndarray) -> np.ndarray:
    """(F, 2) as x, y, of what is over a third."""
    solid = np.where(window_FNN > 0.33, window_FNN, 0)
    n = np.arange(window_FNN.shape[1], dtype=np.float32)
    total = solid.sum((1, 2)) + 1e-6
    return np.stack([(solid.sum(1) * n).sum(1) / total, (solid.sum(2) * n).sum(1) / total], 1)


def _refine(window, weight, centre_F2, radius_F, shapes: tuple[str, ...], blur: float, steps: int):
    """Gauss-Newton from one start for every outline: (error, centre, radius, amplitude, drawn),
    each (K, F, ...).
    """
    smear = _smear(window.shape[1], blur)
    fitted = [
        _refine_one(window, weight, centre_F2, radius_F, shape, smear, steps) for shape in shapes
    ]
    return tuple(np.stack(part) for part in zip(*fitted, strict=True))


def _refine_one(window, weight, centre_F2, radius_F, shape: str, smear: np.ndarray, steps: int):
    place = np.concatenate([centre_F2, radius_F[:, None]], 1).astype(np.float32)
    size, flat = window.shape[1:], (len(window), 1, -1)

    def drawn(place_F3: np.ndarray) -> np.ndarray:
        return smear @ coverage(shape, place_F3[:, :2], place_F3[:, 2], size) @ smear.T

    n = np.arange(size[0], dtype=np.float32)
    for _ in range(steps):
        now = drawn(place)
        down, along = np.gradient(now, axis=(1, 2))
        # moving an image changes it by minus its slope, enlarging it by minus the slope along the
        # ray from the centre
        wider = (
            -(along * (n - place[:, :1, None]) + down * (n[:, None] - place[:, 1:2, None]))
            / place[:, 2:, None]
        )
        slopes = np.concatenate(
            [part.reshape(flat) for part in (-along, -down, wider, now)], axis=1
        )
        by_weight = slopes * weight.reshape(flat)
        left = by_weight @ slopes.transpose(0, 2, 1) + 1e-2 * np.eye(4, dtype=np.float32)
        right = by_weight @ (window - now).reshape(flat).transpose(0, 2, 1)
        place += np.clip(np.linalg.solve(left, right)[:, :3, 0], -1.0, 1.0)
        place[:, 2] = np.maximum(place[:, 2], 0.8)
    now = drawn(place)
    amplitude = (window * now * weight).sum((1, 2)) / np.maximum(
        (now**2 * weight).sum((1, 2)), 1e-6
    )
    now = np.clip(amplitude, 0.7, 1.3)[:, None, None] * now
    error = ((window - now) ** 2 * weight).sum((1, 2))
    return error, place[:, :2], place[:, 2], amplitude, now


def _smear(side: int, blur: float) -> np.ndarray:
    """The Gaussian blur of one axis as a matrix (N, N)."""
    if blur == 0:
        return np.eye(side, dtype=np.float32)
    n = np.arange(side, dtype=np.float32)
    kernel = np.exp(-0.5 * ((n[:, None] - n) / blur) ** 2)
    return kernel / kernel.sum(1, keepdims=True)
