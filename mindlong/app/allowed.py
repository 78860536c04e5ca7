"""Which files a person at the page may name: what comes with mindlong, their own uploads, and what
lies in the folders that the page was started with. Everything else is refused, by whatever key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.app.uploads import NAME
from mindlong.checkpoints.locate import shipped_names
from mindlong.config.file_keys import FILES, LORAS, WEIGHTS
from mindlong.config.leaves import Leaf, leaves
from mindlong.config.lora_words import every
from mindlong.config.prompt_file import MARK
from mindlong.utils import plain_yaml
from mindlong.utils.errors import ConfigError
from mindlong.utils.placed import SHIPPED, placed, stays
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.app.place import Person, Place
    from mindlong.config.load import Loaded

NAMING = {*WEIGHTS, *FILES, "pixel.interpolate", "pixel.text_encoder"}  # keys that name files
WRITING = ("output", "hierarchical.work")  # where runs write is the page's to say
MACHINE = "env"  # the section of whoever started the page
_LIKE_A_PATH = re.compile(r"[/\\~\0]|^\.")


def literal(prompt: str) -> str:
    """A prompt as it is meant at the page, where none names a file."""
    return MARK + prompt if prompt.startswith(MARK) and not prompt.startswith(MARK * 2) else prompt


def check_given(keys: list[str]) -> None:
    """Raise ConfigError for a key that is not a person's to set."""
    for key in keys:
        if key in WRITING or key.partition(".")[0] == MACHINE:
            raise ConfigError(f"{shown(key)} is set by whoever starts the page, not on it")


def check(loaded: Loaded, place: Place, person: Person) -> None:
    """Raise ConfigError where a configuration names a file that is not the person's to name.

    `output` and `env` are not looked at: the page sets them.
    """
    keys = leaves(type(loaded.values))
    for key, value in _flat(plain_yaml.read(loaded.text), keys):
        leaf = keys.get(key)
        if key in ("output",) or key.startswith(f"{MACHINE}."):
            continue
        if key in ("prompt", "prompts"):
            _check_prompts(value)
        elif leaf is None or not leaf.said("text"):
            for word in _words(value):
                _check_word(key, word, place, person)


def is_inside(path: str, folders: tuple[Path, ...]) -> bool:
    """Whether a path, followed through all links, lies in one of `folders`, or is one."""
    if "\0" in path or not os.path.isabs(path):
        return False
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def is_upload(path: str, person: Person) -> bool:
    """Whether a path is one of the person's uploads."""
    there = Path(path)
    own = there.parent == person.uploads and NAME.fullmatch(there.name)
    return bool(own) and not there.is_symlink() and there.is_file()


def _check_prompts(value: Any) -> None:
    for prompt in value if isinstance(value, list) else [value]:
        if isinstance(prompt, str) and literal(prompt) != prompt:
            raise ConfigError("a prompt that names a file of the machine is not taken at the page")


def _check_word(key: str, word: str, place: Place, person: Person) -> None:
    if key == LORAS:
        word = str(every([word], LORAS)[0].path)
    if not word or _is_shipped(word):
        return
    if key not in NAMING and key != LORAS and not _LIKE_A_PATH.search(word):
        return
    if is_upload(word, person) or is_inside(word, place.roots):
        return
    where = ", ".join(map(str, place.roots)) or "none was given"
    raise ConfigError(
        f"{key} is {shown(word, most=120)!r}, which this page may not read: it is no upload of yours, nothing "
        f"shipped, and in no folder named at the start with --weights or --trainings ({where})"
    )


def _is_shipped(word: str) -> bool:
    """Whether a word names weights that come with mindlong, or a file beside them."""
    if not word.startswith(SHIPPED) or not stays(word):
        return False
    return word.removeprefix(SHIPPED) in shipped_names() or placed(word).is_file()


def _flat(tree: Any, keys: dict[str, Leaf] | Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in keys:
            yield from _flat(value, keys, f"{key}.")
        else:
            yield key, value


def _words(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _words(name)
            yield from _words(inner)
