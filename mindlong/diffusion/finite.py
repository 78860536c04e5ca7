"""Numbers that are not finite end a run with a sentence that says where they arose.

A NaN spreads through everything that is computed from it: unnoticed it is a black video, an hour
later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.utils.errors import UserError

FRAMES = 2  # the axis of frames in (B, C, F, H, W)
LISTED = 4  # rows that a sentence names


class NotFiniteError(UserError):
    """A sample, a prediction or decoded frames hold a NaN or an infinity."""


@dataclass(frozen=True)
class Row:
    """What a row of a batch is: a name, and the numbers of its frames where they do not count from
    0.
    """

    name: str
    frames: Sequence[int] = ()


def check_finite(
    array: np.ndarray, what: str, when: str = "", rows: Sequence[Row] = (), axis: int = FRAMES
) -> None:
    """Nothing, if every number is finite.

    Args:
        array: (B, ...), with frames along `axis` if it has five axes.
        what: the subject of the sentence.
        when: for example "step 3 of 20 (timestep 851)".
        rows: what the rows are; "row 0" and so on where nothing is given.

    Raises:
        NotFiniteError: the sentence names `when`, the rows and their frames.
    """
    finite = np.isfinite(array)
    if finite.all():
        return
    places = list(_places(~finite, rows, axis))
    more = f" and {len(places) - LISTED} more" if len(places) > LISTED else ""
    share = 100.0 * (1.0 - finite.mean())
    raise NotFiniteError(
        f"{what} is not finite{f' at {when}' if when else ''}, in {'; '.join(places[:LISTED])}{more} "
        f"({share:.2g} % of its numbers are NaN or infinite). Look for NaN in the weights "
        "(tools/inspect_checkpoint.py); in half precision try float32, where guidance is high a lower one"
    )


def _places(bad: np.ndarray, rows: Sequence[Row], axis: int) -> Iterator[str]:
    for number in np.flatnonzero(bad.reshape(len(bad), -1).any(1)):
        row = rows[number] if number < len(rows) else Row(f"row {number}")
        if bad.ndim != 5:
            yield row.name
            continue
        others = tuple(i for i in range(bad.ndim - 1) if i != axis - 1)
        found = np.flatnonzero(bad[number].any(others))
        numbers = [row.frames[i] if i < len(row.frames) else int(i) for i in found]
        yield f"{row.name}, {frames_text(numbers)}"


def frames_text(numbers: Sequence[int]) -> str:
    """ "frame 3", "frames 0-5, 9": ascending numbers with neighbours drawn together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"{first}-{last}" if last > first else f"{first}" for first, last in runs]
    return f"frame{'s' if len(numbers) > 1 else ''} {', '.join(texts)}"
