"""Keys and sections under their older names, and under the name that the other command has for
them: they are understood, with a note that says how they are called here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mindlong.config.command_line import Pair
from mindlong.config.yaml_file import Tree

KEYS = {  # older name -> name
    "clip_parallel.told_fps": "clip_parallel.fps_condition",
    "text_to_video.told_fps": "text_to_video.fps_condition",
    "text_to_video.preview_every": "preview_every",
    "told_fps": "fps_condition",
    "clip_parallel.scene": "clip_parallel.scenes",
    "scene": "scenes",
    "infinet.told": "infinet.mask",
}
SECTIONS = {  # what train.py and infer.py call a thing
    "train": {"latent": "latents", "interpolate": "interpolation", "hierarchical": "infinet"},
    "infer": {"latents": "latent", "interpolation": "interpolate", "infinet": "hierarchical"},
}


def pairs_renamed(
    pairs: Sequence[Pair], kind: str, known: Collection[str]
) -> tuple[list[Pair], list[str]]:
    """The pairs of a command line with today's keys, and notes.

    Args:
        kind: "train" or "infer". known: the keys of the schema.
    """
    made = [replace(pair, key=_name(pair.key, kind, known)) for pair in pairs]
    moved = {old.key: new.key for old, new in zip(pairs, made, strict=True) if old.key != new.key}
    return made, _notes(moved)


def tree_renamed(tree: Tree, kind: str, known: Collection[str]) -> tuple[Tree, list[str]]:
    """The same for what a file holds; lines go with their keys."""
    moved = {key: _name(key, kind, known) for key in _flat(tree.values)}
    moved = {old: new for old, new in moved.items() if old != new}
    if not moved:
        return tree, []
    values = _copied(tree.values)
    lines = dict(tree.lines)
    for old, new in moved.items():
        _put(values, new, _taken(values, old))
        lines[new] = tree.lines.get(old, 0) or tree.lines.get(old.partition(".")[0], 1)
    cut = {moved.get(key, key): words for key, words in tree.cut.items()}
    return replace(tree, values=values, lines=lines, cut=cut), _notes(moved)


def _name(key: str, kind: str, known: Collection[str]) -> str:
    if key in known:
        return key
    key = KEYS.get(key, key)
    section, dot, rest = key.partition(".")
    other = SECTIONS[kind].get(section, section) + dot + rest
    return other if other in known else key


def _notes(moved: Mapping[str, str]) -> list[str]:
    return [f"{old} is called {new} here" for old, new in moved.items()]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _taken(values: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, which is removed, and with it the sections that are empty then."""
    first, _, rest = key.partition(".")
    if not rest:
        return values.pop(first)
    value = _taken(values[first], rest)
    if not values[first]:
        del values[first]
    return value


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for name in sections:
        values = values.setdefault(name, {})
    values.setdefault(last, value)
