"""Files that a run starts from, on several machines: the same content on each."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

from mindlong.checkpoints.inputs import Known, changed
from mindlong.parallel.comm import Comm, all_ok
from mindlong.parallel.world import local_rank, several_machines
from mindlong.utils.errors import ConfigError, UserError


def check_same_files(comm: Comm, inputs: Known, read: Callable[[], Known]) -> None:
    """The first process of every machine reads the files too, and compares.

    Args:
        inputs: as the first process found them; not looked at on the others.
        read: finds them here.

    Raises:
        ConfigError: on the machine where one differs; UserError on the others.
    """
    if comm.size == 1 or not several_machines():
        return
    told: Known = json.loads(comm.all_gather_text(json.dumps(inputs) if comm.rank == 0 else "")[0])
    error = None
    if comm.rank and local_rank() == 0:
        try:
            _compare(told, read())
        except UserError as fault:
            error = fault
    all_ok(comm, error, "reading the files that the run starts from")


def _compare(told: Known, mine: Known) -> None:
    differing = changed(told, mine)
    if differing:
        paths = [str(mine.get(key, told.get(key, {})).get("path")) for key in differing]
        named = ", ".join(f"{key} ({path})" for key, path in zip(differing, paths, strict=True))
        raise ConfigError(
            f"{named} on {socket.gethostname()} is not what process 0 has under that name; every machine needs the "
            "same files"
        )
