"""Two ways of editing, compared edit by edit: the same sources, the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from mindlong.scores.edits import EditScore
from mindlong.scores.intervals import of_mean
from mindlong.utils.errors import ConfigError

Runs = Sequence[Sequence[EditScore]]  # by source, then by prompt


def comparison(a: Runs, b: Runs) -> str:
    """A table: each verdict in `a` and in `b`, how many edits only one of them has right, and the
    chance of so uneven a split where neither way is better, taking the edits as independent
    (`sign_test`) and the sources (`flip_test`); then the mean difference of the paths' distance and
    of the background, each with an interval over the sources. Edits of one source have its clip and
    its tuning in common. Raises ConfigError where the two hold other prompts.
    """
    _refuse_others(a, b)
    lines = [
        f"{'':<12} {'this':>7} {'against':>7} {'only this':>9} {'only that':>9}   chance   by source"
    ]
    for name in _first(a).verdicts:
        ours, theirs = (
            np.array([s.verdicts[name] for run in side for s in run]) for side in (a, b)
        )
        only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        by_source = flip_test([_won(x, y, name) for x, y in zip(a, b, strict=True)])
        lines.append(
            f"{name:<12} {ours.sum():>4}/{len(ours):<2} {theirs.sum():>4}/{len(theirs):<2} {only_ours:>9} {only_theirs:>9}"
            f"   {sign_test(only_ours, only_theirs):<6.2g}   {by_source:.2g}"
        )
    for name in ("distance", "background"):
        lines.append(f"{name}: this less that {of_mean(_differences(a, b, name))}")
    return "\n".join(lines)


def sign_test(a: int, b: int) -> float:
    """McNemar's exact test: the chance that a + b fair coins fall as unevenly as a to b or more so;
    1 where there are none.
    """
    n, least = a + b, min(a, b)
    return min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)


def flip_test(differences: Sequence[int]) -> float:
    """The chance that the sum of `differences` is as far from 0 or farther where each could as well
    have the other sign (Fisher's randomisation test); all signs are tried, up to 2 ** 16 of them,
    of more sources as many drawn from one seed.
    """
    held = np.abs([d for d in differences if d])
    if not held.size:
        return 1.0
    if held.size <= 16:
        signs = 1 - 2 * (np.arange(2**held.size)[:, None] >> np.arange(held.size) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], (2**16, held.size))
    return float((np.abs(signs @ held) >= abs(sum(differences))).mean())


def _won(a: Sequence[EditScore], b: Sequence[EditScore], name: str) -> int:
    """Of one source, how many more edits `a` has right."""
    return sum(s.verdicts[name] for s in a) - sum(s.verdicts[name] for s in b)


def _first(runs: Runs) -> EditScore:
    return next(score for run in runs for score in run)


def _refuse_others(a: Runs, b: Runs) -> None:
    prompts = [[[score.prompt for score in run] for run in side] for side in (a, b)]
    if not any(prompts[0]):
        raise ConfigError("there are no edits to compare")
    if prompts[0] != prompts[1]:
        raise ConfigError(
            f"the two sides were not edited under the same prompts: {len(a)} and {len(b)} runs, of "
            f"{[len(run) for run in a]} and {[len(run) for run in b]} edits; name the runs of the same sources in the same order"
        )


def _differences(a: Runs, b: Runs, name: str) -> list[float]:
    """Of each source the mean of `name` in `a` less that in `b`, over edits that have both."""
    found = []
    for left, right in zip(a, b, strict=True):
        values = np.array(
            [getattr(x, name) - getattr(y, name) for x, y in zip(left, right, strict=True)]
        )
        if not np.isnan(values).all():
            found.append(float(np.nanmean(values)))
    return found or [float("nan")]
