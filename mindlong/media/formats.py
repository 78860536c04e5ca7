"""What is a video, by its name and by its first bytes: looked at before any decoder sees a file.

A name promises, the bytes decide. Text is never a video: a playlist, a manifest or a script would
send the decoder to other files or to the network.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown
from mindlong.utils.text_file import KINDS

CONTAINER_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".f4v", ".flv", ".mkv", ".webm"),
    *(".avi", ".divx", ".wmv", ".asf", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts"),
    *(".m2ts", ".mts", ".ogv", ".ogm", ".mxf", ".rm", ".rmvb", ".nut", ".dv", ".wtv", ".ivf"),
    *(".y4m", ".h264", ".264", ".h265", ".265", ".hevc", ".obu", ".mjpeg", ".mjpg"),
)
ANIMATION_SUFFIXES = (".gif", ".apng", ".webp", ".png")  # the last two only where they move
VIDEO_SUFFIXES = (*CONTAINER_SUFFIXES, ".gif", ".apng", ".webp")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
HEAD = 4096
PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (  # the first words of texts that bear a video's name, and what they are
    ("#EXTM3U", "is a playlist (HLS) that names other files"),
    ("ffconcat", "is a script of ffmpeg that names other files"),
    ("file ", "is a list that names other files"),
    ("[playlist]", "is a playlist that names other files"),
    ("[Reference]", "is a playlist that names other files"),
    ("<ASX", "is a playlist (ASX) that names other files"),
    ("<smil", "is a playlist (SMIL) that names other files"),
    ("<MPD", "is a manifest (DASH) that names other files"),
    ("v=0", "is a description of a broadcast (SDP), not the video"),
    ("rtsp://", "is an address, not the video"),
    ("http", "is an address, not the video"),
    ("<!DOCTYPE html", "is a web page: the download went wrong"),
    ("<html", "is a web page: the download went wrong"),
    (
        "version https://git-lfs",
        "is a pointer of Git LFS, not the video; `git lfs pull` fetches it",
    ),
    ("/annex/objects", "is a pointer of git-annex, not the video"),
)
_FOREIGN = (  # first bytes of other files
    (b"PK\x03\x04", "is a zip archive"),
    (b"\x1f\x8b", "is packed by gzip"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
    (b"Rar!", "is a rar archive"),
    (b"\xfd7zXZ", "is packed by xz"),
    (b"BZh", "is packed by bzip2"),
    (b"%PDF", "is a PDF document"),
    (b"\xff\xd8\xff", "holds JPEG, a still image; frames lie in a folder"),
    (b"BM", "holds BMP, a still image; frames lie in a folder"),
    (b"II*\0", "holds TIFF, a still image; frames lie in a folder"),
    (b"MM\0*", "holds TIFF, a still image; frames lie in a folder"),
)
_KINDS = {stat.S_IFDIR: "a folder", **KINDS}


def is_video(path: Path) -> bool:
    """Whether `path` looks like a video: a plain file with a video's suffix (any case), a WebP or
    PNG that moves, or a folder that holds images itself. Folders that may not be read are none.
    """
    try:
        if path.is_dir():
            return any(is_image(p) for p in path.iterdir())
    except OSError:
        return False
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return False
    if suffix in (".webp", ".png"):
        return moves(path)
    return suffix in VIDEO_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether `path` is a visible plain file with an image's suffix."""
    return (
        path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def head_of(path: Path) -> bytes:
    """The first bytes of a plain file that is not empty.

    Raises:
        InputFileError: missing, not a plain file (a pipe would be waited for without end), empty,
            or not to be read.
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind != stat.S_IFREG:
            what = _KINDS.get(kind, "no plain file")
            raise InputFileError(f"{shown(path)} is {what}; an image or a video is a plain file")
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError) as error:
        raise InputFileError(why_unreadable(path, error)) from error
    if not head:
        raise InputFileError(f"{shown(path)} is empty")
    return head


def why_unreadable(path: Path | str, error: Exception) -> str:
    """A sentence on a file or folder that the system does not give."""
    if isinstance(error, FileNotFoundError):
        broken = os.path.islink(path)
        return f"{shown(path)} {'is a link that leads nowhere' if broken else 'does not exist'}"
    reason = getattr(error, "strerror", None) or error
    return f"{shown(path)} cannot be read: {shown(reason)}"


def kind_of(head: bytes) -> str:
    """`gif`, `png`, `webp` or `container` for a file that begins with `head`."""
    if head.startswith(b"GIF8"):
        return "gif"
    if head.startswith(PNG):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return "container"


def foreign(head: bytes, suffix: str = "") -> str:
    """What a file that begins with `head` is, or holds, instead of a video; nothing where it may be
    one.
    """
    for start, what in _FOREIGN:
        if head.startswith(start) and suffix not in (".mjpeg", ".mjpg"):  # JPEGs in a row
            return what
    text = None if head.startswith(b"YUV4MPEG2 ") else _as_text(head)
    if text is None:
        return ""
    begin = text.lstrip("\ufeff \t\r\n")
    for word, what in _TEXTS:
        if begin[: len(word)].lower() == word.lower():
            return what
    return next(
        (what for word, what in _TEXTS if word[0] == "<" and word.lower() in begin.lower()),
        "is a text file",
    )


def _as_text(head: bytes) -> str | None:
    """The beginning of a text; None for anything else."""
    for mark, code in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(code, "replace")
    if b"\0" in head:
        return None
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < HEAD:
            return None
        text = head[: error.start].decode("utf-8")
    odd = sum(1 for c in text if ord(c) < 32 and c not in "\t\r\n\f\x1b")
    return text if odd <= len(text) // 100 else None


def moves(path: Path) -> bool:
    """Whether a WebP or PNG file is an animation; False for what cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return False
        with open(path, "rb") as file:
            head = file.read(64)
            if kind_of(head) == "webp":
                return head[12:16] == b"VP8X" and bool(head[20] & 2)
            return kind_of(head) == "png" and _has_chunk(file, b"acTL", before=b"IDAT")
    except (OSError, ValueError, IndexError):
        return False


def _has_chunk(file, name: bytes, before: bytes) -> bool:
    file.seek(len(PNG))
    for _ in range(256):
        head = file.read(8)
        if len(head) < 8 or head[4:] == before:
            return False
        if head[4:] == name:
            return True
        file.seek(struct.unpack(">I", head[:4])[0] + 4, os.SEEK_CUR)
    return False


def webp_size(head: bytes) -> tuple[int, int] | None:
    """(height, width) in the header of a WebP; None for other files and where it is cut off."""
    chunk = head[12:16]
    if kind_of(head) != "webp" or len(head) < 30:
        return None
    if chunk == b"VP8X":
        width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))
        return height, width
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return (height & 0x3FFF, width & 0x3FFF) if chunk == b"VP8 " else None


def avi_frames(head: bytes) -> int | None:
    """The frames that the header of an AVI promises; ffmpeg believes the size of the file instead,
    and so does not see that one is cut off.
    """
    place = head.find(b"avih")
    if head[:4] != b"RIFF" or head[8:12] != b"AVI " or place < 0 or len(head) < place + 28:
        return None
    return struct.unpack("<I", head[place + 24 : place + 28])[0] or None
