"""The files of a CLIP tokenizer: vocabulary, merges, and what is declared of special tokens.

Read as transformers' CLIPTokenizer 5 reads them: a tokenizer.json goes before vocab.json and
merges.txt; special_tokens_map.json goes before tokenizer_config.json unless the latter has an
`added_tokens_decoder`; a special token that is not in the vocabulary is put behind it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindlong.utils.errors import InputFileError
from mindlong.utils.json_file import read_table
from mindlong.utils.shown import shown

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
OPENAI_MERGES = "bpe_simple_vocab_16e6.txt"
OPENAI_MERGE_COUNT = 49152 - 256 - 2  # the file holds more merges than CLIP's vocabulary uses
NAMES = ("tokenizer.json", "vocab.json", f"{OPENAI_MERGES}.gz", OPENAI_MERGES)  # any of them does
MAX_BYTES = 64 << 20
MAX_TOKENS = 4_000_000
CLASSES = (
    None,
    "CLIPTokenizer",
    "CLIPTokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
_EXTRA = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True)
class Added:
    """A token beside the vocabulary. `special` ones are found before the text is cleaned."""

    content: str
    special: bool = True
    normalized: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class TokenizerFiles:
    """What the files say.

    Attributes:
        vocabulary: token -> id. merges: pairs, best first.
        start, end: the tokens around every prompt.
        pad: the token that fills a prompt up; None: declared as none.
        added: tokens beside the vocabulary, in the order in which they get their ids, and those of
            the vocabulary that are special.
    """

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    start: str = START
    end: str = END
    pad: str | None = END
    added: tuple[Added, ...] = (Added(START), Added(END))

    def ids(self) -> dict[str, int]:
        """Token -> id with the added ones, which stand behind the vocabulary."""
        found = dict(self.vocabulary)
        for token in self.added:
            found.setdefault(token.content, len(found))
        return found

    @property
    def pad_id(self) -> int | None:
        """The id that fills a prompt up, None where there is none."""
        return None if self.pad is None else self.ids().get(self.pad)


def read_files(path: Path) -> TokenizerFiles:
    """The files of a tokenizer in a folder, or one of them.

    Raises:
        InputFileError: none, or not a CLIP tokenizer's; the sentence says which files are looked
            for.
    """
    file = _file(path)
    if file.name.startswith("bpe_") or file.suffix == ".gz":
        return TokenizerFiles(*_openai(file))
    content = read_table(file, "the vocabulary of a tokenizer", MAX_BYTES)
    if file.name == "tokenizer.json" or "model" in content:
        vocabulary, merges = _whole(content, file)
    else:
        vocabulary, merges = _vocabulary(content, file), _merges(file.with_name("merges.txt"))
    if not vocabulary:
        raise InputFileError(f"{file}: the vocabulary is empty.")
    return TokenizerFiles(vocabulary, merges, **_declared(file.parent, content, vocabulary))


def declared(folder: Path) -> dict[str, int]:
    """`pad_id`, the id that fills a prompt up as the files in a tokenizer's folder say; empty where
    they say nothing of it (OpenAI's list of merges), or that there is none.
    """
    file = _file(folder)
    pad = None if file.name.startswith("bpe_") else read_files(folder).pad_id
    return {} if pad is None else {"pad_id": pad}


def _file(path: Path) -> Path:
    try:
        found = [path] if path.is_file() else [path / n for n in NAMES if (path / n).is_file()]
    except OSError as error:
        raise InputFileError(f"{shown(path)} cannot be read ({error.strerror})") from None
    if not found:
        raise InputFileError(
            f"{shown(path)}: no tokenizer found; needed is a folder with tokenizer.json, one with "
            f"vocab.json and merges.txt, or OpenAI's {OPENAI_MERGES}.gz."
        )
    return found[0]


def _whole(content: Mapping[str, Any], file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a tokenizer.json."""
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise InputFileError(
            f"{file}: a tokenizer of the kind {shown(kind, most=40)!r}; CLIP's is 'BPE'."
        )
    lines = model.get("merges")
    if not isinstance(lines, list) or len(lines) > MAX_TOKENS:
        raise InputFileError(f"{file}: its merges are no list of pairs.")
    return _vocabulary(model.get("vocab"), file), [_merge(line, file) for line in lines]


def _vocabulary(content: object, file: Path) -> dict[str, int]:
    if isinstance(content, dict) and len(content) <= MAX_TOKENS:
        numbers = content.values()
        if all(type(n) is int and 0 <= n < MAX_TOKENS for n in numbers):
            return content
    raise InputFileError(
        f"{file}: not a vocabulary; it should be an object of tokens and their numbers."
    )


def _merges(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        raise InputFileError(
            f"{file} is missing; vocab.json needs the merges.txt that belongs to it."
        )
    lines = _text(file).split("\n")
    return [
        _merge(line, file) for line in lines if line.strip() and not line.startswith("#version")
    ]


def _merge(line: object, file: Path) -> tuple[str, str]:
    parts = line.split() if isinstance(line, str) else line
    if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(p, str) for p in parts)):
        raise InputFileError(
            f"{file}: a merge rule has two parts, this one has not: {str(line)[:60]!r}."
        )
    return parts[0], parts[1]


def _openai(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """OpenAI's file holds merges only; the vocabulary is the bytes, the bytes that end a word,
    every merge's result.
    """
    lines = _text(file).split("\n")
    merges = [_merge(line, file) for line in lines[1 : OPENAI_MERGE_COUNT + 1] if line.strip()]
    letters = byte_letters()
    tokens = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    return {token: number for number, token in enumerate(tokens)}, merges


def _text(file: Path) -> str:
    """A file's text, unpacked, of a bounded size."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputFileError(
                f"{file}: more than {MAX_BYTES} bytes; a list of merges is smaller."
            )
        return data.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputFileError(f"{file}: not a merges file ({error}).") from None


def byte_letters() -> list[str]:
    """One printable letter for each byte, in the order of GPT-2's vocabulary: printable bytes
    first, others after.
    """
    printables = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printables] + [chr(256 + i) for i in range(256 - len(printables))]


def _declared(
    folder: Path, content: Mapping[str, Any], vocabulary: Mapping[str, int]
) -> dict[str, Any]:
    """start, end, pad and added tokens as the files beside the vocabulary say."""
    config = _beside(folder / "tokenizer_config.json")
    if config.get("tokenizer_class") not in CLASSES:
        kind = shown(config["tokenizer_class"], most=60)
        raise InputFileError(f"{folder}: a {kind}; a CLIPTokenizer is needed.")
    decoder = config.get("added_tokens_decoder")
    special = {key: config[key] for key in (*_SPECIAL, *_EXTRA) if key in config}
    if not isinstance(decoder, dict):
        table = _beside(folder / "special_tokens_map.json")
        special |= {key: table[key] for key in (*_SPECIAL, *_EXTRA) if key in table}
    names = {key: _token(value, key, folder) for key, value in special.items() if key in _SPECIAL}
    listed = [*_of_json(content), *_of_decoder(decoder), *_of_added(folder / "added_tokens.json")]
    added = {token.content: token for _, token in sorted(listed, key=lambda pair: pair[0])}
    usual = dict.fromkeys(_SPECIAL, END) | {"bos_token": START}
    chosen = {**usual, **names}
    words = [word for word in chosen.values() if word is not None]
    for word in [*words, *_extra(special)]:
        added.setdefault(word, Added(word))
    start, end = chosen["bos_token"], chosen["eos_token"]
    if start is None or end is None:
        raise InputFileError(f"{folder}: a tokenizer without a token for the start or the end.")
    missing = next((w for w in (start, end) if w not in vocabulary and w in (START, END)), None)
    if missing:
        raise InputFileError(f"The vocabulary has no {missing} token, so it is not one of CLIP's.")
    return {"start": start, "end": end, "pad": chosen["pad_token"], "added": tuple(added.values())}


def _beside(file: Path) -> dict[str, Any]:
    return read_table(file, "of a tokenizer", MAX_BYTES) if file.is_file() else {}


def _token(value: object, key: str, folder: Path) -> str | None:
    """A special token, given as text or as a table with its content."""
    content = value.get("content") if isinstance(value, dict) else value
    if content is not None and (not isinstance(content, str) or not content):
        raise InputFileError(
            f"{folder}: its {key} is {shown(value, most=60)!r}; it should be text."
        )
    return content


def _extra(special: Mapping[str, Any]) -> Iterator[str]:
    for key in _EXTRA:
        held = special.get(key)
        values = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
        for value in values:
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str) and content:
                yield content


def _of_json(content: Mapping[str, Any]) -> Iterator[tuple[int, Added]]:
    rows = content.get("added_tokens") if "model" in content else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and type(row.get("id")) is int:
            yield from _row(row["id"], row)


def _of_decoder(decoder: object) -> Iterator[tuple[int, Added]]:
    for number, row in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(row, dict) and str(number).isascii() and str(number).isdecimal():
            yield from _row(int(str(number)[:18]), row)


def _of_added(file: Path) -> Iterator[tuple[int, Added]]:
    for content, number in _beside(file).items():
        if type(number) is int and content:
            yield number, Added(content, special=False, normalized=True)


def _row(number: int, row: Mapping[str, Any]) -> Iterator[tuple[int, Added]]:
    if isinstance(row.get("content"), str) and row["content"]:
        special = row.get("special") is True
        flags = {name: row.get(name) is True for name in ("single_word", "lstrip", "rstrip")}
        normalized = row.get("normalized") is True if "normalized" in row else not special
        yield number, Added(row["content"], special, normalized, **flags)
