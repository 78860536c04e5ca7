"""LoRA files as a user names them: FILE, FILE:STRENGTH, FILE:STRENGTH:STRENGTH_OF_TEXT."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.utils.errors import ConfigError

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_WORDS = re.compile(rf"(?P<path>.*?)(?::(?P<network>{_NUMBER}))?(?::(?P<text>{_NUMBER}))?")


@dataclass(frozen=True)
class Wanted:
    """A LoRA file and how strongly it acts.

    Attributes:
        path: a file, a folder with one, or the run or checkpoint of a training.
        strength: factor on what it adds to the network; negative and above 1 are fine.
        text: the same for the text encoder.
    """

    path: str
    strength: float = 1.0
    text: float = 1.0

    def of(self, role: str) -> float:
        """The strength in the network of a role."""
        return self.text if role == "text_encoder" else self.strength


def wanted(words: str, key: str = "lora") -> Wanted:
    """What `words` name. Raises ConfigError where there is no file in them."""
    match = _WORDS.fullmatch(words.strip())
    if match is None or not match["path"]:
        raise ConfigError(
            f"{key} is {words!r}; it must be FILE or FILE:STRENGTH, for example style.safetensors:0.8"
        )
    strength = float(match["network"] or 1.0)
    return Wanted(match["path"], strength, float(match["text"]) if match["text"] else strength)


def every(words: Iterable[str], key: str = "lora") -> tuple[Wanted, ...]:
    """`wanted` of all. Raises ConfigError."""
    return tuple(wanted(each, key) for each in words)


def problems(words: Iterable[str], key: str = "lora") -> Iterator[str]:
    """Sentences on what names no LoRA."""
    for each in words:
        try:
            found = wanted(each, key)
        except ConfigError as error:
            yield str(error)
            continue
        if not all(map(math.isfinite, (found.strength, found.text))):
            yield f"{key}: the strength of {found.path} is no finite number"


def short(words: str) -> str:
    """The same words without strengths that they would have anyway."""
    found = wanted(words)
    if found.text != found.strength:
        return f"{found.path}:{found.strength!r}:{found.text!r}"
    return found.path if found.strength == 1 else f"{found.path}:{found.strength!r}"


def without_paths(words: Any) -> list[str]:
    """The strengths alone, which matter wherever the files lie: what stands behind their paths."""
    return [f":{found.strength!r}:{found.text!r}" for found in every(map(str, words or ()))]
