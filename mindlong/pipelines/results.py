"""What a run leaves behind: files of every video as its frames come, contact sheets, the record.

All pipelines write through `Results`, so that names, formats, sheets and records are alike.

Legend: F frames, H W pixels, C colours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.media.deflicker import deflickered
from mindlong.media.sheet import write_contact_sheet
from mindlong.pipelines.files import tapped, write_files
from mindlong.utils import progress

if TYPE_CHECKING:
    from mindlong.pipelines.session import Session

SHEET = "contact_sheet"
LISTED = 50  # files named in the log at the end


def wanted(config: Any) -> list[str]:
    """One prompt for each video of a run: each of the configuration's, `count` times; a line of its
    scenes where these stand in the place of prompts.
    """
    told = getattr(config.own, "told", list)
    return [prompt for prompt in told(config.wanted_prompts()) or [""] for _ in range(config.count)]


class Results:
    """The writer of a run's results.

    Args:
        session: whose folder, formats and record they are.
        fps: frames per second of the files; None: as the configuration says.

    Attributes:
        files: what was written, in order.
    """

    def __init__(self, session: Session, fps: float | None = None) -> None:
        self.session, self.config = session, session.config
        self.fps = self.config.fps if fps is None else fps
        self.files: list[Path] = []
        self.clock = time.monotonic()

    def video(
        self,
        name: str,
        frames: Iterable[np.ndarray],
        count: int,
        bar: str = "",
        as_given: bool = False,
    ) -> np.ndarray:
        """Stream `count` uint8 frames (H, W, 3) into one file for each format.

        Args:
            name: of the files, without suffix.
            bar: label of a progress bar over the frames; empty: none.
            as_given: they are not this run's, and are written as they are.

        Returns:
            The frames (f, H, W, 3) that a contact sheet shows of them.
        """
        if bar:
            with progress.bar(count, bar, unit="frame") as shown:
                return self.video(name, counted(frames, shown), count, as_given=as_given)
        kept: list[np.ndarray] = []
        folder, config = self.session.folder, self.config
        steady = frames if as_given else deflickered(frames, config.deflicker)
        rest = tapped(steady, count, kept)
        comment = self.session.recipe(name)
        self.files += write_files(
            folder,
            name,
            rest,
            config.formats,
            self.fps,
            config.scale,
            comment,
            config.gif_max_mb,
        )
        return np.stack(kept)

    def sheet(self, rows: Sequence[np.ndarray], titles: Sequence[str], name: str = SHEET) -> None:
        """A contact sheet, if asked for: of each video its frames (f, H, W, 3) and its title."""
        if "png" not in self.config.formats:
            return
        scale = self.config.scale
        large = [row.repeat(scale, axis=1).repeat(scale, axis=2) for row in rows]
        path = self.session.folder / f"{name}.png"
        self.files.append(
            write_contact_sheet(path, large, titles, comment=self.session.recipe(name))
        )

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the record, with which the run is finished, and say where the files are."""
        timings = {"seconds": round(time.monotonic() - self.clock, 2), **facts.get("timings", {})}
        files = [path.name for path in self.files]
        self.session.write_record({**facts, "files": files, "timings": timings})
        for path in self.files[:LISTED]:
            self.session.log.info("  %s", path.resolve())
        if len(self.files) > LISTED:
            self.session.log.info("  and %d more", len(self.files) - LISTED)


def counted(frames: Iterable[np.ndarray], bar: Any) -> Iterator[np.ndarray]:
    """The same frames; `bar` moves by one with each."""
    for frame in frames:
        yield frame
        bar.update(1)
