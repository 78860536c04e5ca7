"""One run of infer.py: its folder, its log, its record. A run that was stopped goes on in the
folder it left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong import __version__
from mindlong.checkpoints.inputs import Known, changed, contents, digest
from mindlong.checkpoints.inputs_everywhere import check_same_files
from mindlong.config.compare import check_same_everywhere
from mindlong.ops import device
from mindlong.parallel.comm import Comm, SerialComm, all_ok
from mindlong.parallel.shared_folder import check_shared
from mindlong.pipelines import numbered
from mindlong.pipelines.inputs import inputs_of, without_places
from mindlong.pipelines.numbered import Place
from mindlong.pipelines.recipe import text_of
from mindlong.utils import atomic, interrupts, log_output, run_folder
from mindlong.utils.errors import UserError
from mindlong.utils.lines import opening_lines
from mindlong.utils.run_folder import RECORD

if TYPE_CHECKING:
    from mindlong.config.load import Loaded


@dataclass(frozen=True)
class Session:
    """A run under way.

    Attributes:
        loaded: the configuration; `config` is its values.
        folder: where everything is written.
        log: to the screen and to log.txt.
        resumed: the folder holds what an earlier run of the same configuration has made.
        place: the claim on the folder; None on processes but the first, and in tests.
        comm: the processes that work on the run.
        inputs: the files that the run starts from, by their content.
    """

    loaded: Loaded
    folder: Path
    log: logging.Logger
    resumed: bool
    place: Place | None = None
    comm: Comm = field(default_factory=SerialComm)
    inputs: Known = field(default_factory=dict)

    @property
    def config(self) -> Any:
        """The typed configuration."""
        return self.loaded.values

    def open_with(self, rows: Mapping[str, object], lines: Iterable[str] = ()) -> None:
        """Log the first lines of the run: `rows` aligned, then `lines`."""
        self.log.info("%s", "\n".join([*opening_lines(rows), *lines]))

    def identity(self, unrelated: Mapping[str, tuple[str, ...]], **facts: Any) -> dict[str, Any]:
        """What results depend on: `facts`, the content of all files, and the configuration.

        Args:
            unrelated: keys that change no result: section -> its keys, "" -> keys of the top.
        """
        tree = without_places(self.loaded.text)
        for section, keys in unrelated.items():
            node = tree.get(section, {}) if section else tree
            for key in keys:
                node.pop(key, None)
        rounded = {"bf16": True} if device.settings()["bf16"] else {}
        return {**facts, **rounded, "configuration": digest(tree), **contents(self.inputs)}

    def recipe(self, name: str) -> str:
        """What the files called `name` keep of how they were made; nothing with recipe=false."""
        if not self.config.recipe:
            return ""
        return text_of(self.loaded.text, self.inputs, name, bool(device.settings()["bf16"]))

    def write_record(self, facts: Mapping[str, Any]) -> None:
        """Write video.json: `facts`, the configuration and the versions. The run is finished with
        it.
        """
        versions = {
            "mindlong": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        record = {
            **facts,
            "config": self.loaded.text,
            "inputs": self.inputs,
            **self._meanwhile(),
            "versions": versions | facts.get("versions", {}),
        }
        atomic.write_text(self.folder / RECORD, json.dumps(record, indent=1))

    def _meanwhile(self) -> dict[str, list[str]]:
        """What of the inputs has changed while the run was at work: it may have read both."""
        try:
            found = changed(self.inputs, inputs_of(self.config)) if self.inputs else []
        except UserError as error:
            found = [str(error)]
        if found:
            self.log.warning(
                "changed while the run was at work: %s; the result may be of both", ", ".join(found)
            )
        return {"changed_meanwhile": found} if found else {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Inside the run is made; afterwards its folder is free. Where it ends early the log says
        why, and where it made nothing nothing stays.
        """
        stay = interrupts.at_leaving(self._clear)
        try:
            yield
        except BaseException as error:
            known = isinstance(error, UserError | KeyboardInterrupt)
            log_output.to_file(f"ended early: {error}" if known else f"ended early: {error!r}")
            self._clear()
            raise
        finally:
            stay()
            if self.place is not None:
                self.place.claim.release()

    def _clear(self) -> None:
        if self.place is not None and run_folder.made_nothing(self.folder):
            log_output.leave_file()
            self.place.remove()


def open_session(loaded: Loaded, resume: bool) -> Session:
    """A new numbered folder in `output`, or, with `resume`, the newest unfinished one of the same
    configuration and the same files.

    Raises:
        ConfigError: the unfinished run was begun with files whose content has changed since.
        InputFileError: a file that the configuration names is missing.
        SystemFault: `output` cannot be written.
    """
    inputs = inputs_of(loaded.values)
    place = numbered.take(Path(loaded.values.output), loaded.text, inputs, resume)
    try:
        logger = log_output.setup(file=place.folder / "log.txt")
        atomic.write_text(place.folder / "config.yaml", loaded.text)
        place.write(loaded.text, inputs)
    except BaseException:
        log_output.leave_file()
        if not place.resumed:
            place.remove()
        raise
    if place.note:
        logger.warning("%s", place.note)
    return Session(loaded, place.folder, logger, place.resumed, place, inputs=inputs)


def shared_session(loaded: Loaded, resume: bool, comm: Comm) -> Session:
    """The same for all processes of `comm`: the first opens the folder, the others are told
    which.

    Raises:
        ConfigError: the processes have different configurations, or other files on another machine,
            or do not share `output`; besides, as `open_session`.
    """
    check_same_everywhere(comm.all_gather_text(loaded.text))
    first, error = None, None
    if comm.rank == 0:
        try:
            first = open_session(loaded, resume)
        except Exception as fault:  # told to the others, which would wait for ever
            error = fault
    all_ok(comm, error, "opening the folder of the run")
    told = comm.all_gather_text(
        json.dumps([str(first.folder.resolve()), first.resumed, first.inputs]) if first else ""
    )[0]
    folder, resumed, inputs = json.loads(told)
    try:
        check_shared(Path(folder), comm, "output")
        check_same_files(comm, inputs, lambda: inputs_of(loaded.values))
    except BaseException:
        if first and first.place and not resumed:
            log_output.leave_file()
            first.place.remove()
        raise
    if first:
        return replace(first, comm=comm)
    return Session(loaded, Path(folder), log_output.setup(comm.rank), resumed, None, comm, inputs)
