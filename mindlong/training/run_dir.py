"""The folder of a training: one trainer at a time, nobody else's files, and nothing left of a run
that made nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import yaml

from mindlong import __version__
from mindlong.checkpoints import saved_steps
from mindlong.checkpoints.start import KEY as START
from mindlong.config.schema import TrainConfig
from mindlong.parallel.comm import Comm, SerialComm, all_ok
from mindlong.parallel.shared_folder import check_shared
from mindlong.training import metrics
from mindlong.utils import atomic, interrupts, log_output, run_folder, system
from mindlong.utils.claim import FILE as LOCK
from mindlong.utils.claim import Claim, Lost
from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known

CONFIG, ABOUT, HISTORY, LOG = "config.yaml", "run.json", "history.jsonl", "log.txt"


class RunDir:
    """`with RunDir(run_dir, comm) as place:` - the folder, claimed by the first process for all.

    Args:
        folder: made if it is missing.
        comm: the processes of the training.

    Raises:
        UserError: another training is at work in the folder, or it holds files that a training
            would overwrite and that no training wrote. On every process.
        SystemFault: it cannot be written.
    """

    def __init__(self, folder: str | Path, comm: Comm | None = None) -> None:
        self.folder, self.comm = Path(folder), comm or SerialComm()
        self.first = self.comm.rank == 0
        self._claim: Claim | None = None
        self._made: list[Path] = []
        self._before: frozenset[str] = frozenset()  # what is not this training's to remove
        self._kept: Path | None = None  # a configuration that was there before

    def __enter__(self) -> RunDir:
        error = None
        if self.first:
            try:
                self._open()
            except UserError as fault:
                error = fault
        all_ok(self.comm, error, "opening the folder of the run")
        try:
            check_shared(self.folder, self.comm, "run_dir")
        except BaseException:
            self._clear()
            raise
        self._stay = interrupts.at_leaving(self._clear)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stay()
        if error is not None:
            known = isinstance(error, UserError | KeyboardInterrupt)
            log_output.to_file(f"ended early: {error if known else repr(error)}")
            self._clear()
        if self._claim is not None:
            self._claim.release()

    @property
    def held(self) -> bool:
        """Whether the folder still is this training's, which the first process alone knows."""
        return self._claim is None or self._claim.held

    def check(self) -> None:
        """Raises Lost where the folder was removed while it was trained in: what another training
        may have begun there since then is not this one's to write into. Where the lock alone is
        gone, it is made again.
        """
        if self._claim is None or self._claim.held:
            return
        if (self.folder / LOCK).exists() or not (self.folder / HISTORY).exists():
            raise Lost(
                f"run_dir: {self.folder} was removed, or moved away, while it was trained in; the training ends, and "
                "what it learnt since its last checkpoint is lost"
            )
        self._claim.again()

    def config(self) -> str | None:
        """The configuration of the run that is there, or None."""
        file = self.folder / CONFIG
        with system.explained(file):
            return file.read_text(encoding="utf-8") if file.exists() else None

    def inputs(self) -> Known | None:
        """The files that it was begun with; None where a run of an earlier version noted none."""
        try:
            return json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))["inputs"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(
        self, config_text: str, inputs: Known, step: int, changed: Sequence[str], processes: int
    ) -> None:
        """Note what the run goes on with, and since when. By the first process."""
        self._keep_config(config_text)
        if config_text:
            atomic.write_text(self.folder / CONFIG, config_text)
            kept = {key: row for key, row in inputs.items() if key != START}
            about = {"inputs": kept, "mindlong": __version__}
            atomic.write_text(self.folder / ABOUT, json.dumps(about, indent=1))
        start: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%d %H:%M:%S"),
            "step": step,
            "changed": list(changed),
            "processes": processes,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "mindlong": __version__,
            **({START: inputs[START]} if START in inputs else {}),
        }
        path = self.folder / HISTORY
        with system.explained(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(start) + "\n")

    def _open(self) -> None:
        mine = (self.folder / LOCK).exists()
        self._made = run_folder.make(self.folder, "run_dir")
        with system.explained(self.folder, "run_dir"):
            if not mine:
                _check_free(self.folder)
                self._before = frozenset(os.listdir(self.folder))
            self._claim = Claim(self.folder, "is trained in")
        if mine and self.folder not in self._made:
            self._made.insert(0, self.folder)

    def _keep_config(self, text: str) -> None:
        """A configuration that no run of this folder wrote is kept beside."""
        file, before = self.folder / CONFIG, self.config()
        if before is None or before == text or (self.folder / HISTORY).exists():
            return
        if saved_steps.latest(self.folder) is None and not _is_metrics(self.folder / metrics.FILE):
            kept = next(p for p in _numbered(self.folder) if not p.exists())
            atomic.write_text(kept, before)
            self._kept = kept
            get_logger().warning("%s was there already; it is kept as %s", file, kept.name)

    def _clear(self) -> None:
        """Remove what a run left that made nothing; what was there before it stays."""
        if self._claim is None or not self._claim.held:
            return

        def ours(name: str) -> bool:
            return run_folder.is_wrapping(name) or name in (HISTORY, metrics.FILE)

        empty = not metrics.has_rows(self.folder / metrics.FILE)
        stay = self._before | ({self._kept.name} if self._kept else set())
        if empty and run_folder.made_nothing(self.folder, ours, stay):
            log_output.leave_file()
            run_folder.clear(self.folder, ours, stay)
            if self._kept:
                self._kept.replace(self.folder / CONFIG)
            run_folder.remove_empty(self._made)


def _check_free(folder: Path) -> None:
    """Raise where files are there that a training would write over and that none wrote."""
    if saved_steps.has_checkpoint(folder):
        return
    for name, is_ours in (
        (metrics.FILE, _is_metrics),
        (CONFIG, _is_config),
        (metrics.PLOT, lambda path: _is_metrics(folder / metrics.FILE)),
        (HISTORY, lambda path: False),
        (ABOUT, lambda path: False),
    ):
        if os.path.lexists(folder / name) and not is_ours(folder / name):
            raise ConfigError(
                f"run_dir: {folder} holds {name}, which no training wrote and this one would write over; give "
                "another run_dir"
            )


def _is_metrics(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().startswith(",".join(metrics.COLUMNS[:2]))
    except (OSError, ValueError):
        return False


def _is_config(path: Path) -> bool:
    """Whether a file could be the configuration of a training."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(tree, dict) and set(tree) <= set(TrainConfig.__dataclass_fields__)


def _numbered(folder: Path):
    return (folder / f"config.before-{number}.yaml" for number in range(1, 10**6))
