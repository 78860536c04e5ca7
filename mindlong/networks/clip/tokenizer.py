"""CLIP's byte-pair tokenizer, from the user's own vocabulary files; nothing is fetched.

The text is normalised as transformers' CLIPTokenizer does: NFC, white space to single blanks, lower
case. open_clip's own
tokenizer also mends mojibake, curly quotes and HTML entities (the ftfy package) and reads
<|endoftext|> in a prompt as plain
text; for all other text the ids are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from mindlong.networks.clip.tokenizer_files import (
    END,
    OPENAI_MERGES,
    START,
    WORD_END,
    TokenizerFiles,
    byte_letters,
    read_files,
)
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.networks.clip.text_spec import ClipTextSpec

__all__ = ["END", "OPENAI_MERGES", "START", "WORD_END", "ClipTokenizer", "byte_letters"]

PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


class ClipTokenizer:
    """Prompts to fixed-length token ids: start, at most length - 2 tokens, end, then `pad_id`.

    Attributes:
        vocabulary: number of tokens. start_id, end_id: the ids around every prompt.
    """

    def __init__(
        self,
        files: TokenizerFiles,
        length: int = 77,
        pad_id: int | None = None,
    ) -> None:
        """`pad_id` differs by family; None: as the files declare, the end token where they do not.

        Raises:
            InputFileError: the files contradict each other.
        """
        ids = files.ids()
        self.vocabulary, self.length = max(ids.values(), default=-1) + 1, length
        self.start_id, self.end_id = ids[files.start], ids[files.end]
        own = files.pad_id
        self.pad_id = pad_id if pad_id is not None else self.end_id if own is None else own
        self._tokenizer = _build(files)

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        """int32 (len(prompts), length). What does not fit is cut off; `overlong` tells."""
        if not prompts:
            return np.zeros((0, self.length), np.int32)
        return np.stack([self.framed(self.tokens(prompt)) for prompt in prompts])

    def framed(self, tokens: Sequence[int]) -> np.ndarray:
        """int32 (length,): start, as many of the tokens as fit, end, then padding."""
        ids = np.full(self.length, self.pad_id, np.int32)
        row = [self.start_id, *tokens[: self.room], self.end_id]
        ids[: len(row)] = row
        return ids

    def tokens(self, prompt: str) -> list[int]:
        """The ids of a prompt of any length, without start, end and padding."""
        return self._tokenizer.encode(prompt, add_special_tokens=False).ids

    @property
    def room(self) -> int:
        """How many tokens of a prompt fit."""
        return self.length - 2

    def overlong(self, prompt: str) -> int:
        """How many tokens of the prompt are cut off."""
        return max(len(self.tokens(prompt)) - self.room, 0)


def load_tokenizer(
    path: str | Path, length: int = 77, pad_id: int | None = None, most: int | None = None
) -> ClipTokenizer:
    """A tokenizer from a folder, or a file, of one of three kinds.

    A tokenizer.json, alone or with others (the `tokenizer` folder of a diffusers model);
    vocab.json and merges.txt; or OpenAI's bpe_simple_vocab_16e6.txt(.gz), which open_clip ships.

    Args:
        pad_id: the id that fills a prompt up; None: as declared in the files.
        most: tokens that the text encoder knows.

    Raises:
        InputFileError: no such file, not a CLIP vocabulary, or more tokens than `most`; the
            sentence says which files are looked for.
    """
    made = ClipTokenizer(read_files(Path(path)), length, pad_id)
    highest = max(made.vocabulary - 1, made.pad_id)
    if most is not None and highest >= most:
        raise InputFileError(
            f"{shown(path)} gives token ids up to {highest}; the text encoder has {most} tokens: they "
            "do not belong together"
        )
    return made


def for_spec(path: str | Path, spec: ClipTextSpec) -> ClipTokenizer:
    """The tokenizer of a text encoder: its length and padding. Raises as `load_tokenizer`."""
    return load_tokenizer(path, spec.length, spec.pad_id, spec.vocabulary)


def _build(files: TokenizerFiles) -> Tokenizer:
    try:
        model = models.BPE(
            files.vocabulary,
            files.merges,
            unk_token=END,
            end_of_word_suffix=WORD_END,
            continuing_subword_prefix="",
        )
        tokenizer = text_rules(Tokenizer(model))
        for token in files.added:
            flags = {
                n: getattr(token, n) for n in ("single_word", "lstrip", "rstrip", "normalized")
            }
            tokenizer.add_tokens([AddedToken(token.content, special=token.special, **flags)])
    except (KeyboardInterrupt, SystemExit):
        raise
    except (
        BaseException
    ) as error:  # a merge of unknown tokens raises Exception, a panic no Exception
        raise InputFileError(
            f"The vocabulary and its merges do not fit together: {shown(error, most=200)}."
        ) from error
    return tokenizer


def text_rules(tokenizer: Tokenizer) -> Tokenizer:
    """Give `tokenizer` CLIP's way to clean a text and to cut it into words."""
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return tokenizer
