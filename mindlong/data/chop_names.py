"""What the files that chopping writes are called, and that none of them is there already."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.shown import shown


def stem_of(path: Path) -> str:
    """What a video is called: a file's name without suffix, a folder's whole name."""
    return path.resolve().name if path.is_dir() else path.stem


def names(name: str, count: int, kind: str) -> list[str]:
    """File (or, for `frames`, folder) names of the clips of a video that are to be called
    `name`.
    """
    suffix = "" if kind == "frames" else f".{kind}"
    return [f"{name}_{i:05d}{suffix}" for i in range(count)]


def outputs(name: str, count: int, kind: str, captioned: bool) -> list[str]:
    """Everything that is written of a video: clips, their captions, the table."""
    clips = names(name, count, kind)
    captions = [caption_name(clip) for clip in clips] if captioned else []
    return [*clips, *captions, f"{name}_clips.csv"]


def caption_name(clip: str) -> str:
    """The name of the file with the caption of a clip."""
    return Path(clip).stem + ".txt"


def refuse_existing(folder: Path, wanted: Sequence[str], option: str = "--out") -> None:
    """Raise UserError if one of the files to be written is there already, or is named twice;
    `option` is what names the folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{shown(folder)} is no folder; give another {option}")
    for name in wanted:
        if os.path.lexists(folder / name):
            raise UserError(
                f"{shown(folder / name)} exists, and nothing is overwritten; give another {option} or remove it"
            )
    twice = [name for name, count in Counter(w.casefold() for w in wanted).items() if count > 1]
    if twice:
        raise ConfigError(f"two files would be called {twice[0]!r}; chop into different folders")
