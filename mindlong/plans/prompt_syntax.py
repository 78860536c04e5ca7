"""What a prompt says beside its words where `prompt_syntax` is weighted: `(word:1.3)`, `((word))`,
`[less]`, `\\(` for a bracket that is meant as one (`\\\\` for a backslash; alone it is dropped),
`a AND b:0.5` for a blend.

The brackets are those of the field's long-prompt pipelines: a round one multiplies the weight of
what it holds by 1.1, a square one divides it by 1.1, `(...:1.3)` multiplies it by 1.3.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mindlong.utils.errors import ConfigError

PLAIN, WEIGHTED = SYNTAXES = ("plain", "weighted")
STEP = 1.1  # what one bracket multiplies by
_SIGN = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:([+-]?[.\d]+)\)|\)|]|[^\\()\[\]:]+|:")
_AND = re.compile(r"\bAND\b")
_SHARE = re.compile(r"(?s)(.*?)\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*")


@dataclass(frozen=True)
class Piece:
    """Words of a prompt that have one weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Said:
    """A prompt, or one of several that are blended.

    Attributes:
        pieces: in order.
        share: of the blend; the shares of a prompt add up to 1.
        open: brackets that are opened and not closed; they reach to the end.
        stray: brackets that close nothing; they are words.
    """

    pieces: tuple[Piece, ...]
    share: float = 1.0
    open: int = 0
    stray: int = 0


def read(prompt: str, syntax: str = WEIGHTED) -> tuple[Said, ...]:
    """The parts of a blend, one for a prompt that blends nothing. A plain prompt is taken as it
    stands.

    Raises:
        ConfigError: a weight that is no number, shares that add up to nothing.
    """
    if syntax == PLAIN:
        return (Said((Piece(prompt),)),)
    parts = [_shared(part) for part in _AND.split(prompt)]
    if len(parts) == 1:
        return (_said(prompt, 1.0),)
    total = sum(share for _, share in parts)
    if abs(total) < 1e-6:
        raise ConfigError(f"the prompt {prompt!r} blends parts whose shares add up to {total:g}")
    return tuple(_said(text, share / total) for text, share in parts)


def _shared(part: str) -> tuple[str, float]:
    """The text of a part of a blend, and its share: 1 where it names none."""
    found = _SHARE.fullmatch(part)
    if found is None or found[1].count("(") > found[1].count(")"):
        return part.strip(), 1.0
    return found[1].strip(), float(found[2])


def _said(text: str, share: float) -> Said:
    """The pieces of a text without blends."""
    words: list[list] = []  # text, weight
    opened: dict[str, list[int]] = {"(": [], "[": []}
    stray = 0

    def weigh(start: int, factor: float) -> None:
        for word in words[start:]:
            word[1] *= factor

    for match in _SIGN.finditer(text):
        sign, weight = match[0], match[1]
        closes = "(" if sign == ")" or weight is not None else "[" if sign == "]" else ""
        if sign in opened:
            opened[sign].append(len(words))
        elif closes and opened[closes]:
            usual = STEP if closes == "(" else 1 / STEP
            weigh(opened[closes].pop(), usual if weight is None else _number(weight, text))
        else:
            stray += bool(closes)
            words.append([sign.removeprefix("\\"), 1.0])
    for kind, factor in (("(", STEP), ("[", 1 / STEP)):
        for start in opened[kind]:
            weigh(start, factor)
    unclosed = len(opened["("]) + len(opened["["])
    return Said(tuple(_joined(words)) or (Piece(""),), share, unclosed, stray)


def _number(weight: str, text: str) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"the prompt {text!r} has the weight {weight!r}, which is no number")
    return number


def _joined(words: list[list]) -> list[Piece]:
    """Neighbours of one weight as one piece."""
    made: list[Piece] = []
    for text, weight in words:
        if made and made[-1].weight == weight:
            made[-1] = Piece(made[-1].text + text, weight)
        else:
            made.append(Piece(text, weight))
    return made
