"""Whether what machines must share is shared: looked at by content, before a run begins."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from pathlib import Path

from mindlong.parallel.comm import Comm
from mindlong.parallel.world import several_machines
from mindlong.utils.errors import ConfigError
from mindlong.utils.system import explained

PATIENCE = 60.0  # seconds; a network file system may show a new file late


def check_shared(folder: Path, comm: Comm, key: str, patience: float = PATIENCE) -> None:
    """Every process must see what the first one writes in `folder`. One machine shares it with
    itself.

    Raises:
        ConfigError: on every process; the machines that do not, and the `key` that named the
            folder. SystemFault: it cannot be written.
    """
    if comm.size == 1 or not several_machines():
        return
    word = uuid.uuid4().hex
    path = folder / f"shared-{comm.all_gather_text(word)[0][:12]}.claim"
    word = comm.all_gather_text(_written(path, word) if comm.rank == 0 else "")[0]
    seen = comm.rank == 0 or _sees(path, word, patience)
    blind = comm.all_gather_text("" if seen else socket.gethostname())
    if comm.rank == 0:
        path.unlink(missing_ok=True)
    machines = ", ".join(dict.fromkeys(name for name in blind if name))
    if machines:
        raise ConfigError(
            f"{key}: {folder} on {machines} is not the folder that process 0 writes to; all machines must share it "
            "(a network file system, mounted at the same place)"
        )


def _written(path: Path, word: str) -> str:
    with explained(path):
        path.write_text(word)
    return word


def _sees(path: Path, word: str, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError):
            if path.read_text() == word:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
