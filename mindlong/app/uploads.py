"""Uploads: looked at before they are kept. The content says what a file is, never its name; it is
decoded to its end within limits; its name here is ours.

An image is written anew from its pixels, so that nothing but them is kept. A video is kept as it is
under a suffix that its first bytes say.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mindlong.media.formats import foreign, head_of, kind_of, moves
from mindlong.media.images import image_size, read_still
from mindlong.media.limits import Limits
from mindlong.media.read import open_reader
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.app.place import Person, Place

NAME = re.compile(r"up-[0-9a-f]{16}\.(png|mp4|mkv|webm|avi|gif|webp|apng)")
GIVEN = re.compile(r"[0-9a-f]{64}")  # where Gradio leaves what was uploaded
SIDE = 4096  # pixels
SECONDS = 600.0
MOST_PIXELS = 4e9  # of all frames together
_ASIDE = re.compile(r"/\S*/\.up-\S+")  # what is written beside while it is checked
_STILL = (b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
KINDS = (
    "PNG, JPEG, BMP, TIFF or WebP images, and MP4, MOV, WebM, MKV, AVI, GIF, APNG or WebP videos"
)


def received(path: object, served: Path) -> Path:
    """A path that a browser says it has uploaded to, if it is one: a plain file just where uploads
    arrive.

    Raises:
        ConfigError: it is not.
    """
    refused = ConfigError("this is no file that was uploaded here; choose the file again")
    if not isinstance(path, str) or "\0" in path:
        raise refused
    place = Path(path)
    try:
        real, kind = Path(os.path.realpath(place)), os.lstat(place).st_mode
    except (OSError, ValueError):
        raise refused from None
    home = Path(os.path.realpath(served))
    arrived = real.parent.parent == home and GIVEN.fullmatch(real.parent.name)
    if not arrived or not stat.S_ISREG(kind):
        raise refused
    return real


def keep(source: Path, place: Place, person: Person) -> Path:
    """A checked copy of `source` among a person's uploads.

    Raises:
        InputFileError: it is too large, none of the kinds that are taken, damaged, or holds too
            many frames or pixels. ConfigError: the person's uploads take all the room they may.
        SystemFault: it cannot be written.
    """
    size = _size(source)
    if size > place.upload_mb * 2**20:
        raise InputFileError(
            f"the file has {size / 2**20:.0f} MiB; the limit of this page is {place.upload_mb} MiB"
        )
    _check_room(place, person, size)
    person.uploads.mkdir(parents=True, exist_ok=True)
    limits = Limits(frames=place.upload_frames, side=SIDE, seconds=SECONDS, gigabytes=2.0)
    target = person.uploads / f"up-{secrets.token_hex(8)}"
    try:
        return _kept(source, target, limits)
    except InputFileError as error:  # called as the person calls it, not by its place here
        said = _ASIDE.sub("the file", str(error).replace(shown(source), "the file"))
        raise InputFileError(said) from error


def suffix_of(path: Path) -> str:
    """What the first bytes say that a file is. Raises InputFileError for what is not taken."""
    head = head_of(path)
    kind = kind_of(head)
    if kind in ("png", "webp"):
        return {"png": ".apng", "webp": ".webp"}[kind] if moves(path) else ".png"
    if kind == "gif":
        return ".gif"
    if head.startswith(_STILL):
        return ".png"
    if head[4:8] == b"ftyp":
        return ".mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return ".webm" if b"webm" in head[:64] else ".mkv"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return ".avi"
    what = foreign(head)
    raise InputFileError(f"the file {what or 'is of a kind unknown here'}; taken are {KINDS}")


def of_name(name: str, person: Person) -> Path:
    """A person's upload by its name. Raises ConfigError where there is none."""
    path = person.uploads / name if NAME.fullmatch(name) else None
    if path is None or path.is_symlink() or not path.is_file():
        raise ConfigError("this upload is not here; choose the file again")
    return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise InputFileError("the upload did not arrive; choose the file again") from None


def _check_room(place: Place, person: Person, size: int) -> None:
    held = (
        sum(p.stat().st_size for p in person.uploads.glob("up-*")) if person.uploads.is_dir() else 0
    )
    if held + size > place.quota_mb * 2**20:
        raise ConfigError(
            f"your uploads have {held / 2**20:.0f} MiB already; the limit of this page is "
            f"{place.quota_mb} MiB (its owner can remove some or raise it)"
        )


def _kept(source: Path, target: Path, limits: Limits) -> Path:
    suffix = suffix_of(source)
    target = target.with_suffix(suffix)
    if suffix == ".png":
        image_size(source, limits)  # the header alone, before room is made for pixels
        frame = read_still(source, limits).frame
        with atomic.replacing(target) as aside:
            Image.fromarray(frame).save(aside, "PNG")
    else:
        with atomic.replacing(target) as aside:
            _copy(source, aside)
            _check_video(aside, limits)
    target.chmod(0o600)
    return target


def _check_video(path: Path, limits: Limits) -> None:
    """Decode a video to its end."""
    pixels = 0.0
    with open_reader(path, limits, say=False) as reader:
        for frame in reader:
            pixels += frame.shape[0] * frame.shape[1]
            if pixels > MOST_PIXELS:
                raise InputFileError(
                    f"the video has more than {MOST_PIXELS / 1e9:g} billion pixels; make it shorter "
                    "or smaller"
                )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as given, target.open("wb") as out:
        while data := given.read(2**20):
            out.write(data)
