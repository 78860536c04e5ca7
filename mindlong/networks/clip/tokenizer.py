"""CLIP's byte-pair tokenizer, from the user's own vocabulary files; nothing is fetched.

The text is normalised as transformers' CLIPTokenizer does: NFC, white space to single blanks, lower
case. open_clip's own
tokenizer also mends mojibake, curly quotes and HTML entities (the ftfy package) and reads
<|endoftext|> in a prompt as plain
text; for all other text the ids are equal.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.utils.errors import InputFileError

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
OPENAI_MERGES = "bpe_simple_vocab_16e6.txt"
OPENAI_MERGE_COUNT = 49152 - 256 - 2  # the file holds more merges than CLIP's vocabulary uses


class ClipTokenizer:
    """Prompts to fixed-length token ids: start, at most length - 2 tokens, end, then `pad_id`.

    Attributes:
        vocabulary: number of tokens. start_id, end_id: the ids around every prompt.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        merges: list[tuple[str, str]],
        length: int = 77,
        pad_id: int | None = None,
    ) -> None:
        """`pad_id` differs by family: the end token for CLIP ViT-L (None), 0 for OpenCLIP ViT-H."""
        for token in (START, END):
            if token not in vocabulary:
                raise InputFileError(
                    f"The vocabulary has no {token} token, so it is not one of CLIP's."
                )
        self.vocabulary, self.length = len(vocabulary), length
        self.start_id, self.end_id = vocabulary[START], vocabulary[END]
        self.pad_id = self.end_id if pad_id is None else pad_id
        self._tokenizer = _build(vocabulary, merges)

    def __call__(self, prompts: Sequence[str]) -> np.ndarray:
        """int32 (len(prompts), length). What does not fit is cut off; `overlong` tells."""
        ids = np.full((len(prompts), self.length), self.pad_id, np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            tokens = [self.start_id, *self.tokens(prompt)[: self.length - 2], self.end_id]
            row[: len(tokens)] = tokens
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


def load_tokenizer(path: str | Path, length: int = 77, pad_id: int | None = None) -> ClipTokenizer:
    """A tokenizer from a folder, or a file, of one of three kinds.

    A folder with vocab.json and merges.txt (the `tokenizer` folder of a diffusers model); a
    tokenizer.json; or OpenAI's bpe_simple_vocab_16e6.txt(.gz), which open_clip ships.

    Raises:
        InputFileError: no such file, or not a CLIP vocabulary; the sentence says which files are
            looked for.
    """
    path = Path(path)
    vocabulary, merges = _read(path)
    if not vocabulary:
        raise InputFileError(f"{path}: the vocabulary is empty.")
    return ClipTokenizer(vocabulary, merges, length, pad_id)


def for_spec(path: str | Path, spec: ClipTextSpec) -> ClipTokenizer:
    """The tokenizer of a text encoder: its length and padding. Raises as `load_tokenizer`."""
    return load_tokenizer(path, spec.length, spec.pad_id)


def _read(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    folder = path if path.is_dir() else path.parent
    candidates = (
        [path]
        if path.is_file()
        else [
            folder / "vocab.json",
            folder / "tokenizer.json",
            folder / f"{OPENAI_MERGES}.gz",
            folder / OPENAI_MERGES,
        ]
    )
    for file in candidates:
        if file.is_file():
            break
    else:
        raise InputFileError(
            f"{path}: no tokenizer found; needed is a folder with vocab.json and merges.txt, a "
            f"tokenizer.json, or OpenAI's {OPENAI_MERGES}.gz."
        )
    if file.name.startswith("bpe_") or file.suffix == ".gz":
        return _openai(file)
    content = _json(file)
    if "model" in content:
        return content["model"]["vocab"], [_merge(line) for line in content["model"]["merges"]]
    return content, _merges(file.with_name("merges.txt"))


def _json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputFileError(f"{file}: not a JSON file ({error}).") from error
    if not isinstance(content, dict):
        raise InputFileError(
            f"{file}: not a vocabulary; it should be an object of tokens and their numbers."
        )
    return content


def _merges(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        raise InputFileError(
            f"{file} is missing; vocab.json needs the merges.txt that belongs to it."
        )
    lines = file.read_text(encoding="utf-8").split("\n")
    return [_merge(line) for line in lines if line.strip() and not line.startswith("#version")]


def _merge(line: str | list[str]) -> tuple[str, str]:
    parts = line.split() if isinstance(line, str) else line
    if len(parts) != 2:
        raise InputFileError(
            f"A merge rule has two parts, this one has {len(parts)}: {str(line)[:60]!r}."
        )
    return parts[0], parts[1]


def _openai(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """OpenAI's file holds merges only; the vocabulary is the bytes, the bytes that end a word,
    every merge's result.
    """
    try:
        content = file.read_bytes()
        lines = (
            (gzip.decompress(content) if file.suffix == ".gz" else content)
            .decode("utf-8")
            .split("\n")
        )
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputFileError(f"{file}: not a merges file ({error}).") from error
    merges = [_merge(line) for line in lines[1 : OPENAI_MERGE_COUNT + 1] if line.strip()]
    letters = byte_letters()
    tokens = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    return {token: number for number, token in enumerate(tokens)}, merges


def byte_letters() -> list[str]:
    """One printable letter for each byte, in the order of GPT-2's vocabulary: printable bytes
    first, others after.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def _build(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    try:
        model = models.BPE(
            vocabulary,
            merges,
            unk_token=END,
            end_of_word_suffix=WORD_END,
            continuing_subword_prefix="",
        )
    except (
        Exception
    ) as error:  # the library raises bare Exception, for instance for a merge of unknown tokens
        raise InputFileError(
            f"The vocabulary and its merges do not fit together: {error}."
        ) from error
    tokenizer = text_rules(Tokenizer(model))
    tokenizer.add_special_tokens([START, END])
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
