"""Learning byte-pair merges from captions, in the form that CLIP's tokenizer reads."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, models, trainers

from mindlong.networks.clip.tokenizer import END, START, WORD_END, byte_letters, text_rules
from mindlong.utils.errors import ConfigError


def learn(captions: Iterable[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, at most `size` tokens: the bytes, the bytes that end a word, the
    merges, start and end.

    Raises:
        ConfigError: no room for a merge.
    """
    letters = byte_letters()
    if size < 2 * len(letters) + 2:
        raise ConfigError(
            f"size is {size}; the bytes, the bytes that end a word, start and end alone are {2 * len(letters) + 2}"
        )
    tokenizer = text_rules(Tokenizer(models.BPE(unk_token=END, end_of_word_suffix=WORD_END)))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=letters,
        end_of_word_suffix=WORD_END,
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(list(captions), trainer)
    known = {*letters, *(letter + WORD_END for letter in letters)}
    merges = [pair for pair in _merges(tokenizer) if "".join(pair) not in known][
        : size - 2 * len(letters) - 2
    ]
    tokens = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in found]
