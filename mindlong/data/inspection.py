"""A first look at every clip before a training begins: its first frame, its caption, its embedding.

In processes of their own, so that a file on which a decoder crashes or hangs is one bad clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindlong.data.captions import read_caption, read_embedding
from mindlong.data.loader import Loader
from mindlong.media.colours import Colour
from mindlong.media.read import open_reader
from mindlong.utils.errors import InputFileError
from mindlong.utils.progress import bar

FEW = 100  # clips: no bar for them
SHARE = 16  # clips that are worth another process
MOST = 4  # processes


@dataclass(frozen=True)
class Look:
    """What the beginning of a clip shows.

    Attributes:
        reason: why it cannot be used, or nothing. notes: what is odd about it.
        size: height and width. frames: as many as the header promises, None where it says nothing.
        caption: "" where there is none. embedding: its width, 0 where there is none.
    """

    reason: str = ""
    notes: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    frames: int | None = None
    caption: str = ""
    embedding: int = 0


@dataclass
class Inspection:
    """A source (`mindlong.data.source`) whose sample i is the `Look` at path i."""

    paths: Sequence[Path]
    background: Colour
    width: int | None = None
    bad: dict[str, str] = field(default_factory=dict)
    progress: Callable[[str], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"progress": None}

    def sample(self, index: int) -> Look:
        """The look at one clip."""
        path = self.paths[index]
        if str(path) in self.bad:
            return Look(self.bad[str(path)])
        if self.progress:
            self.progress(str(path))
        return look_at(path, self.background, self.width)

    def report_bad(self, path: str, reason: str) -> None:
        """Note a file on which a process died."""
        self.bad[path] = reason

    def report_note(self, path: str, said: str) -> None:
        """A look has its notes itself."""

    def describe(self) -> str:
        """One line."""
        return f"the first frames of {len(self.paths)} clips"


def look_at(path: Path, background: Colour, width: int | None = None) -> Look:
    """Decode the first frame of a clip and read what lies beside it; never raises for a bad
    file.
    """
    try:
        with open_reader(path, background=background, say=False) as reader:
            next(iter(reader))
            size, frames, notes = reader.size, reader.promised, tuple(reader.said)
        caption, embedding = read_caption(path), read_embedding(path, width)
    except InputFileError as error:
        return Look(str(error))
    return Look("", notes, size, frames, caption, 0 if embedding is None else len(embedding))


def inspect(
    paths: Sequence[Path], background: Colour, width: int | None = None, isolated: bool = True
) -> list[Look]:
    """The look at each path, in order.

    Args:
        width: of embeddings; another one makes a clip bad.
        isolated: in processes of their own; else in threads of this one, which a decoder can take
            down with it.
    """
    source = Inspection(list(paths), background, width)
    rank = int(len(paths) < FEW)
    with bar(len(paths), "checking clips", unit="file", rank=rank) as progress:
        found: list[Look] = []
        if not isolated:
            with ThreadPoolExecutor(MOST) as pool:
                for look in pool.map(source.sample, range(len(paths))):
                    found.append(look)
                    progress.update()
            return found
        with Loader(source, min(MOST, 1 + len(paths) // SHARE)) as loader:
            loader.expect(range(len(paths)))
            for index in range(len(paths)):
                found.append(loader.sample(index))
                progress.update()
    return found
