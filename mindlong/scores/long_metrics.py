"""How well a long clip of a synthetic world coheres: is it one object throughout, and can joints be
seen between clips?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.data.shapes import COLOURS
from mindlong.data.shapes_reader import FOUR
from mindlong.scores.worlds import WORLDS, World


@dataclass(frozen=True)
class Coherence:
    """Of one video.

    Attributes:
        right: share of pieces that show the shape and the colour of the caption, of every object.
        constant: share of neighbouring pieces in which the same shapes and colours are read, with
            confidence.
        steady: share of pieces with one and the same object in all their frames.
        seam: the change from frame to frame at the joints over the change elsewhere; 1: joints
            cannot be seen.
        step: where the object is from frame to frame, at the joints: pixels over the pixels
            elsewhere; NaN if it is not seen.
        background: change of a background pixel from frame to frame, of 255 (scores.worlds).
    """

    right: float
    constant: float
    steady: float
    seam: float
    step: float
    background: float


def coherence(
    frames_FHWC: np.ndarray,
    caption: str,
    pieces: Sequence[range],
    shapes: tuple[str, ...] = (),
    colours: tuple[str, ...] = tuple(COLOURS),
    motions: tuple[str, ...] = FOUR,
    world: World = WORLDS["shapes"],
) -> Coherence:
    """Read each of `pieces` of a video (F, H, W, 3) uint8; joints are where one ends and the next
    begins. `shapes`: those to choose from, all of the world's where none are given.
    """
    names = shapes or world.shapes
    readings = [
        world.read(frames_FHWC[piece.start : piece.stop], names, colours, motions)
        for piece in pieces
    ]
    wanted = world.said(caption)
    joints = [piece.start for piece in pieces[1:]]
    positions = np.concatenate([r.position_F2 for r in readings])
    return Coherence(
        right=float(np.mean([r.sure and r.names == wanted for r in readings])),
        constant=float(np.mean([_same(a, b) for a, b in zip(readings, readings[1:], strict=False)]))
        if joints
        else 1.0,
        steady=float(np.mean([r.sure and r.steady for r in readings])),
        seam=seam_ratio(frames_FHWC, joints),
        step=_ratio(np.linalg.norm(np.diff(positions, axis=0), axis=1), joints),
        background=world.background(frames_FHWC, readings),
    )


def _same(a: Any, b: Any) -> bool:
    return a.sure and b.sure and a.names == b.names


def seam_ratio(frames_FHWC: np.ndarray, joints: Sequence[int]) -> float:
    """Mean absolute change into the frames `joints` over the mean into all others; 1 where there
    are no joints.
    """
    changes = [
        np.abs(b.astype(np.int16) - a).mean()
        for a, b in zip(frames_FHWC, frames_FHWC[1:], strict=False)
    ]
    return _ratio(np.array(changes), joints)


def _ratio(changes: np.ndarray, joints: Sequence[int]) -> float:
    at = np.zeros(len(changes), bool)
    at[[f - 1 for f in joints]] = True
    if not at.any() or at.all() or not np.isfinite(changes[at]).any():
        return 1.0 if not at.any() else float("nan")
    return float(np.nanmean(changes[at]) / max(np.nanmean(changes[~at]), 1e-6))
