"""Frames into ffmpeg: one process, raw pixels through a pipe, its complaints turned into one
sentence.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from mindlong.media import ffmpeg
from mindlong.media.recipe import ffmpeg_arguments
from mindlong.utils.errors import UserError
from mindlong.utils.needed import needed

_SAME_BYTES = (
    "-fflags",
    "+bitexact",
    "-flags:v",
    "+bitexact",
)  # no dates: equal frames give equal files
# The matrix of HD video, and tags that say so: without, players guess by the size of the picture,
# and reds and greens shift.
_COLOURS = (
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv,setparams=color_primaries=bt709:color_trc=bt709",
)
CODECS = {
    ".mp4": (
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        *_COLOURS,
        "-crf",
        "15",
        "-preset",
        "medium",
        "-movflags",
        "+faststart",
    ),
    ".webm": (
        "-c:v",
        "libvpx-vp9",
        "-pix_fmt",
        "yuv420p",
        *_COLOURS,
        "-crf",
        "20",
        "-b:v",
        "0",
        "-cpu-used",
        "4",
        "-row-mt",
        "1",
    ),
    ".webp": ("-c:v", "libwebp_anim", "-quality", "90", "-compression_level", "4", "-loop", "0"),
    ".avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj444p", "-q:v", "2"),
}
NEEDS_EVEN = (".mp4", ".webm")  # half-resolution colour


class FfmpegWriter:
    """Appends frames (H, W, 3) uint8 to `path`, whose suffix chooses container and codec; `close`
    waits for the file.

    Raises UserError with ffmpeg's own last words if it fails.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, comment: str = ""):
        height, width = size
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 closed in close()
        command: list[str | bytes] = [
            ffmpeg.executable(),
            "-y",
            "-hide_banner",
            "-loglevel",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{width}x{height}",
            "-framerate",
            f"{fps:.6g}",
            "-i",
            "-",
            "-an",
            *CODECS[path.suffix],
            *_SAME_BYTES,
            *ffmpeg_arguments(comment),
            ffmpeg.target(path),
        ]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,  # Ctrl-C at the terminal is for us: we decide what becomes of it
        )
        self._stdin = needed(self.process.stdin, "the pipe of ffmpeg")

    def append(self, frame_HWC: np.ndarray) -> None:
        """Add one frame."""
        try:
            self._stdin.write(np.ascontiguousarray(frame_HWC).data)
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """End the file."""
        with self.log:
            with contextlib.suppress(BrokenPipeError):
                self._stdin.close()
            if self.process.wait() != 0:
                raise UserError(
                    f"the video could not be written: ffmpeg says {self._complaint()!r}"
                )

    def abandon(self) -> None:
        """Stop without a file."""
        self.process.kill()
        self.process.wait()
        self._stdin.close()
        self.log.close()

    def _complaint(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"nothing, and ends with code {self.process.returncode}"
