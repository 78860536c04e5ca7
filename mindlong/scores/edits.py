"""Edited clips of a synthetic world: is the object what the prompt says, and does it still move as
the source does?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.scores.shapes import Rate
from mindlong.scores.worlds import Eyes
from mindlong.utils.errors import ConfigError

KEPT = 0.9  # correlation from which the motion counts as kept
EYES = Eyes()


@dataclass(frozen=True)
class EditScore:
    """Of one edit.

    Attributes:
        changed: shape and colour are read, with confidence, as the prompt says.
        correlation: of the object's path with the source's, over both axes together; NaN where it
            is not seen.
        distance: mean distance of the two paths in pixels of the videos as they are given.
        steady: one and the same object in all frames.
        background: mean change of a background pixel from frame to frame, of 255; on films with the
            camera's motion taken out.
    """

    prompt: str
    changed: bool
    correlation: float
    distance: float
    steady: bool
    background: float

    @property
    def kept(self) -> bool:
        """The motion is the source's."""
        return self.correlation >= KEPT

    @property
    def verdicts(self) -> dict[str, bool]:
        """What was right, by name."""
        both = self.changed and self.kept
        return {
            "changed": self.changed,
            "motion kept": self.kept,
            "both": both,
            "steady": self.steady,
            "all": both and self.steady,
        }


def score_edit(source: Any, edited_FHWC: np.ndarray, prompt: str, eyes: Eyes = EYES) -> EditScore:
    """Read an edited clip and compare it with the source's reading, by the same eyes. Raises
    ConfigError where their lengths differ.
    """
    found = eyes.read(edited_FHWC)
    if len(found.position_F2) != len(source.position_F2):
        raise ConfigError(
            f"the edit has {len(found.position_F2)} frames and its source {len(source.position_F2)}"
        )
    right = found.agrees(prompt)
    return EditScore(
        prompt,
        right["shape"] and right["colour"],
        *path_likeness(source.position_F2, found.position_F2),
        found.steady,
        eyes.world.background(edited_FHWC, [found]),
    )


def path_likeness(a_F2: np.ndarray, b_F2: np.ndarray) -> tuple[float, float]:
    """(correlation, mean distance) of two paths, over the frames in which both are seen.

    The correlation is that of the x and y displacements from each path's own middle, taken as one
    list: an axis along which nothing moves does not count. It is NaN with fewer than half of the
    frames, or where a path stands still.
    """
    seen = ~(np.isnan(a_F2).any(1) | np.isnan(b_F2).any(1))
    if seen.sum() < max(len(a_F2) / 2, 2):
        return float("nan"), float("nan")
    a, b = a_F2[seen] - a_F2[seen].mean(0), b_F2[seen] - b_F2[seen].mean(0)
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    far = float(np.linalg.norm(a_F2[seen] - b_F2[seen], axis=1).mean())
    return float((a * b).sum()) / size if size > 1e-6 else float("nan"), far


def summary(scores: Sequence[EditScore]) -> str:
    """A table: each verdict of how many, the mean correlation, the median background."""
    if not scores:
        raise ConfigError("there are no edits to measure")
    lines = []
    for name in scores[0].verdicts:
        rate = Rate(sum(s.verdicts[name] for s in scores), len(scores))
        low, high = (100 * bound for bound in rate.interval)
        lines.append(
            f"{name:<12} {rate.hits:>3}/{rate.total:<3} {100 * rate.share:5.1f} %   95 %: {low:.1f} to {high:.1f} %"
        )
    known = [s.correlation for s in scores if not np.isnan(s.correlation)]
    mean = f"{np.mean(known):.3f}" if known else "none"
    still = np.median([s.background for s in scores])
    return "\n".join(
        [
            *lines,
            f"correlation of the paths: mean {mean} over {len(known)} in which the object is seen",
            f"change of the background a frame, of 255: median {still:.2f}",
        ]
    )
