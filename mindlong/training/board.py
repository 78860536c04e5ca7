"""What a training shows in TensorBoard: the numbers of metrics.csv and the previews, as event files
in the run's folder. The package `tensorboard` writes them; it is not needed otherwise.
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mindlong.training import metrics
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger

FOLDER = "tensorboard"  # in a run's folder
PREVIEWS = (".gif", ".png")
MISSING = (
    "train.tensorboard is true, but the package tensorboard is not there; pip install tensorboard "
    "(or mindlong's extra: pip install '.[tensorboard]') brings it"
)


def check_installed() -> None:
    """Raise ConfigError where the package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(MISSING)


class Board:
    """Event files of one run; by its first process. They begin with the first row.

    Args:
        run_dir: of the training. step: the last step that is done; what earlier event files say of
            later ones is taken back.

    Raises:
        ConfigError: the package is missing.
    """

    def __init__(self, run_dir: Path, step: int) -> None:
        check_installed()
        self.run_dir, self.step = run_dir, step
        self._writer: Any = None

    def row(self, values: Mapping[str, Any]) -> None:
        """A row of metrics.csv, by column."""
        with self._kept():
            self._scalars(values)
            self._writer.flush()

    def previews(self, step: int, files: Sequence[Path]) -> None:
        """The images and GIFs of a preview."""
        with self._kept():
            shown = [file for file in files if file.suffix in PREVIEWS]
            values = [self._image(file) for file in shown]
            if values:
                self._add(step, values)
                self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        with self._kept():
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """What the system refuses here is no reason to lose a training."""
        try:
            self._open()
            yield
        except OSError as error:
            get_logger().warning("nothing more is written for TensorBoard: %s", error)

    def _open(self) -> None:
        if self._writer is not None:
            return
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = self.run_dir / FOLDER
        known = folder.exists() and any(folder.iterdir())
        folder.mkdir(exist_ok=True)
        self._writer = EventFileWriter(str(folder))
        if known:
            again = SessionLog(status=SessionLog.START)
            now = time.time()
            self._writer.add_event(Event(wall_time=now, step=self.step + 1, session_log=again))
            return
        for row in metrics.read(self.run_dir / metrics.FILE):  # of steps before this was asked for
            if int(row["step"]) <= self.step:
                self._scalars(row)

    def _scalars(self, values: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        columns = (column for column in metrics.COLUMNS if column != "step")
        named = [Summary.Value(tag=_tag(c), simple_value=float(values[c])) for c in columns]
        self._add(int(values["step"]), named)

    def _image(self, file: Path) -> Any:
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(file) as opened:
            width, height = opened.size
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=file.read_bytes()
        )
        return Summary.Value(tag=f"preview/{file.suffix[1:]}", image=image)

    def _add(self, step: int, values: Sequence[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=values)
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _tag(column: str) -> str:
    return f"{'clock' if column in metrics.TIMING else 'train'}/{column}"
