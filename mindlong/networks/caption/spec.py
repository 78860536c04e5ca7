"""Captions as numbers: the vocabulary of the small caption encoder, its tokeniser, and the shapes
of its tensors.

Token 0 is padding, 1 to 256 are the bytes 0 to 255, the words of words.txt follow. A word
that is not among them is written as a space byte and its UTF-8 bytes, so that every caption can be
written and no two look the same.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import numpy as np

from mindlong.utils.errors import ConfigError

PADDING, FIRST_BYTE, FIRST_WORD = 0, 1, 257
# The file is appended to, never reordered: a word's place is its number in every trained weight
# file.
WORDS = tuple(Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split())
VOCABULARY = FIRST_WORD + len(WORDS)

_NUMBER = {word: FIRST_WORD + i for i, word in enumerate(WORDS)}
_PIECES = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[int]:
    """The numbers of a caption, without padding; upper and lower case are the same."""
    found: list[int] = []
    for piece in _PIECES.findall(text.lower()):
        number = _NUMBER.get(piece)
        found += (
            [FIRST_BYTE + byte for byte in f" {piece}".encode()] if number is None else [number]
        )
    return found


def caption_ids(text: str, length: int) -> np.ndarray:
    """int32 (length,): the numbers of a caption, padded with 0. The empty caption is all padding.

    Raises:
        ConfigError: the caption has more than `length` tokens.
    """
    found = tokens(text)
    if len(found) > length:
        raise ConfigError(
            f"the caption {text!r} is {len(found)} tokens long and the encoder takes {length}: "
            "shorten it, use commoner words (others cost a token a letter), or raise model.text.length"
        )
    return np.array(found + [PADDING] * (length - len(found)), np.int32)


def shapes(width: int, layers: int, length: int, cond_dim: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of `mindlong.networks.caption.cell.CaptionEncoder`."""
    table = {"embed.weight": (VOCABULARY, width), "places": (length, width), "query": (width,)}
    for i in range(layers):
        table |= {f"layers.{i}.{name}": shape for name, shape in _layer(width).items()}
    return table | _norm("norm", width) | _linear("out", width, cond_dim)


def parameter_count(width: int, layers: int, length: int, cond_dim: int) -> int:
    """Numbers in the caption encoder."""
    return sum(prod(shape) for shape in shapes(width, layers, length, cond_dim).values())


def _layer(width: int) -> dict[str, tuple[int, ...]]:
    attention = (
        _norm("norm1", width)
        | _linear("to_qkv", width, 3 * width)
        | _linear("to_out", width, width)
    )
    return (
        attention
        | _norm("norm2", width)
        | _linear("fc1", width, 4 * width)
        | _linear("fc2", 4 * width, width)
    )


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, cin: int, cout: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (cout, cin), f"{name}.bias": (cout,)}
