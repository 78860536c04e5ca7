"""T5's tokenizer, SentencePiece unigram, from the user's own files; nothing is fetched.

Ids are those of transformers' T5Tokenizer: text is normalised by the model's own table, cut at
white space, each word begins with U+2581, and the end token closes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.networks.t5.spiece import read_pieces
from mindlong.utils.errors import InputFileError
from mindlong.utils.text_file import read_text

if TYPE_CHECKING:
    from mindlong.networks.t5.spec import T5Spec

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTINELS = 100  # <extra_id_0> ... behind the pieces of a model file, the last one first
FILES = ("tokenizer.json", "spiece.model")
META = "\u2581"


class T5Tokenizer:
    """Prompts to token ids: at most length - 1 tokens, the end, then `pad_id`.

    Attributes:
        vocabulary: number of tokens. room: how many tokens of a prompt fit.
        end_id: the id behind every prompt.
    """

    def __init__(self, tokenizer: Any, length: int = 226, pad_id: int = 0) -> None:
        self._tokenizer, self.length, self.pad_id = tokenizer, length, pad_id
        self.vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
        self.end_id = tokenizer.token_to_id(END)

    def __call__(self, prompts: Sequence[str], length: int | None = None) -> np.ndarray:
        """int32 (len(prompts), length), `length` of the tokenizer where none is given. What does
        not fit is cut off before the end; `overlong` tells.
        """
        length = length or self.length
        ids = np.full((len(prompts), length), self.pad_id, np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            found = [*self.tokens(prompt)[: length - 1], self.end_id]
            row[: len(found)] = found
        return ids

    @property
    def room(self) -> int:
        """How many tokens of a prompt fit."""
        return self.length - 1

    def tokens(self, prompt: str) -> list[int]:
        """The ids of a prompt of any length, without end and padding."""
        return self._tokenizer.encode(prompt, add_special_tokens=False).ids

    def overlong(self, prompt: str) -> int:
        """How many tokens of the prompt are cut off."""
        return max(len(self.tokens(prompt)) - self.room, 0)


def load_tokenizer(path: str | Path, length: int = 226, pad_id: int = 0) -> T5Tokenizer:
    """A tokenizer from a folder with tokenizer.json or spiece.model, or from one of these files.

    Raises:
        InputFileError: no such file, or not a SentencePiece unigram model; the sentence says what
            is needed.
    """
    path = Path(path)
    for file in [path] if path.is_file() else [path / name for name in FILES]:
        if file.is_file():
            made = _of_json(file) if file.suffix == ".json" else _of_pieces(file)
            for token in (PAD, END, UNKNOWN):
                if made.token_to_id(token) is None:
                    raise InputFileError(f"{file}: has no token {token}, so it is not one of T5's")
            return T5Tokenizer(made, length, pad_id)
    raise InputFileError(
        f"{path}: no tokenizer found; needed is a folder with {' or '.join(FILES)}."
    )


def for_spec(path: str | Path, spec: T5Spec) -> T5Tokenizer:
    """The tokenizer of an encoder: its length and padding. Raises as `load_tokenizer`."""
    return load_tokenizer(path, spec.length, spec.pad_id)


def _of_pieces(file: Path) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    held = read_pieces(file)
    known = {text for text, _ in held.pieces}
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(SENTINELS))]
    vocabulary = [*held.pieces, *((token, 0.0) for token in sentinels if token not in known)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=held.unknown, byte_fallback=False))
    if held.characters:
        try:
            made.normalizer = normalizers.Precompiled(held.characters)
        except Exception as error:  # the library has no class of its own for it
            raise InputFileError(f"{file}: its table of characters is damaged ({error})") from None
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement=META, prepend_scheme="always", split=True),
        ]
    )
    made.add_special_tokens([END, UNKNOWN, PAD, *reversed(sentinels)])
    return made


def _of_json(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        content = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{file}: not a JSON file ({error}).") from None
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or model.get("type") != "Unigram":
        raise InputFileError(f"{file}: not a SentencePiece unigram tokenizer")
    try:
        made = Tokenizer.from_str(json.dumps({**content, "truncation": None, "padding": None}))
    except Exception as error:  # the library has no class of its own for it
        raise InputFileError(f"{file}: a damaged tokenizer ({error})") from None
    return made
