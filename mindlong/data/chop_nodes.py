"""An index of nodes over whole films: which frames each run of a hierarchy takes. Nothing is cut or
encoded again.

Segments share their end frames (NUWA-XL, arXiv 2303.12346, section 3.3), which clips of a tree of
files cannot do. Beside `x.mp4` may lie `x.txt`, its caption, and `x.nodes.json`, captions of single
nodes: {"0/0": "...", "1/3": "..."}, level/number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mindlong.data.captions import read_caption, sidecar
from mindlong.data.nodes import node_count, node_frames, read_index
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.shown import shown


@dataclass(frozen=True)
class Film:
    """A video with the number of frames that can be read of it."""

    path: Path
    frames: int


def starts_of(frames: int, lengths: Sequence[int]) -> range:
    """First frames of the whole hierarchies that fit into a film; one ends where the next
    begins.
    """
    span = prod(length - 1 for length in lengths)
    return range(0, frames - span, span)


def index_of(
    films: Sequence[Film], lengths: Sequence[int], beside: Path
) -> tuple[dict[str, Any], list[str]]:
    """The index (as JSON values), paths relative to `beside`, and a sentence for each film that is
    too short.

    Raises:
        ConfigError: a length below 3. InputFileError: no film is long enough, or captions that
            cannot be read.
    """
    if not lengths or min(lengths) < 3:
        raise ConfigError(f"levels is {list(lengths)}; every level needs at least 3 frames")
    needed, listed, short = 1 + prod(length - 1 for length in lengths), [], []
    for film in films:
        starts = starts_of(film.frames, lengths)
        if not starts:
            short.append(
                f"{shown(film.path)} has {film.frames} frames; {needed} are needed, so it is left out"
            )
            continue
        listed.append(
            {
                "video": os.path.relpath(film.path, beside),
                "caption": read_caption(film.path),
                "nodes": list(_nodes(starts, lengths, _node_captions(film.path))),
            }
        )
    if not listed:
        raise InputFileError(
            f"no film has {needed} frames, as levels {list(lengths)} need; {short[0]}"
        )
    return {"lengths": list(lengths), "films": listed}, short


def write_index(path: Path, index: dict[str, Any]) -> None:
    """Write the index; the same films give the same bytes, so a second run changes nothing."""
    refuse_foreign(path)
    atomic.write_text(path, json.dumps(index, indent=None, separators=(",", ":")) + "\n")


def refuse_foreign(path: Path) -> None:
    """Raise UserError where `path` is anything but an index, which may be made anew."""
    if not os.path.lexists(path):
        return
    try:
        read_index(path)
    except InputFileError:
        raise UserError(
            f"{shown(path)} exists and is no index of nodes; nothing is overwritten, give another --index"
        ) from None


def _nodes(starts: range, lengths: Sequence[int], captions: dict[str, str]):
    for number, start in enumerate(starts):
        for level in range(len(lengths)):
            count = node_count(lengths, level)
            for node in range(count):
                entry = {
                    "level": level,
                    "node": number * count + node,
                    "frames": [start + f for f in node_frames(lengths, level, node)],
                }
                caption = captions.get(f"{level}/{entry['node']}")
                yield entry | ({"caption": caption} if caption else {})


def _node_captions(film: Path) -> dict[str, str]:
    path = sidecar(film, ".nodes.json")
    if not path.is_file():
        return {}
    try:
        return {
            str(key): str(value)
            for key, value in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputFileError(
            f"{shown(path)} is no table of captions such as {{'1/3': 'a dog runs'}} ({error})"
        ) from None
