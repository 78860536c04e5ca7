"""Scores of a single video in the sense of VBench (arXiv 2311.17982): consistency, flicker,
smoothness and degree of motion, and how they change over a long one.

The formulas are VBench's. Its networks are not: features are of the CLIP given (VBench: DINO for
the subject, CLIP for the background), optical flow is OpenCV's DIS (VBench: RAFT, and AMT for
smoothness). So numbers are comparable with each other, not with the published table.

Legend: F frames, P width of an embedding; embeddings have length one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mindlong.data.flow import dis_flow, warp_flow
from mindlong.scores.long_metrics import seam_ratio

TOP = 0.05  # share of the pixels that move most
BASE_FLOW, BASE_SIZE = 6.0, 256.0  # VBench: pixels a frame at a short side of 256 that are motion
BASE_COUNT, BASE_FRAMES = 4.0, 16.0  # and in how many of so many frames
SEAM = "seam"  # the score that only a video with joints has
PIECES = 8  # of a long video, for its drift


def consistency(units_FP: np.ndarray) -> float:
    """Mean over frames of the cosines with the first and with the previous one, halved; negative
    ones count 0; 1 for a single frame.
    """
    if len(units_FP) < 2:
        return 1.0
    first = np.clip(units_FP[1:] @ units_FP[0], 0, None)
    previous = np.clip((units_FP[1:] * units_FP[:-1]).sum(1), 0, None)
    return float(((first + previous) / 2).mean())


def steadiness(frames_FHWC: np.ndarray) -> float:
    """VBench's temporal flickering: 1 minus the mean absolute change of neighbours, of 255."""
    if len(frames_FHWC) < 2:
        return 1.0
    return 1.0 - float(_changes(frames_FHWC).mean()) / 255.0


def smoothness(frames_FHWC: np.ndarray) -> float:
    """1 minus the mean error, of 255, of every second frame made anew from its neighbours."""
    wanted = range(1, len(frames_FHWC) - 1, 2)
    if not wanted:
        return 1.0
    errors = [_error(frames_FHWC[n - 1], frames_FHWC[n], frames_FHWC[n + 1]) for n in wanted]
    return 1.0 - float(np.mean(errors)) / 255.0


def motion(frames_FHWC: np.ndarray) -> np.ndarray:
    """(F - 1,): pixels that the fastest 5 % of the picture move, from frame to frame."""
    lengths = [
        np.sort(np.linalg.norm(dis_flow(a, b), axis=-1).ravel())
        for a, b in zip(frames_FHWC, frames_FHWC[1:], strict=False)
    ]
    return np.array([row[-max(1, int(len(row) * TOP)) :].mean() for row in lengths])


def is_dynamic(motion_F: np.ndarray, frames: int, size: tuple[int, int]) -> bool:
    """VBench's dynamic degree of one video: whether enough frames move enough for its size."""
    moving = int((motion_F > BASE_FLOW * min(size) / BASE_SIZE).sum())
    return moving >= round(BASE_COUNT * frames / BASE_FRAMES)


def drift(units_FP: np.ndarray, pieces: int = PIECES) -> np.ndarray:
    """Of a video in `pieces` pieces of one length: the cosine of each piece's mean embedding with
    the first's.
    """
    count = max(1, min(pieces, len(units_FP)))
    means = np.stack([part.mean(0) for part in np.array_split(units_FP, count)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means @ means[0]


def scores(
    frames_FHWC: np.ndarray, units_FP: np.ndarray | None = None, joints: Sequence[int] = ()
) -> dict[str, float]:
    """All of them for one video (F, H, W, 3) uint8.

    Args:
        units_FP: embeddings of its frames; without, nothing that needs them.
        joints: frames at which clips were joined.
    """
    moved = motion(frames_FHWC)
    _, height, width, _ = frames_FHWC.shape
    found = {
        "temporal_flickering": steadiness(frames_FHWC),
        "motion_smoothness": smoothness(frames_FHWC),
        "motion_pixels": float(moved.mean()) if len(moved) else 0.0,
        "dynamic": float(is_dynamic(moved, len(frames_FHWC), (height, width))),
    }
    if joints:
        found[SEAM] = seam_ratio(frames_FHWC, joints)
    if units_FP is not None:
        found |= {
            "consistency": consistency(units_FP),
            "consistency_at_end": float(drift(units_FP)[-1]),
        }
    return found


def _changes(frames_FHWC: np.ndarray) -> np.ndarray:
    pairs = zip(frames_FHWC, frames_FHWC[1:], strict=False)
    return np.array([np.abs(b.astype(np.int16) - a).mean() for a, b in pairs])


def _error(before: np.ndarray, frame: np.ndarray, after: np.ndarray) -> float:
    made = warp_flow(before, after, [0.5])[0]
    return float(np.abs(made.astype(np.int16) - frame).mean())
