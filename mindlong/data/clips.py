"""A folder of videos as a source of clips: files of every container that ffmpeg knows, GIF,
animated PNG and WebP, and folders of frames, at any depth.

Beside `x.mp4` (or the frame folder `x`) may lie `x.txt`, its caption, and `x.npy`, its embedding.
What clip a global sample number means, where it starts, how it is cropped and mirrored follow from
(seed, number) and the files alone.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mindlong.data.captions import cut, read_caption, read_embedding
from mindlong.data.decoded import Decoder
from mindlong.data.found import find_clips, search, summary
from mindlong.data.index import item_of, window
from mindlong.data.inspection import Look, inspect
from mindlong.data.source import Sample
from mindlong.data.transforms import crop
from mindlong.media.colours import WHITE, Colour
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import get_logger
from mindlong.utils.rng import generator
from mindlong.utils.shown import shown

__all__ = ["ClipFolder", "find_clips", "several"]
SHORT = ("repeat_last", "loop", "refuse")
CROPS = ("center", "random")
NAMED = 5  # files that a sentence on many names


class ClipFolder:
    """A `data.source.Source` over a folder.

    Args:
        folder: searched as `find_clips` does.
        frames, size: of a clip; size is (height, width), reached by covering resize and crop.
        stride: every stride-th frame of a file; `fps`, if given, takes its place: frames a second,
            nearest before.
        short: files with too few frames repeat their last one, start again, or are refused (they
            count as bad).
        crop: `center`, or `random`, one place a clip.
        flip: mirror half of the clips.
        max_bad: how many unreadable files are skipped, each named once; one more is an error.
        cache_mb: decoded, resized frames kept by each process.
        background: what shows where a clip is transparent.
        longest: tokens of the caption encoder; longer captions are cut to whole words. 0: any.
        width: numbers of an embedding, where they are used; others make a clip bad.
        isolated: look at the clips in processes of their own first, so that one on which a decoder
            crashes or hangs is a bad one.

    Attributes:
        paths: of the clips that can be used. looks: what the first look found, in their order.
        left_out: files that are no clips, with reasons. bad: clips that cannot be used, with
            reasons. sentences: what was said of the clips.

    Raises:
        ConfigError, InputFileError: impossible options; a missing or empty folder; more than
            `max_bad` bad files.
    """

    def __init__(
        self,
        folder: str | Path,
        frames: int,
        size: tuple[int, int],
        *,
        stride: int = 1,
        fps: float = 0.0,
        short: str = "repeat_last",
        crop: str = "center",
        flip: bool = False,
        max_bad: int = 10,
        seed: int = 0,
        cache_mb: int = 256,
        background: Colour = WHITE,
        longest: int = 0,
        width: int | None = None,
        isolated: bool = False,
    ) -> None:
        for name, value, valid in (("short", short, SHORT), ("crop", crop, CROPS)):
            if value not in valid:
                raise ConfigError(f"data.{name} is {value!r}; it must be one of {', '.join(valid)}")
        if frames < 1 or stride < 1 or fps < 0 or len(size) != 2 or min(size) < 1:
            raise ConfigError(
                f"data asks for {frames} frames of {list(size)}, stride {stride}, fps {fps:g}; "
                "all must be positive"
            )
        self.folder, self.frames, self.seed = Path(folder), frames, seed
        self.size = (size[0], size[1])
        self.stride, self.fps, self.short = stride, fps, short
        self.crop, self.flip, self.max_bad = crop, flip, max_bad
        self.longest, self.width = longest, width
        self.bad: dict[str, str] = {}
        self.noted: dict[str, list[str]] = {}  # of late, for the process that can say it
        self.sentences: list[str] = []
        self._said: dict[str, set[str]] = defaultdict(set)
        self._decoder = Decoder(self.size, cache_mb, background)
        found = search(folder)
        self.left_out = found.left_out
        looks = inspect(found.clips, background, width, isolated)
        self.paths, self.looks = self._usable(found.clips, looks)
        self._say_what_was_seen()

    def __getstate__(self) -> dict[str, Any]:
        """A process that decodes needs no looks, and says nothing itself."""
        return self.__dict__ | {"looks": [], "left_out": (), "noted": {}, "sentences": []}

    @property
    def progress(self) -> Callable[[str], None] | None:
        """Called with a file's path while it is read."""
        return self._decoder.progress

    @progress.setter
    def progress(self, call: Callable[[str], None] | None) -> None:
        self._decoder.progress = call

    def sample(self, index: int) -> Sample:
        """The clip of global sample number `index`. A file found to be bad only now gives its turn
        to another one.

        Raises InputFileError when more than `max_bad` files are bad or none is left.
        """
        draw = generator(self.seed, "clip", index)
        start, top, left, mirror = draw.random(4)
        place = (top, left) if self.crop == "random" else None
        for attempt in range(20 * len(self.paths)):
            number = index if attempt == 0 else int(draw.integers(len(self.paths)))
            path = self.paths[self.home(number)]
            if str(path) in self.bad:
                continue
            try:
                return self._clip(path, start, place, self.flip and mirror < 0.5)
            except InputFileError as error:
                self.report_bad(path, str(error))
        raise InputFileError(
            f"no clip of {shown(self.folder)} can be used any more; {len(self.bad)} are bad, the last: "
            f"{list(self.bad.values())[-1]}"
        )

    def home(self, index: int) -> int:
        """The number of the file that sample `index` comes from (unless it is bad)."""
        return item_of(self.seed, index, len(self.paths))

    def report_bad(self, path: str | Path, reason: str) -> None:
        """Name a bad file, once; raises InputFileError if there are more than `max_bad`."""
        if str(path) in self.bad:
            return
        self.bad[str(path)] = reason
        self._say(logging.WARNING, f"skipped: {reason}")
        if len(self.bad) > self.max_bad:
            raise InputFileError(
                f"{len(self.bad)} files of {shown(self.folder)} cannot be used, more than data.max_bad="
                f"{self.max_bad}; the last: {reason}"
            )

    def report_note(self, path: str | Path, note: str) -> None:
        """Say what is odd about a clip, once; of an oddity that many have, for the first few."""
        files = self._said[_kind(note)]
        if str(path) in files:
            return
        files.add(str(path))
        self.noted.setdefault(str(path), []).append(note)
        if len(files) <= NAMED:
            last = "; further clips of which this is true are not named" * (len(files) == NAMED)
            get_logger().info("%s: %s%s", shown(path), note, last)

    def describe(self) -> str:
        """One line for the opening of a run."""
        captions = sum(1 for look in self.looks if look.caption)
        rate = f"{self.fps:g} a second" if self.fps else f"stride {self.stride}"
        return (
            f"{shown(self.folder)}: {len(self.paths)} clips, {captions} captioned, {len(self.bad)} bad"
            f"{summary(self.left_out)}; {self.frames} frames of {self.size[0]}x{self.size[1]}, {rate}, "
            f"{self.crop} crop{', mirrored' * self.flip}"
        )

    def _usable(self, paths: tuple[Path, ...], looks: list[Look]) -> tuple[list[Path], list[Look]]:
        """The clips that can be used, and what was seen of them; the others are reported."""
        good = [(p, look) for p, look in zip(paths, looks, strict=True) if not look.reason]
        if not good:
            raise InputFileError(
                f"no clip of {shown(self.folder)} can be read: {len(paths)} are bad, as {looks[0].reason}"
            )
        for path, look in zip(paths, looks, strict=True):
            if look.reason:
                self.report_bad(path, look.reason)
        return [p for p, _ in good], [look for _, look in good]

    def _say_what_was_seen(self) -> None:
        """Oddities of the clips, equal ones in one line, and captions that are cut."""
        alike: dict[str, list[Path]] = defaultdict(list)
        for path, look in zip(self.paths, self.looks, strict=True):
            for note in look.notes:
                alike[note].append(path)
        for note, paths in alike.items():
            for path in paths:
                self._said[_kind(note)].add(str(path))
            self._say(logging.INFO, f"{several(paths)}: {note}")
        if self.longest:
            self._say_what_is_cut()

    def _say_what_is_cut(self) -> None:
        needed = {
            p: cut(k.caption, self.longest)[1] for p, k in zip(self.paths, self.looks, strict=True)
        }
        over = [p for p, count in needed.items() if count > self.longest]
        if over:
            most = max(needed[p] for p in over)
            self._say(
                logging.WARNING,
                f"the caption of {several(over)} is longer than the {self.longest} tokens that the caption "
                f"encoder takes, and is cut; model.text.length={most} takes all (a word that it does not "
                "know costs a token a letter)",
            )

    def _say(self, level: int, sentence: str) -> None:
        self.sentences.append(sentence)
        get_logger().log(level, "%s", sentence)

    def _clip(
        self, path: Path, start: float, place: tuple[float, float] | None, flip: bool
    ) -> Sample:
        count, rate = self._decoder.length(path)
        for note in self._decoder.notes.pop(str(path), ()):
            self.report_note(path, note)
        stride = rate / self.fps if self.fps else self.stride
        try:
            numbers = window(count, self.frames, stride, self.short, start)
        except ConfigError as error:
            raise InputFileError(
                f"{shown(path)} is too short: {error} (data.short=refuse)"
            ) from error
        frames = crop(self._decoder.frames(path, numbers), self.size, place, flip)
        caption = read_caption(path)
        if self.longest:
            caption = cut(caption, self.longest)[0]
        return Sample(frames, caption, read_embedding(path, self.width))


def _kind(note: str) -> str:
    """What a note is about, whatever its numbers."""
    return re.sub(r"[0-9]+", "#", note)[:40]


def several(paths: list[Path]) -> str:
    """ "a.mp4", or "7 clips (a.mp4, b.mp4, ...)"."""
    names = ", ".join(shown(p.name) for p in paths[:NAMED])
    if len(paths) == 1:
        return names
    return f"{len(paths)} clips ({names}{', ...' if len(paths) > NAMED else ''})"
