"""The patterns of parameters' names that a training gives (`train.train_only`, `train.freeze`,
`train.no_decay`, `tune.trainable`), and what they choose. Without MindSpore.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mindlong.utils.errors import ConfigError, did_you_mean, nearest

if TYPE_CHECKING:
    from mindlong.config.train_options import TrainOptions

KEYS = ("train_only", "freeze", "no_decay")


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the shell patterns names `name`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def refuse_idle(options: TrainOptions, names: Sequence[str], unlisted: Sequence[str] = ()) -> None:
    """Raise ConfigError for a pattern that matches none of the names.

    Args:
        names: of the parameters. unlisted: first words of further ones; what may lie there passes.
    """
    for key in KEYS:
        for pattern in getattr(options, key):
            if not _found(pattern, names) and not _may_lie_in(pattern, unlisted):
                groups = sorted({name.split(".")[0] + ".*" for name in names})
                known = [*names, *groups] if nearest(pattern, [*names, *groups]) else groups
                hint = did_you_mean(pattern, known)
                raise ConfigError(
                    f"train.{key}: the pattern {pattern!r} matches no parameter.{hint}"
                )


def check_trainable(patterns: Sequence[str], names: Sequence[str]) -> None:
    """Raise ConfigError for a pattern of `tune.trainable` that matches none of the names."""
    for pattern in patterns:
        if not _found(pattern, names):
            raise ConfigError(
                f"tune.trainable: the pattern {pattern!r} matches no parameter, such as {names[-1]}"
            )


def nothing_left(options: TrainOptions, count: int) -> ConfigError:
    """The error of a training whose patterns leave none of so many parameters."""
    return ConfigError(
        f"train.train_only={options.train_only} and train.freeze={options.freeze} leave none of the "
        f"{count} parameters to train"
    )


def learns(name: str, options: TrainOptions) -> bool:
    """Whether the patterns let a parameter be trained."""
    chosen = not options.train_only or matches(name, options.train_only)
    return chosen and not matches(name, options.freeze)


def _found(pattern: str, names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _may_lie_in(pattern: str, words: Sequence[str]) -> bool:
    first = pattern.split(".")[0]
    return any("*" in first or fnmatchcase(word, first) for word in words)
