"""Text kept inside a media file: the comment of MP4, WebM and GIF, the text of PNG, a WebP's XMP.

It lives through a copy of the streams (`ffmpeg -c copy`) and through encoding again, since ffmpeg
carries the comment of its input over. Nothing of it is ever executed; what reads it checks it.
"""

from __future__ import annotations

import re
import struct
import subprocess
from html import escape, unescape
from pathlib import Path

from PIL import Image, PngImagePlugin

from mindlong.media import ffmpeg
from mindlong.media.formats import CONTAINER_SUFFIXES, head_of, kind_of
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

MOST = 60_000  # letters; longer texts are not kept, an argument of a process has its limit
PNG_KEY = "comment"
_SECONDS = 60
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>{}</dc:description>'
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
_XMP_TEXT = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)
_MARKS = re.compile(r"<[^>]*>")  # other programs wrap the text in a list of languages
_COMMENT = re.compile(r"^comment=((?:[^\\\n]|\\.|\\\n)*)", re.MULTILINE | re.IGNORECASE)


def ffmpeg_arguments(text: str) -> tuple[str, ...]:
    """Arguments with which ffmpeg keeps `text` in the file that it writes."""
    return ("-metadata", f"comment={text}") if text else ()


def gif_block(text: str) -> bytes:
    """The comment extension of a GIF (GIF89a, section 24); nothing for no text."""
    data = text.encode("ascii", "backslashreplace")
    parts = [data[i : i + 255] for i in range(0, len(data), 255)]
    blocks = b"".join(struct.pack("B", len(part)) + part for part in parts)
    return b"\x21\xfe" + blocks + b"\x00" if text else b""


def png_info(text: str) -> PngImagePlugin.PngInfo | None:
    """What Pillow saves in a PNG beside its pixels."""
    if not text:
        return None
    info = PngImagePlugin.PngInfo()
    info.add_text(PNG_KEY, text)
    return info


def xmp_packet(text: str) -> bytes:
    """What a WebP keeps of `text`."""
    return _XMP.format(escape(text, quote=False)).encode()


def xmp_text(packet: str) -> str:
    """The text that an XMP packet of ours holds; "" where there is none."""
    found = _XMP_TEXT.search(packet)
    return unescape(_MARKS.sub("", found[1])) if found else ""


def read_comment(path: Path) -> str:
    """The comment of a video, a GIF, a WebP or a PNG; "" where it has none.

    Raises:
        InputFileError: the file is missing, cannot be read, or is of another kind.
    """
    kind = kind_of(head_of(path))
    if kind == "webp":
        return xmp_text(_by_pillow(path, "xmp"))
    if kind == "png":
        return _by_pillow(path, PNG_KEY)
    if kind == "gif":
        return _by_pillow(path, "comment")
    if path.suffix.lower() not in CONTAINER_SUFFIXES:
        raise InputFileError(
            f"{shown(path)} is no video, GIF, WebP or PNG; only these keep a recipe"
        )
    return _by_ffmpeg(path)


def _by_pillow(path: Path, key: str) -> str:
    try:
        with Image.open(path) as image:
            if key not in image.info and kind_of(head_of(path)) == "png":
                image.load()  # text may stand behind the pixels
            found = image.info.get(key, "")
    except Exception as error:  # Pillow raises whatever its decoders do
        raise InputFileError(f"{shown(path)} cannot be read: {shown(error)}") from error
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _by_ffmpeg(path: Path) -> str:
    command = [
        ffmpeg.executable(),
        *("-hide_banner", "-loglevel", "error"),
        *ffmpeg.source(path),
        *("-f", "ffmetadata", "-"),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputFileError(f"{shown(path)} was not read within {_SECONDS} seconds") from error
    if done.returncode != 0:
        said = ffmpeg.complaint(done.stderr.decode(errors="replace").splitlines())
        raise InputFileError(f"{shown(path)} cannot be read: {said}")
    found = _COMMENT.search(done.stdout.decode("utf-8", "replace"))
    return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL) if found else ""
