"""Whether the configuration of a run may go on in a folder that holds another's work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from mindlong.config.leaves import leaves
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError

# keys that change what is kept, shown or where it runs, not what is learnt; steps may be raised to
# train longer
FREE = (
    "run_dir",
    "env.",
    "attention.",
    "preview.",
    "data.workers",
    "data.max_bad",
    "train.steps",
    "train.max_skipped",
    "train.save_every",
    "train.keep",
    "train.preview_every",
    "train.workers",
)
ABSENT = "absent"


def differences(old: str, new: str) -> list[tuple[str, Any, Any]]:
    """(key, old value, new value) of every leaf in which two YAML texts differ."""
    a, b = dict(_leaves(yaml.safe_load(old))), dict(_leaves(yaml.safe_load(new)))
    pairs = ((key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in sorted(a | b))
    return [(key, was, now) for key, was, now in pairs if was != now]


def check_same_run(saved: str, given: str, folder: str) -> list[str]:
    """Lines on harmless differences between the configuration saved in `folder` and the one given.

    Raises:
        ConfigError: differences that would make it another training, all of them listed.
    """
    usual = {key: leaf.default for key, leaf in leaves(TrainConfig).items()}
    changed = [
        (key, was, now)
        for key, was, now in differences(saved, given)
        if not (was == ABSENT and usual.get(key, ABSENT) == now)
    ]  # a key that is newer than the run
    foreign = [(key, a, b) for key, a, b in changed if not key.startswith(FREE)]
    if foreign:
        listed = ", ".join(f"{key} (saved {a!r}, now {b!r})" for key, a, b in foreign)
        raise ConfigError(
            f"{folder} holds a run with another configuration; it differs in {listed}. "
            "Give another run_dir, or the same values to go on with that run"
        )
    return [f"{key}: {a!r} before, now {b!r}" for key, a, b in changed]


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), node
