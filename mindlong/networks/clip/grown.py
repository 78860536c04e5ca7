"""A trained text encoder for another vocabulary or longer prompts, to be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mindlong.networks.clip.tokenizer import END, START, WORD_END, ClipTokenizer, byte_letters
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.networks.clip.text_spec import ClipTextSpec
    from mindlong.networks.clip.tokenizer_files import TokenizerFiles

TOKENS, PLACES = "token_embedding.weight", "position_embedding"


def grown(
    spec: ClipTextSpec,
    arrays: Mapping[str, np.ndarray],
    files: TokenizerFiles,
    vocabulary: Mapping[str, int],
    length: int,
) -> tuple[ClipTextSpec, dict[str, np.ndarray]]:
    """The spec and the tensors of the same encoder with the tokens of `vocabulary` and prompts of
    `length` tokens.

    A token that both vocabularies spell alike keeps its vector, any other starts from the mean of
    those that the old tokenizer spells it with; a place beyond the old prompts starts from the last
    one. All else is shared, so that a prompt of known tokens has the states that it had.

    Args:
        arrays: under our names, without a prefix. files: the old tokenizer's.
        vocabulary: token -> id, with `<|startoftext|>` and `<|endoftext|>`.

    Raises:
        ConfigError: `length` is below the encoder's: its last places would be cut off.
    """
    if length < spec.length:
        raise ConfigError(
            f"length is {length}; the text encoder has {spec.length} places already: give at least that"
        )
    old = ClipTokenizer(files, spec.length, spec.pad_id)
    known, given = files.ids(), np.asarray(arrays[TOKENS])
    rows = np.zeros((len(vocabulary), spec.width), given.dtype)
    for token, number in vocabulary.items():
        rows[number] = given[list(_spelt(token, known, old))].mean(0)
    places = np.asarray(arrays[PLACES])
    beyond = np.repeat(places[-1:], length - spec.length, axis=0)
    pad = _named(spec.pad_id, known)
    made = replace(
        spec,
        vocabulary=len(vocabulary),
        length=length,
        pad_id=vocabulary.get(pad, vocabulary[END]),
    )
    return made, {**arrays, TOKENS: rows, PLACES: np.concatenate([places, beyond])}


def _spelt(token: str, known: Mapping[str, int], old: ClipTokenizer) -> Iterator[int]:
    """The old ids that say a token: its own, or those of its letters."""
    special = {START: old.start_id, END: old.end_id}
    if token in special or token in known:
        yield special.get(token, known.get(token, 0))
        return
    letters = token.removesuffix(WORD_END)
    try:
        found = old.tokens(_bytes(letters).decode())
    except UnicodeDecodeError:  # a part of a letter that takes several bytes
        found = [known[letter] for letter in letters if letter in known]
    yield from found or [old.end_id]


def _bytes(letters: str) -> bytes:
    """What a vocabulary's letters, one for each byte, stand for."""
    plain = byte_letters()
    others = [number for number in range(256) if chr(number) not in plain]
    return bytes(ord(one) if ord(one) < 256 else others[ord(one) - 256] for one in letters)


def _named(number: int, known: Mapping[str, int]) -> str:
    return next((token for token, its in known.items() if its == number), END)
