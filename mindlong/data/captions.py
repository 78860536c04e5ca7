"""What lies beside a clip: its caption, `NAME.txt`, and its embedding, `NAME.npy`; and captions
cut to what an encoder takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindlong.media.formats import why_unreadable
from mindlong.networks.caption.spec import tokens
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

LONGEST = 1 << 20  # bytes: a file beyond is no caption


def sidecar(path: Path, suffix: str) -> Path:
    """The file beside a clip that has its name and `suffix`."""
    return path.with_name((path.name if path.is_dir() else path.stem) + suffix)


def read_caption(path: Path) -> str:
    """The caption beside a clip, white space as single blanks; "" where there is none.

    Raises:
        InputFileError: the file is no text in UTF-8, no plain file, or may not be read.
    """
    file = sidecar(path, ".txt")
    if not _there(file):
        return ""
    try:
        with file.open("rb") as stream:
            data = stream.read(LONGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputFileError(why_unreadable(file, error)) from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{shown(file)} is not a text in UTF-8: {error}") from error
    if len(data) > LONGEST or "\0" in text:
        raise InputFileError(f"{shown(file)} is no caption: it is binary, or larger than 1 MiB")
    return " ".join(text.split())


def read_embedding(path: Path, width: int | None = None) -> np.ndarray | None:
    """The embedding beside a clip, (D,) float32; None where there is none.

    Args:
        width: D, where it is known.

    Raises:
        InputFileError: the file is no array, of another shape, or not finite.
    """
    file = sidecar(path, ".npy")
    if not _there(file):
        return None
    try:
        values = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged header ends in whatever Python's tokenizer raises
        raise InputFileError(
            f"{shown(file)} cannot be read as an array: {type(error).__name__} {shown(error)}"
        ) from error
    flat = values.reshape(-1) if values.ndim == 2 and values.shape[0] == 1 else values
    if flat.ndim != 1 or not np.issubdtype(flat.dtype, np.floating) or not np.isfinite(flat).all():
        raise InputFileError(
            f"{shown(file)} has shape {values.shape}, {values.dtype}; an embedding is (D,) finite floats"
        )
    if width and len(flat) != width:
        raise InputFileError(
            f"{shown(file)} has {len(flat)} numbers; model.cond_dim asks for {width}"
        )
    return flat.astype(np.float32)


def cut(text: str, length: int) -> tuple[str, int]:
    """(the first words of a caption that `length` tokens of the caption encoder hold, the tokens of
    the whole).
    """
    needed = len(tokens(text))
    if needed <= length:
        return text, needed
    words, used = [], 0
    for word in text.split():
        used += len(tokens(word))
        if used > length:
            break
        words.append(word)
    return " ".join(words), needed


def _there(file: Path) -> bool:
    """Whether there is such a file; a pipe or a device would be waited for."""
    if not file.exists():
        return False
    if not file.is_file():
        raise InputFileError(f"{shown(file)} is no plain file")
    return True
