"""Which clips a folder holds, and what in it is left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mindlong.media.folders import RATE_FILE
from mindlong.media.formats import is_image, is_video, why_unreadable
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

OURS = (".nodes.json", "_clips.csv")  # files that chopping leaves, and that it reads
BESIDE = (".txt", ".npy")


@dataclass(frozen=True)
class Found:
    """`clips`, sorted by path, and `left_out`: files that are none, each with the reason."""

    clips: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...] = ()


def search(folder: str | Path) -> Found:
    """Every video file and frame folder below `folder`; hidden files are not looked at.

    A folder is a clip of frames if it holds images, no video file and no folder with clips.

    Raises:
        InputFileError: `folder` is missing, may not be read, or holds no clip.
    """
    root = Path(folder)
    try:
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise InputFileError(f"data.folder {shown(root)} {what}")
        os.scandir(root).close()
    except OSError as error:
        raise InputFileError(f"data.folder {why_unreadable(root, error)}") from error
    left: list[tuple[Path, str]] = []
    clips = _below(root, set(), left)
    others = tuple(sorted(_without_sidecars(left, clips)))
    if not clips:
        raise InputFileError(
            f"data.folder {shown(root)} holds no clip{summary(others)}; videos (MP4, MOV, MKV, WebM, AVI, "
            "GIF and others) or folders of frames are looked for at any depth"
        )
    return Found(tuple(sorted(clips, key=lambda p: p.relative_to(root).as_posix())), others)


def find_clips(folder: str | Path) -> list[Path]:
    """The clips that `search` finds. Raises InputFileError as it does."""
    return list(search(folder).clips)


def summary(left_out: Iterable[tuple[Path, str]], most: int = 5) -> str:
    """ ", 3 files left out: a.xyz (no video by its name), ..." or nothing."""
    left = list(left_out)
    if not left:
        return ""
    named = ", ".join(f"{shown(path.name)} ({why})" for path, why in left[:most])
    more = f" and {len(left) - most} more" if len(left) > most else ""
    return f", {len(left)} left out: {named}{more}"


def _below(folder: Path, seen: set[Path], left: list[tuple[Path, str]]) -> list[Path]:
    real = folder.resolve()
    if real in seen:  # a link back up
        return []
    seen.add(real)
    try:
        entries = sorted(_visible(folder))
    except OSError as error:
        left.append((folder, f"a folder that cannot be read: {error.strerror}"))
        return []
    kinds = {path: _kind(path) for path in entries}
    found = [p for p, kind in kinds.items() if kind == "video"]
    mine = [(p, kind) for p, kind in kinds.items() if kind not in ("video", "folder")]
    for sub in (p for p, kind in kinds.items() if kind == "folder"):
        found += _below(sub, seen, left)
    if found or not any(kind == "image" for _, kind in mine):
        left += [(p, _why(kind)) for p, kind in mine]
        return found
    left += [(p, _why(kind)) for p, kind in mine if kind != "image" and p.name != RATE_FILE]
    return [folder]


def _visible(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (Path(e.path) for e in entries if not e.name.startswith("."))


def _kind(path: Path) -> str:
    """`folder`, `video`, `image`, `other`, or why it is neither."""
    try:
        if path.is_dir():
            return "folder"
        if not path.is_file():
            return "a link that leads nowhere" if path.is_symlink() else "no plain file"
        if is_video(path):
            return "video"
        return "image" if is_image(path) else "other"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _why(kind: str) -> str:
    usual = {"other": "no video by its name", "image": "a single image, no frame of a folder"}
    return usual.get(kind, kind)


def _without_sidecars(
    left: Iterable[tuple[Path, str]], clips: Iterable[Path]
) -> Iterator[tuple[Path, str]]:
    """What is left out but for what belongs to a clip: captions, embeddings, tables of ours."""
    names = {p if p.is_dir() else p.with_suffix("") for p in clips}
    names |= set(clips)
    for path, why in left:
        beside = path.suffix.lower() in BESIDE and path.with_suffix("") in names
        table = path.name.endswith(OURS)
        if not beside and not table:
            yield path, why
