"""The patterns of parameters' names that a training gives (`train.train_only`, `train.freeze`,
`train.no_decay`): what they choose, and before anything is built whether they choose at all.
Without MindSpore.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.config.section import load_model
from mindlong.config.tasks import task_of
from mindlong.networks import table
from mindlong.networks.unet import control_spec
from mindlong.utils.errors import ConfigError, did_you_mean, nearest

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.config.train_options import TrainOptions

KEYS = ("train_only", "freeze", "no_decay")
TEXT = "text_encoder"


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


def check_patterns(config: TrainConfig) -> None:
    """For a dry run: raise ConfigError as the run would."""
    options = config.train
    trainable = config.tune.trainable if task_of(config) == "tune" else []
    if options.lora.wanted or not (trainable or any(getattr(options, key) for key in KEYS)):
        return
    names, unlisted = names_of(config)
    check_trainable(trainable, names)
    refuse_idle(options, names, unlisted)
    still = bool(config.latents.text_weights) and not config.latents.train_text
    free = [name for name in names if not (still and name.startswith(f"{TEXT}."))]
    if not unlisted and not any(learns(name, options) for name in free):
        raise nothing_left(options, len(names))


def names_of(config: TrainConfig) -> tuple[list[str], list[str]]:
    """Names of the parameters of the network that a configuration trains, and the first words of
    those that no list holds.
    """
    task, entry, spec = task_of(config), table.get(config.model.family), config.model.spec()
    own = [entry_.ours for entry_ in entry.formats[0].entries(spec)]
    if task == "autoencoder":
        return own, []
    if config.infinet.lengths:
        own += [e.ours for e in control_spec.names(spec, config.infinet.control())]
    names = [f"{entry.part}.{name}" for name in own]
    if task == "pixel":
        beside = getattr(config.model, "names_beside", None)
        return (names + beside(), []) if beside else (names, sorted(config.model.beside()))
    return names + _names_of_text(config), []


def _names_of_text(config: TrainConfig) -> list[str]:
    latents = config.latents
    if latents.text_weights:
        part = read_text_encoder(latents.text_weights)
        network, spec = part.network, part.spec
        if network.text and network.text.layered and not latents.train_text:
            return []  # its states are kept
    else:
        section = load_model(latents.text_encoder)
        network, spec = table.get(section.family, TEXT), section.spec()
    return [f"{TEXT}.{entry.ours}" for entry in network.formats[0].entries(spec)]


def _found(pattern: str, names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _may_lie_in(pattern: str, words: Sequence[str]) -> bool:
    first = pattern.split(".")[0]
    return any("*" in first or fnmatchcase(word, first) for word in words)
