"""Video files of every container that ffmpeg knows: frames as they are meant to be seen, true
times, and sentences on what is odd.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mindlong.media import colours, ffmpeg
from mindlong.media.decoder import Decoding
from mindlong.media.ffmpeg_log import Log
from mindlong.media.formats import avi_frames, head_of
from mindlong.media.limits import Limits, check_side
from mindlong.media.reader import VideoReader
from mindlong.utils.errors import InputFileError, UserError
from mindlong.utils.shown import shown

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # the usual decoders leave it out
HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
CONVERT = "`ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4` with an ffmpeg that can makes one"


def open_container(
    path: Path, stack: contextlib.ExitStack, limits: Limits, background: colours.Colour
) -> VideoReader:
    """A reader of a video file, its first frame decoded already; the process ends with `stack`.

    Raises:
        InputFileError: nothing in it can be decoded; the sentence says what it holds instead.
    """
    decoding, frames, first = _started(path, stack, limits)
    log = decoding.log
    size = (first.shape[0], first.shape[1])
    reader = VideoReader(path, size, log.stamps, said=_oddities(log, first.shape))
    reader.promised = avi_frames(head_of(path)) or _promised(log, reader.clock.timing(1).fps)
    reader._frames = _frames(first, frames, decoding, reader, background)
    return reader


def _started(
    path: Path, stack: contextlib.ExitStack, limits: Limits
) -> tuple[Decoding, Iterator[np.ndarray], np.ndarray]:
    """A decoding and its first frame; begun again with another decoder where the alpha channel
    needs it.
    """
    decoding, frames, first = _begun(path, stack, limits)
    other = WITH_ALPHA.get(decoding.log.codec()) if decoding.log.alpha else None
    if other and first is not None:
        again, its_frames, its_first = _begun(path, stack, limits, other)
        if its_first is not None:
            decoding.close()
            return again, its_frames, its_first
    if first is None:
        code = decoding.ending()
        _check_version(decoding.log)
        check_side(path, decoding.log.stated_size() or (1, 1), limits)
        raise InputFileError(f"{shown(path)} {_failure(code, decoding.log)}")
    return decoding, frames, first


def _begun(
    path: Path, stack: contextlib.ExitStack, limits: Limits, decoder: str = ""
) -> tuple[Decoding, Iterator[np.ndarray], np.ndarray | None]:
    decoding = stack.enter_context(Decoding(path, limits, decoder))
    frames = decoding.frames()
    return decoding, frames, next(frames, None)


def _check_version(log: Log) -> None:
    """Raise UserError where not the file is at fault but an ffmpeg that is too old."""
    if any("nrecognized option" in line for line in log.errors):
        raise UserError(
            f"{ffmpeg.executable()} is too old; ffmpeg 5.1 or later is needed: `pip install --upgrade "
            "imageio-ffmpeg`, or name one in IMAGEIO_FFMPEG_EXE"
        )


def _failure(code: int, log: Log) -> str:
    """Why there is no frame."""
    said = ffmpeg.complaint(log.errors)
    if code < 0:
        return f"cannot be decoded: the decoder crashed (signal {-code})"
    if not log.video_streams() and (_others(log) or log.video()):
        cover = " but a cover image" if log.video() else ""
        return f"holds no video{cover}{', only ' + _others(log) if _others(log) else ''}"
    if "exceeds specified max pixel count" in said:
        return f"is too large: {said.split(', see')[0]}"
    if log.codec() in ("none", "unknown") or "ecoder" in said and "not found" in said:
        return f"cannot be decoded: its codec ({log.codec()}) is unknown to this ffmpeg; {CONVERT}"
    if log.video():
        return f"holds no frame that can be decoded ({log.codec()}; ffmpeg: {said or 'no word'})"
    if "not on whitelist" in said:
        return "cannot be decoded: it is of no format that holds its own frames"
    return f"cannot be decoded: it is no video, or it is cut off (ffmpeg: {said or 'no word'})"


def _others(log: Log) -> str:
    kinds = {"Audio": "sound", "Subtitle": "subtitles"}
    return " and ".join(
        dict.fromkeys(name for k, name in kinds.items() for s in log.streams if s.startswith(k))
    )


def _oddities(log: Log, shape: tuple[int, ...]) -> list[str]:
    """Sentences on what the header says beside frames and times."""
    said = []
    if log.turned is not None:
        said.append(f"it is {_turn(log.turned % 360)}, as the file says")
    size, (wide, high) = log.size or shape[:2], log.shape
    if size != tuple(shape[:2]):
        said.append(
            f"its pixels are {wide}:{high}, not square; {size[0]}x{size[1]} is scaled to "
            f"{shape[0]}x{shape[1]}"
        )
    elif wide and high and not 0.99 < wide / high < 1.01:
        said.append(f"it states pixels of {wide}:{high}, which is not believed")
    if log.interlaced:
        said.append("it is interlaced; its two fields are shown as one frame")
    if kind := next((name for word, name in HDR.items() if word in log.video()), ""):
        said.append(f"its colours are HDR ({kind}) and are taken as if they were not")
    if log.video_streams() > 1:
        said.append(f"it holds {log.video_streams()} videos; the first is read")
    if log.alpha and shape[2] == 3:
        said.append(
            "it has an alpha channel that is not read; transparent parts show what is there"
        )
    return said


def _turn(degrees: float) -> str:
    """In words; ffmpeg tells the angle only, which is 0 or 180 for what is mirrored."""
    if not degrees:
        return "mirrored"
    return f"turned by {degrees:g} degrees{' or mirrored' if degrees == 180 else ''}"


def _promised(log: Log, fps: float) -> int | None:
    return round(log.seconds * fps) or None if log.seconds else None


def _frames(
    first: np.ndarray,
    rest: Iterator[np.ndarray],
    decoding: Decoding,
    reader: VideoReader,
    background: colours.Colour,
) -> Iterator[np.ndarray]:
    frame: np.ndarray | None = first
    while frame is not None:
        if frame.shape[2] == 4:
            frame, through = colours.compose(frame, background)
            if through:
                reader.say(colours.note(background))
        yield frame
        frame = next(rest, None)
    _close_account(decoding, reader)


def _close_account(decoding: Decoding, reader: VideoReader) -> None:
    """What the end of the file tells: a crash, damage, frames that are missing."""
    code, log = decoding.ending(), decoding.log
    if not (avi_frames(head_of(reader.path)) or _ends_early(reader, log)):
        reader.promised = None
    if code < 0:
        reader.say(f"the decoder crashed (signal {-code}) after {reader.count} frames")
    if log.errors:
        more = len(log.errors) + log.unsaid - 1
        also = f", and {more} more such lines" if more else ""
        reader.say(f"the file is damaged: ffmpeg says {ffmpeg.complaint(log.errors)!r}{also}")


def _ends_early(reader: VideoReader, log: Log) -> bool:
    """Whether more was promised; where there is sound, its length is the one that is stated."""
    if not log.seconds or not reader.count:
        return False
    end = reader.clock.time(reader.count - 1) + 1 / reader.fps
    sound = any(s.startswith("Audio") for s in log.streams)
    return not sound and log.seconds - end > 1.5 / reader.fps + 0.1
