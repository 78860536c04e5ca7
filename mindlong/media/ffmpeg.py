"""The ffmpeg that comes with imageio-ffmpeg: where it is, how it is made to read a stranger's file,
and what it says, in a sentence.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg

from mindlong.utils.errors import UserError
from mindlong.utils.shown import shown

# Containers that hold their frames themselves. Not among them: playlists, scripts, image
# sequences, devices and whatever else opens other files.
DEMUXERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "asf", "asf_o", "flv"),
    *("live_flv", "mpeg", "mpegts", "mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc"),
    *("obu", "av1", "ivf", "ogg", "mxf", "gxf", "rm", "nut", "dv", "wtv", "yuv4mpegpipe", "mjpeg"),
    *("vc1", "avs2", "avs3", "cavsvideo", "gif", "apng", "nsv", "swf", "amv"),
)
ONLY_ITSELF = ("-protocol_whitelist", "file", "-format_whitelist", ",".join(DEMUXERS))
_TAGS = re.compile(r"^(\[[^\]]*\]\s*)+")
_VAGUE = (
    *(
        "Error opening input",
        "Error opening output",
        "Error parsing options",
        "Failed to set value",
    ),
    *("Conversion failed", "Task finished", "Stream map", "To ignore this"),
)


@lru_cache(maxsize=1)
def executable() -> str:
    """The path of ffmpeg. Raises UserError where there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError(
            "no ffmpeg is found; `pip install --force-reinstall imageio-ffmpeg` brings one, or name one "
            "in IMAGEIO_FFMPEG_EXE"
        ) from error


def source(path: Path) -> tuple[str | bytes, ...]:
    """Arguments that read `path` and nothing else, whatever its name holds."""
    return *ONLY_ITSELF, "-i", b"file:" + os.fsencode(path)


def target(path: Path) -> bytes:
    """`path` as a file to write, whatever its name holds."""
    return b"file:" + os.fsencode(path)


def complaint(lines: list[str]) -> str:
    """The line of ffmpeg's errors that says most, without addresses; nothing where there is
    none.
    """
    plain = [_TAGS.sub("", line).strip() for line in lines]
    telling = [line for line in plain if line and not line.startswith(_VAGUE)]
    return shown((telling or plain or [""])[0])[:200]
