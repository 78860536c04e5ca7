"""Files of prompts: `prompts=@FILE`, with a prompt a line (.txt), in the column `prompt` (.csv) or
under the key `prompt` of an object a line (.jsonl).
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean

MARK = "@"  # a prompt that begins with it is written with two
COLUMN = "prompt"
OF_A_RUN = (
    *("seed", "negative", "negative_prompt", "guidance", "guidance_scale", "steps", "fps"),
    *("frames", "size", "height", "width", "count", "image", "video"),
)
MOST_BYTES = 256 * 2**20


def file_of(prompt: str) -> str:
    """The path that an entry of `prompts` names; '' where it is a prompt."""
    named = prompt.startswith(MARK) and not prompt.startswith(MARK * 2)
    return prompt[len(MARK) :].strip() if named else ""


def expanded(prompts: Iterable[str], most: int) -> list[str]:
    """The prompts, those of files in the place of the files.

    Args:
        most: prompts of a run.

    Raises:
        InputFileError: no such file, or not what its ending says. ConfigError: too many prompts, or
            a file that says of single prompts what is said of a run.
    """
    found: list[str] = []
    for prompt in prompts:
        path = file_of(prompt)
        if path:
            found += read_prompts(path)
        else:
            found.append(prompt[len(MARK) :] if prompt.startswith(MARK * 2) else prompt)
    if len(found) > most:
        raise ConfigError(f"prompts are {len(found)}; a run takes at most {most}")
    return found


def read_prompts(path: str) -> tuple[str, ...]:
    """The prompts of a file, in order. Raises InputFileError, ConfigError."""
    place = Path(path)
    if place.suffix.lower() not in READERS:
        raise ConfigError(
            f"prompts: {MARK}{path} names a file that must end in {', '.join(READERS)}; a prompt that begins "
            f"with {MARK} is written {MARK}{MARK}"
        )
    try:
        stat = place.stat()
    except OSError as error:
        raise InputFileError(f"prompts: no file at {path} ({error.strerror})") from None
    if not place.is_file() or stat.st_size > MOST_BYTES:
        raise InputFileError(
            f"prompts: {path} is no file of at most {MOST_BYTES // 2**20} MiB, as files of prompts are"
        )
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: str, modified: int, size: int) -> tuple[str, ...]:
    """Once for every content, as far as time and size tell."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputFileError(f"prompts: {path} is not text in UTF-8 ({error.reason})") from None
    except OSError as error:
        raise InputFileError(f"prompts: {path} cannot be read ({error.strerror})") from None
    found = tuple(READERS[Path(path).suffix.lower()](path, text))
    if not found:
        raise InputFileError(f"prompts: {path} holds no prompt")
    return found


def _of_text(path: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _prompt(path, number, line)


def _of_csv(path: str, text: str) -> Iterator[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _check_names(path, rows.fieldnames or [])
        for row in rows:
            yield _prompt(path, rows.line_num, row.get(COLUMN))
    except csv.Error as error:
        raise InputFileError(f"prompts: {path}, line {rows.line_num}: {error}") from None


def _of_jsonl(path: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            held: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputFileError(f"prompts: {path}, line {number} is no JSON ({error})") from None
        if isinstance(held, dict):
            _check_names(path, list(held), number)
            held = held[COLUMN]
        yield _prompt(path, number, held)


def _check_names(path: str, names: Sequence[str], line: int = 1) -> None:
    """There is the column, and none that a run would have to follow and does not."""
    if COLUMN not in names:
        raise InputFileError(
            f"prompts: {path}, line {line} has no {COLUMN!r}; it has {', '.join(map(str, names)) or 'nothing'}."
            f"{did_you_mean(COLUMN, names)}"
        )
    for name in names:
        if name in OF_A_RUN:
            raise ConfigError(
                f"prompts: {path}, line {line} has {name!r}, which is of a run and not of a prompt; take it "
                "out, and make a run for each of its values"
            )


def _prompt(path: str, line: int, held: Any) -> str:
    if not isinstance(held, str) or not held.strip():
        raise InputFileError(f"prompts: {path}, line {line} has no prompt; it must be a text")
    if "\0" in held:
        raise InputFileError(f"prompts: {path}, line {line} holds the character NUL")
    return held.strip()


READERS = {".txt": _of_text, ".csv": _of_csv, ".jsonl": _of_jsonl}
