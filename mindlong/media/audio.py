"""The sound of a video taken over to another one, by the ffmpeg that writes videos."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mindlong.media import ffmpeg
from mindlong.utils.atomic import replacing
from mindlong.utils.errors import UserError

CONTAINERS = {
    ".mp4": ("aac", "mp3", "ac3", "opus"),
    ".webm": ("opus", "vorbis"),
}  # sound they hold as it is
ENCODERS = {".mp4": "aac", ".webm": "libopus"}


@dataclass(frozen=True)
class Sound:
    """What `keep_sound` did: `kept`, and a sentence for people."""

    kept: bool
    sentence: str


def sound_of(path: Path) -> str | None:
    """The codec of a file's first audio track, such as "aac"; None where there is none or it is no
    such file.
    """
    if not path.is_file():
        return None
    command = [ffmpeg.executable(), "-nostdin", "-hide_banner", *ffmpeg.source(path)]
    said = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False
    ).stderr
    found = re.search(r"Stream #\S+.*?: Audio: (\w+)", said)
    return found.group(1) if found else None


def keep_sound(
    video: Path, source: Path, seconds: float, source_seconds: float, slack: float
) -> Sound | None:
    """Put the sound of `source` into `video`, if their lengths differ by at most `slack` seconds
    and the format holds sound.

    The image is copied as it is; the sound too where the container takes it, else it is encoded
    anew. A longer sound is cut at the video's end. Returns None where the source has no sound.

    Raises:
        UserError: ffmpeg failed; `video` is then as it was.
    """
    codec = sound_of(source)
    if codec is None:
        return None
    if video.suffix not in ENCODERS:
        return Sound(
            False, f"{video.name} has no sound: {video.suffix or 'a folder of frames'} holds none"
        )
    if abs(seconds - source_seconds) > slack:
        return Sound(
            False,
            f"{video.name} has no sound: it lasts {seconds:.2f} s and {source.name} {source_seconds:.2f} s, so "
            "they would not fit together",
        )
    encoder = "copy" if codec in CONTAINERS[video.suffix] else ENCODERS[video.suffix]
    with replacing(video) as aside:
        _run(_joining(video, source, encoder, seconds, aside))
    return Sound(True, f"{video.name} has the sound of {source.name}")


def _joining(
    video: Path, source: Path, encoder: str, seconds: float, out: Path
) -> list[str | bytes]:
    """ffmpeg's arguments for the image of one file with the sound of another."""
    return [
        *ffmpeg.source(video),
        *ffmpeg.source(source),
        *("-map", "0:v:0", "-map", "1:a:0"),
        *("-c:v", "copy", "-c:a", encoder),
        *("-t", f"{seconds:.6f}"),
        *(("-movflags", "+faststart") if video.suffix == ".mp4" else ()),
        ffmpeg.target(out),
    ]


def _run(arguments: list[str | bytes]) -> None:
    command = [
        ffmpeg.executable(),
        "-y",
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (
            done.stderr.strip().splitlines() or [f"nothing, and ends with code {done.returncode}"]
        )[-1]
        raise UserError(f"the sound could not be taken over: ffmpeg says {last!r}")
