"""BERT's WordPiece tokenizer, from the user's own vocabulary files; nothing is fetched.

Texts are cleaned and cut as BertTokenizer of transformers does it: control characters go, Chinese
characters stand alone, an uncased vocabulary reads lower case without accents.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.utils.errors import InputFileError
from mindlong.utils.text_file import read_text

if TYPE_CHECKING:
    from mindlong.networks.bert.spec import BertSpec

START, END, PAD, UNKNOWN = "[CLS]", "[SEP]", "[PAD]", "[UNK]"
SPECIAL = (START, END, PAD, UNKNOWN)
FILES = ("vocab.txt", "tokenizer.json")
LONGEST_WORD = 100  # characters; a longer one is unknown


@dataclass(frozen=True)
class Rules:
    """How a text is cleaned; None: as `lower` says, or the vocabulary."""

    lower: bool | None = None
    strip_accents: bool | None = None
    chinese: bool = True


class BertTokenizer:
    """Prompts to token ids: [CLS], at most length - 2 tokens, [SEP], then `pad_id`.

    Attributes:
        vocabulary: number of tokens. room: how many tokens of a prompt fit.
        start_id, end_id: the ids around every prompt.
    """

    def __init__(
        self, tokens: dict[str, int], rules: Rules = Rules(), length: int = 64, pad_id: int = 0
    ) -> None:
        for token in SPECIAL:
            if token not in tokens:
                raise InputFileError(
                    f"The vocabulary has no {token} token, so it is not one of BERT's."
                )
        self.vocabulary, self.length, self.pad_id = max(tokens.values()) + 1, length, pad_id
        self.start_id, self.end_id = tokens[START], tokens[END]
        self._tokenizer = _build(tokens, rules)

    def __call__(self, prompts: Sequence[str], length: int | None = None) -> np.ndarray:
        """int32 (len(prompts), length), `length` of the tokenizer where none is given. What does
        not fit is cut off; `overlong` tells.
        """
        length = length or self.length
        ids = np.full((len(prompts), length), self.pad_id, np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            found = [self.start_id, *self.tokens(prompt)[: length - 2], self.end_id]
            row[: len(found)] = found
        return ids

    @property
    def room(self) -> int:
        """How many tokens of a prompt fit."""
        return self.length - 2

    def tokens(self, prompt: str) -> list[int]:
        """The ids of a prompt of any length, without start, end and padding."""
        return self._tokenizer.encode(prompt, add_special_tokens=False).ids

    def overlong(self, prompt: str) -> int:
        """How many tokens of the prompt are cut off."""
        return max(len(self.tokens(prompt)) - self.room, 0)


def load_tokenizer(path: str | Path, length: int = 64, pad_id: int = 0) -> BertTokenizer:
    """A tokenizer from a folder with vocab.txt (and tokenizer_config.json beside it) or
    tokenizer.json, or from one of these files.

    Raises:
        InputFileError: no such file, or not a WordPiece vocabulary; the sentence says what is
            needed.
    """
    path = Path(path)
    for file in [path] if path.is_file() else [path / name for name in FILES]:
        if file.is_file():
            tokens, rules = _json(file) if file.suffix == ".json" else _lines(file)
            return BertTokenizer(tokens, rules, length, pad_id)
    raise InputFileError(
        f"{path}: no tokenizer found; needed is a folder with {' or '.join(FILES)}."
    )


def for_spec(path: str | Path, spec: BertSpec) -> BertTokenizer:
    """The tokenizer of an encoder: its length and padding. Raises as `load_tokenizer`."""
    return load_tokenizer(path, spec.length, spec.pad_id)


def _lines(file: Path) -> tuple[dict[str, int], Rules]:
    try:
        lines = read_text(file).split("\n")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{file}: not a vocabulary in UTF-8 ({error}).") from None
    tokens = {line.rstrip("\r"): number for number, line in enumerate(lines) if line.strip()}
    if not tokens:
        raise InputFileError(f"{file}: the vocabulary is empty.")
    beside = file.with_name("tokenizer_config.json")
    said = _table(beside) if beside.is_file() else {}
    return tokens, Rules(
        said.get("do_lower_case"),
        said.get("strip_accents"),
        said.get("tokenize_chinese_chars", True) is not False,
    )


def _json(file: Path) -> tuple[dict[str, int], Rules]:
    content = _table(file)
    model, normal = content.get("model"), content.get("normalizer")
    model = model if isinstance(model, dict) else {}
    tokens, kind = model.get("vocab"), model.get("type", "WordPiece")
    if not isinstance(tokens, dict) or kind != "WordPiece" or not _whole(tokens):
        raise InputFileError(f"{file}: not a WordPiece tokenizer.")
    said = normal if isinstance(normal, dict) else {}
    return tokens, Rules(
        said.get("lowercase"),
        said.get("strip_accents"),
        said.get("handle_chinese_chars", True) is not False,
    )


def _whole(tokens: dict[str, Any]) -> bool:
    return all(isinstance(number, int) for number in tokens.values())


def _table(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{file}: not a JSON file ({error}).") from None
    if not isinstance(content, dict):
        raise InputFileError(f"{file}: holds a {type(content).__name__}; a table is needed.")
    return content


def _is_uncased(tokens: dict[str, int]) -> bool:
    """Whether a vocabulary has no capital letter outside of its special tokens."""
    return not any(t != t.lower() for t in tokens if not (t.startswith("[") and t.endswith("]")))


def _build(tokens: dict[str, int], rules: Rules) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    lower = _is_uncased(tokens) if rules.lower is None else rules.lower
    tokenizer = Tokenizer(
        models.WordPiece(tokens, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=rules.chinese,
        strip_accents=rules.strip_accents,
        lowercase=lower,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in (*SPECIAL, "[MASK]") if token in tokens])
    return tokenizer
