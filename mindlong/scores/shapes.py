"""How many generated clips show what their captions ask for, by the shapes reader, with Wilson
intervals; how near the outlines are to ideal ones, and how still the background is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mindlong.data.film_reader import FilmReading
from mindlong.data.shapes import COLOURS, SHAPES, parse_caption
from mindlong.data.shapes_reader import FOUR, Reading, read
from mindlong.scores.outline import background_change, overlap
from mindlong.utils.errors import ConfigError

Z95 = 1.959964  # normal quantile of a 95 % interval


@dataclass(frozen=True)
class Rate:
    """`hits` of `total`."""

    hits: int
    total: int

    @property
    def share(self) -> float:
        """hits / total."""
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), which stays inside [0, 1] also for few samples."""
        n, p, z2 = self.total, self.share, Z95**2
        middle, half = p + z2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


@dataclass(frozen=True)
class Scores:
    """`rates` by name; `readings[i]`, `verdicts[i]` (what was right), `overlaps[i]` and
    `backgrounds[i]` (mindlong.scores.outline) of sample i.
    """

    rates: dict[str, Rate]
    readings: tuple[Reading, ...] | tuple[FilmReading, ...]
    verdicts: tuple[dict[str, bool], ...]
    overlaps: tuple[float, ...]
    backgrounds: tuple[float, ...]

    def table(self) -> str:
        """A line a rate: name, hits of total, per cent, 95 % interval; then the medians."""
        rows = [f"{'':<17} {'hits':>9} {'share':>7}   95 % interval"]
        for name, rate in self.rates.items():
            low, high = (100 * bound for bound in rate.interval)
            hits = f"{rate.hits}/{rate.total}"
            rows.append(
                f"{name:<17} {hits:>9} {100 * rate.share:>5.1f} %   {low:.1f} to {high:.1f} %"
            )
        for name, values in (("outline", self.overlaps), ("background", self.backgrounds)):
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            rows.append(f"{name:<17} {middle:>9.3f}   quartiles {low:.3f} to {high:.3f}")
        return "\n".join(rows)


def score(
    samples: Iterable[np.ndarray],
    captions: Sequence[str],
    shapes: tuple[str, ...] = SHAPES,
    colours: tuple[str, ...] = tuple(COLOURS),
    motions: tuple[str, ...] = FOUR,
    *,
    unsure: bool = False,
) -> Scores:
    """Read every sample (F, H, W, 3) uint8 and compare it with its caption.

    A reading that is not sure counts as wrong, unless `unsure` ones are believed too. `steady`
    needs one and the same object, of any kind, through all frames, recognised with confidence. The
    reader chooses among the names given; more names make it harder. Raises ConfigError if a caption
    names no shape, colour or direction, or numbers of samples and captions differ.
    """
    for caption in captions:
        if None in parse_caption(caption):
            raise ConfigError(
                f"the caption {caption!r} does not name a shape, a colour and a direction"
            )
    rows = [_row(sample, shapes, colours, motions) for sample in samples]
    readings = tuple(row[0] for row in rows)
    if len(readings) != len(captions) or not readings:
        raise ConfigError(
            f"{len(readings)} samples and {len(captions)} captions cannot be compared"
        )
    taken = [r.believed if unsure else r for r in readings]
    verdicts = tuple(_verdict(r, c) for r, c in zip(taken, captions, strict=True))
    rates = {name: Rate(sum(v[name] for v in verdicts), len(verdicts)) for name in verdicts[0]}
    overlaps, backgrounds = tuple(row[1] for row in rows), tuple(row[2] for row in rows)
    return Scores(rates, readings, verdicts, overlaps, backgrounds)


def _row(
    sample: np.ndarray, shapes: tuple[str, ...], colours: tuple[str, ...], motions: tuple[str, ...]
) -> tuple[Reading, float, float]:
    """(reading, overlap with the ideal outline, change of the background)."""
    reading = read(sample, shapes, colours, motions)
    return reading, overlap(sample, reading), background_change(sample)


def _verdict(reading: Reading, caption: str) -> dict[str, bool]:
    right = reading.agrees(caption)
    both = right["shape"] and right["colour"]
    steady = reading.steady and reading.sure
    return {
        "shape": right["shape"],
        "colour": right["colour"],
        "shape and colour": both,
        "direction": right["motion"],
        "steady": steady,
        "all": both and right["motion"] and steady,
    }
