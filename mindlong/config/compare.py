"""Whether the configuration of a run may go on in a folder that holds another's work."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mindlong.config.leaves import leaves
from mindlong.config.renamed import KEYS
from mindlong.config.schema import TrainConfig
from mindlong.config.section import family_schema
from mindlong.utils import plain_yaml
from mindlong.utils.errors import ConfigError, did_you_mean

# keys that change what is kept, shown or where it runs, not what is learnt; steps may be raised to
# train longer
FREE = (
    "run_dir",
    "env.",
    "attention.",
    "preview.",
    "resume.",
    "data.workers",
    "data.max_bad",
    "train.start",
    "train.steps",
    "train.max_skipped",
    "train.shard",
    "train.save_every",
    "train.keep",
    "train.preview_every",
    "train.log_every",
    "train.tensorboard",
    "train.profile_steps",
    "train.workers",
)
ABSENT = "absent"
ALLOWED = " (on purpose, by resume.allow)"
Difference = tuple[str, Any, Any]  # key, old value, new value


def differences(old: str, new: str) -> list[Difference]:
    """(key, old value, new value) of every leaf in which two YAML texts differ."""
    return _differences(dict(_leaves(plain_yaml.read(old))), dict(_leaves(plain_yaml.read(new))))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    pairs = ((key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in sorted({*a, *b}))
    return [(key, was, now) for key, was, now in pairs if was != now]


def check_same_everywhere(texts: Sequence[str]) -> None:
    """All processes of a job must have one configuration; `texts` by rank.

    Raises:
        ConfigError: on every process; the differing keys are listed.
    """
    first, *others = texts
    for rank, text in enumerate(others, 1):
        fields = [
            f"{key} ({a!r} on process 0, {b!r} on process {rank})"
            for key, a, b in differences(first, text)
        ]
        if fields:
            raise ConfigError(
                f"the processes were started with different configurations: {', '.join(fields)}"
            )


def check_same_run(
    saved: str,
    given: str,
    folder: str,
    apart: Collection[str] = (),
    content: Mapping[str, str] | None = None,
) -> list[str]:
    """Lines on the differences between the configuration saved in `folder` and the one given.

    Args:
        apart: keys that are compared by the content of the files that they name, not here.
        content: those of them whose content has changed, each with a sentence's part on it.

    Raises:
        ConfigError: differences that would make it another training and that `resume.allow` of the
            given one does not name, all of them listed; or `resume.allow` names no key.
    """
    usual = _usual(given)
    before, after = _by_todays_names(saved), dict(_leaves(plain_yaml.read(given)))
    allow, foreign, lines = _allowed(given, before), [], []
    for key, was, now in _differences(before, after):
        newer = was == ABSENT and usual.get(key, ABSENT) == now  # a key that is newer than the run
        if newer or any(key == a or key.startswith(f"{a}.") for a in apart):
            continue
        allowed = matches(key, allow)
        if not allowed and not key.startswith(FREE):
            foreign.append((key, f"{key} (saved {was!r}, now {now!r})"))
        else:
            lines.append(f"{key}: {was!r} before, now {now!r}{ALLOWED * allowed}")
    for key, said in (content or {}).items():
        if matches(key, allow):
            lines.append(f"{said}{ALLOWED}")
        else:
            foreign.append((key, said))
    if foreign:
        raise ConfigError(_another_run(folder, foreign))
    return lines


def _another_run(folder: str, foreign: Sequence[tuple[str, str]]) -> str:
    """The sentence on (key, difference in words) that make another training."""
    keys = ", ".join(dict.fromkeys(key for key, _ in foreign))
    return (
        f"{folder} holds a run with another configuration; it differs in "
        f"{', '.join(said for _, said in foreign)}. To go on with it all the same, on purpose, add "
        f"resume.allow=[{keys}]; to start anew give another run_dir; or give the same values"
    )


def _by_todays_names(saved: str) -> dict[str, Any]:
    """The leaves of a configuration that an older program wrote, under the names of this one."""
    return {KEYS.get(key, key): value for key, value in _leaves(plain_yaml.read(saved))}


def _usual(text: str) -> dict[str, Any]:
    """What each key is where nothing is said, those of the model's family among them."""
    schemas: dict[str, type] = {"": TrainConfig}
    family = (plain_yaml.read(text).get("model") or {}).get("family")
    if family:
        schemas["model."] = family_schema(family, "")
    found = [pair for at, schema in schemas.items() for pair in leaves(schema, at).items()]
    return {key: _as_in_yaml(leaf.default) for key, leaf in found}


def _as_in_yaml(value: Any) -> Any:
    return [_as_in_yaml(one) for one in value] if isinstance(value, tuple) else value


def matches(key: str, allow: Sequence[str]) -> bool:
    """Whether one of the patterns of `resume.allow` means `key`."""
    key = key.split("[")[0]
    return any(fnmatchcase(key, pattern) or key.startswith(f"{pattern}.") for pattern in allow)


def allowed_by(text: str) -> list[str]:
    """The patterns of `resume.allow` in a configuration."""
    return list((plain_yaml.read(text).get("resume") or {}).get("allow") or [])


def _allowed(text: str, saved: Collection[str]) -> list[str]:
    known = [*leaves(TrainConfig), *(key for key, _ in _leaves(plain_yaml.read(text))), *saved]
    for pattern in allowed_by(text):
        if not any(matches(key, [pattern]) for key in known):
            raise ConfigError(
                f"resume.allow names {pattern!r}, which is no key.{did_you_mean(pattern, known)}"
            )
    return allowed_by(text)


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), node
