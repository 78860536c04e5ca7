"""Which frames a frame may read, as a table: `table[f]` is the list of frames whose keys and values
frame f attends to.

A frame that is listed twice counts twice, as if its keys had been concatenated twice. From the one
table follow the gather indices and the additive mask that a network needs (`reading`), the mask of
a dense attention (`log_counts`), the cost, and what has to be sent when frames are spread over
ranks (`imports`).

A policy is written as terms joined by commas:

    frame              the frame itself
    all                every frame
    first, mid, last   frame 0, F // 2, F - 1
    prev, next         one before, one after; at the ends the end itself
    -2, +3             that many before or after; beyond the ends the end itself
    at:7               frame 7, counted from 0
    window:5           the frame, 2 before and 2 after, as many as there are (the size is odd)
    window:4:causal    the frame and 4 before (xformers' causal LocalAttention of window 4)
    global:8           8 frames at equal strides from frame 0, or all if there are fewer
    spread:8           8 frames spread evenly over all, from frame 0, or all if there are fewer
    window:5|first     what either of them reads, each frame once: a band, and the first frame
    beyond it (a sink) sparse_causal      first,prev (Tune-A-Video, arXiv 2212.11565)
    dual_scope:8:16    window:17,global:16 (Video-Infinity, arXiv 2406.16260; its exact form,
    without zero keys)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean

Row = Callable[[int, int], Sequence[int]]  # frame, number of frames -> frames read
Table = tuple[tuple[int, ...], ...]

OVERHEAD = 64  # what a block costs beside its scores, in scores
LARGEST = 64  # frames of a block that is not all of them
EDGE, SAMPLED = 256, 64  # frames at each end that are counted one by one, and of the middle
MASKED = -6e4  # its exponential is zero beside any score, and half precision can hold it

_PLACES: dict[str, Row] = {
    "frame": lambda f, n: [f],
    "all": lambda f, n: range(n),
    "first": lambda f, n: [0],
    "mid": lambda f, n: [n // 2],
    "last": lambda f, n: [n - 1],
    "prev": lambda f, n: [max(f - 1, 0)],
    "next": lambda f, n: [min(f + 1, n - 1)],
}
_FORMS = {word: f"It is written {word!r}." for word in (*_PLACES, "sparse_causal")} | {
    "at": "It is written at:NUMBER.",
    "window": "It is written window:SIZE or window:SIZE:causal.",
    "global": "It is written global:COUNT.",
    "spread": "It is written spread:COUNT.",
    "dual_scope": "It is written dual_scope:REACH:COUNT.",
}


@lru_cache(maxsize=256)
def table(policy: str, frames: int) -> Table:
    """The frames that each of `frames` frames reads, duplicates kept.

    Raises:
        ConfigError: a term that does not exist or does not fit, or no frames.
    """
    return tuple(each_row(policy, frames))


def each_row(policy: str, frames: int) -> Iterator[tuple[int, ...]]:
    """The rows of `table` one by one. Raises as it does."""
    if frames < 1:
        raise ConfigError(f"A table of key frames needs at least 1 frame; it got {frames}.")
    parts = _rows(policy)
    for f in range(frames):
        yield tuple(g for row in parts for g in row(f, frames))


def check(policy: str) -> None:
    """Raise ConfigError where `policy` cannot be read."""
    _rows(policy)


@lru_cache(maxsize=256)
def _rows(policy: str) -> tuple[Row, ...]:
    return tuple(row for term in policy.split(",") for row in _term(term.strip(), policy))


def _term(term: str, policy: str) -> list[Row]:
    if "|" in term:
        return [_union([row for part in term.split("|") for row in _term(part.strip(), policy)])]
    word, *given = term.split(":")
    if word in _PLACES and not given:
        return [_PLACES[word]]
    if word == "sparse_causal" and not given:
        return [_PLACES["first"], _PLACES["prev"]]
    if word[:1] in "+-" and _is_int(word) and not given:
        return [_offset(int(word))]
    if word == "window" and len(given) in (1, 2):
        return [_window(given, policy)]
    if word == "dual_scope" and len(given) == 2:
        return [
            _window([str(2 * _count(given[0], policy) + 1)], policy),
            _global(_count(given[1], policy)),
        ]
    if word in ("global", "at", "spread") and len(given) == 1:
        number = _count(given[0], policy)
        return [
            _at(number, policy)
            if word == "at"
            else (_global if word == "global" else _spread)(number)
        ]
    hint = f" {_FORMS[word]}" if word in _FORMS else did_you_mean(word, _FORMS)
    raise ConfigError(
        f"The key/value policy {policy!r} has the term {term!r}, which is none.{hint}"
    )


def _is_int(text: str) -> bool:
    return text[1:].isdigit()


def _count(text: str, policy: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"The key/value policy {policy!r} has {text!r} where a number is needed.")
    return int(text)


def _offset(step: int) -> Row:
    return lambda f, n: [min(max(f + step, 0), n - 1)]


def _at(place: int, policy: str) -> Row:
    def row(f: int, n: int) -> list[int]:
        if place >= n:
            raise ConfigError(
                f"The key/value policy {policy!r} reads frame {place}; the clip has {n}, counted from 0."
            )
        return [place]

    return row


def _window(given: list[str], policy: str) -> Row:
    size = _count(given[0], policy)
    if given[1:]:
        if given[1] != "causal":
            raise ConfigError(
                f"The key/value policy {policy!r} has {given[1]!r} after a window; only 'causal' can be."
            )
        return lambda f, n: list(range(max(f - size, 0), f + 1))
    if size % 2 == 0:
        raise ConfigError(
            f"The key/value policy {policy!r} has a window of {size}; without 'causal' it must be odd."
        )
    return lambda f, n: list(range(max(f - size // 2, 0), min(f + size // 2, n - 1) + 1))


def _union(rows: list[Row]) -> Row:
    return lambda f, n: sorted({g for row in rows for g in row(f, n)})


def _global(count: int) -> Row:
    return lambda f, n: list(range(0, n, max(n // count, 1)))[:count] if count else []


def _spread(count: int) -> Row:
    return lambda f, n: [i * n // count for i in range(count)] if count < n else list(range(n))


@dataclass(frozen=True)
class Reading:
    """How a network reads a table: queries in blocks of `size` frames, each block gathering
    `index[block]`.

    Attributes:
        index: int (blocks, keys), the frames that a block gathers.
        bias: float32 (blocks, size, keys) to add to the scores: the logarithm of how often a frame
            of the block counts the gathered frame, MASKED where it does not; None where it would be
            all zeros.
    """

    index: np.ndarray
    bias: np.ndarray | None


def reading(rows: Table, size: int) -> Reading:
    """Read `rows` in blocks of `size` frames; where that does not divide their number, the last
    frame is repeated (`padding`).

    A block whose frames all read the same list gathers that list, duplicates and all; another
    gathers the union of its frames' lists and tells them apart by the bias. Shorter blocks are
    filled up with masked frames.
    """
    rows = rows + rows[-1:] * padding(len(rows), size)
    blocks = [rows[i : i + size] for i in range(0, len(rows), size)]
    gathered = [_gathered(block) for block in blocks]
    width = max(len(keys) for keys in gathered)
    index = np.array([[*keys, *[keys[0]] * (width - len(keys))] for keys in gathered], np.int32)
    bias = np.full((len(blocks), size, width), MASKED, np.float32)
    for i, (block, keys) in enumerate(zip(blocks, gathered, strict=True)):
        bias[i, :, : len(keys)] = _block_bias(block, keys)
    return Reading(index, bias if bias.any() else None)


def _gathered(block: Table) -> list[int]:
    if not all(block):
        raise ConfigError(
            "A frame has nothing to read: the key/value policy leaves its list empty."
        )
    same = all(sorted(row) == sorted(block[0]) for row in block)
    return list(block[0]) if same else sorted({g for row in block for g in row})


def _block_bias(block: Table, keys: list[int]) -> np.ndarray:
    if len(set(keys)) < len(
        keys
    ):  # a list with duplicates, the same for all: each copy counts once
        return np.zeros((len(block), len(keys)), np.float32)
    return _logs(block, keys)


def padding(frames: int, size: int) -> int:
    """Frames missing to whole blocks of `size`."""
    return -frames % size


def best_size(rows: Table, overhead: int = OVERHEAD) -> int:
    """The block size that costs least: a block is a small product of size x keys numbers, and
    `overhead` more, as is padding.
    """
    frames = len(rows)

    def cost(size: int) -> int:
        padded = rows + rows[-1:] * padding(frames, size)
        blocks = [padded[i : i + size] for i in range(0, frames, size)]
        return len(blocks) * (
            overhead + size * max(len(_gathered(block)) for block in blocks)
        ) + overhead * (len(padded) > frames)

    return min({*range(1, min(frames, LARGEST) + 1), frames}, key=cost)


def restricted(rows: Table, allowed_FF: np.ndarray) -> Table:
    """The table with only those pairs that a user's mask allows, True where frame f may read frame
    g.

    Raises:
        ConfigError: a mask of another size, or one that leaves a frame nothing to read.
    """
    if allowed_FF.shape != (len(rows), len(rows)):
        raise ConfigError(
            f"The mask of frames is {allowed_FF.shape}; the table has {len(rows)} frames, so it must be square."
        )
    kept = tuple(tuple(g for g in row if allowed_FF[f, g]) for f, row in enumerate(rows))
    if not all(kept):
        raise ConfigError(
            f"The mask of frames leaves frame {[bool(row) for row in kept].index(False)} nothing to read."
        )
    return kept


def shared(rows: Table) -> bool:
    """Whether all frames read the same list."""
    return all(sorted(row) == sorted(rows[0]) for row in rows)


def log_counts(rows: Table) -> np.ndarray:
    """float32 (F, F): what a dense attention over all frames adds to the scores to equal the
    table.
    """
    return _logs(rows, range(len(rows))).astype(np.float32)


def _logs(rows: Table, keys: Sequence[int]) -> np.ndarray:
    """(rows, keys): logarithm of how often each row has each of the different keys, MASKED where it
    has not.
    """
    place = {g: i for i, g in enumerate(keys)}
    counts = np.zeros((len(rows), len(keys)), np.float32)
    for f, row in enumerate(rows):
        np.add.at(counts[f], [place[g] for g in row], 1)
    return np.where(counts > 0, np.log(np.maximum(counts, 1)), MASKED)


def imports(rows: Table, owned: list[range]) -> list[list[int]]:
    """Frames that each rank has to be sent, when rank r holds the frames `owned[r]`."""
    return [sorted({g for f in mine for g in rows[f]} - set(mine)) for mine in owned]


def count_pairs(policy: str, frames: int) -> float:
    """Number of (frame, frame read) pairs: the cost of an attention is this times the cost of one
    frame on another. Exact up to 512 frames; of longer videos the middle is counted from a sample.

    Raises:
        ConfigError: as `table`.
    """
    rows = _rows(policy)
    if frames <= 2 * EDGE:
        return float(sum(len(row(f, frames)) for f in range(frames) for row in rows))
    edges = (*range(EDGE), *range(frames - EDGE, frames))
    middle = range(EDGE, frames - EDGE, max((frames - 2 * EDGE) // SAMPLED, 1))
    known, seen = (
        sum(len(row(f, frames)) for f in some for row in rows) for some in (edges, middle)
    )
    return float(known) + float(seen) * (frames - 2 * EDGE) / len(middle)
