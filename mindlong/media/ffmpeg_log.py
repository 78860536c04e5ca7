"""What ffmpeg says of a file while it decodes it: its streams, how it is to be turned, when each
frame is shown, and what is damaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mindlong.media.timing import Stamps

MOST_LINES = 50  # of errors that are kept
OURS = ("non monotonically increasing dts",)  # complaints on how the frames are passed on
_STREAM = re.compile(r"^\[info\]   Stream #0:\d+.*?: (Video|Audio|Subtitle|Data): (.*)")
_DURATION = re.compile(r"^\[info\]   Duration: (\d+):(\d+):(\d+\.?\d*)")
_TURN = re.compile(r"^\[info\] +(?:displaymatrix|Display Matrix): rotation of (-?[\d.]+) degrees")
_ALPHA = re.compile(r"^\[info\] +alpha_mode +: 1")
_CONFIG = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"\bn: *(\d+) pts: *(NOPTS|-?\d+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(.)")


@dataclass
class Log:
    """What ffmpeg has said so far.

    Attributes:
        stamps: when frames are shown. size: (height, width) of a frame before pixels were made
            square. shape: width of a pixel over its height, as stated.
        changed: the first frame of another size or shape, and its size; None where all agree.
    """

    stamps: Stamps = field(default_factory=lambda: Stamps(None))
    streams: list[str] = field(default_factory=list)
    seconds: float | None = None
    turned: float | None = None
    alpha: bool = False
    interlaced: bool = False
    size: tuple[int, int] | None = None
    shape: tuple[int, int] = (0, 1)
    changed: tuple[int, tuple[int, int]] | None = None
    errors: list[str] = field(default_factory=list)
    unsaid: int = 0  # errors beyond those kept
    _base: float | None = None
    _read: bool = False
    _before: int = 0

    def take(self, line: str) -> None:
        """Read one line."""
        if " time_base: " in line or " pts: " in line and not line.startswith("[info] "):
            self._frame(line)  # a line may hang on one that had no end
        elif "[error]" in line[:200] or "[fatal]" in line[:200] or "nrecognized option" in line:
            self._error(line)
        elif line.startswith(("[info] Stream mapping", "[info] Output #")):
            self._read = True  # what follows is of what is made, not of the file
        elif self._read:
            return
        elif found := _STREAM.match(line):
            self.streams.append(f"{found[1]}: {found[2]}")
        elif (found := _DURATION.match(line)) and self.seconds is None:
            self.seconds = 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])
        elif self.video_streams() == 1:  # of the stream that is read, the first
            if found := _TURN.match(line):
                self.turned = float(found[1])
            self.alpha = self.alpha or bool(_ALPHA.match(line))

    def video_streams(self) -> int:
        """Streams of moving images."""
        return sum(s.startswith("Video") and "(attached pic)" not in s for s in self.streams)

    def video(self) -> str:
        """The line on the stream that is read; nothing where there is none."""
        return next((s for s in self.streams if s.startswith("Video: ")), "")

    def stated_size(self) -> tuple[int, int] | None:
        """(height, width) that the header states."""
        found = re.search(r", (\d+)x(\d+)", self.video())
        return (int(found[2]), int(found[1])) if found else None

    def codec(self) -> str:
        """The codec of the video, such as "h264"."""
        return self.video().removeprefix("Video: ").split(" ")[0].rstrip(",")

    def _frame(self, line: str) -> None:
        if found := _CONFIG.search(line):
            over, under, rate, part = map(int, found.groups())
            self._base = over / under if under else None
            if self.stamps.stated is None and part:
                self.stamps.stated = rate / part
        elif found := _FRAME.search(line):
            number, pts, wide, high, width, height, order = found.groups()
            time = int(pts) * self._base if self._base and pts != "NOPTS" else None
            self._stamp(int(number), time)
            self.interlaced = self.interlaced or order in "TB"
            size, shape = (int(height), int(width)), (int(wide), int(high))
            if self.size is None:
                self.size, self.shape = size, shape
            elif self.changed is None and (size, shape) != (self.size, self.shape):
                self.changed = len(self.stamps.times) - 1, size

    def _stamp(self, number: int, time: float | None) -> None:
        """Note when a frame is shown; lines that were lost leave frames without a time."""
        times = self.stamps.times
        if number == 0:  # the filters begin anew where the stream changes its form
            self._before = len(times)
        missing = self._before + number - len(times)
        times += [None] * min(max(missing, 0), MOST_LINES)
        times.append(time)

    def _error(self, line: str) -> None:
        if any(words in line for words in OURS):
            return
        if len(self.errors) < MOST_LINES:
            self.errors.append(line)
        else:
            self.unsaid += 1
