"""Who this process is, by what mpirun or msrun told it: the environment alone, no MindSpore."""

from __future__ import annotations

import os
import re
from pathlib import Path


def world() -> tuple[int, int]:
    """(rank, size) as mpirun or msrun gave them; (0, 1) for a process started by hand."""
    for rank, size in (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("MS_NODE_ID", "MS_WORKER_NUM"),
    ):
        if size in os.environ and os.environ.get("MS_ROLE", "MS_WORKER") == "MS_WORKER":
            return int(os.environ.get(rank, 0)), int(os.environ[size])
    return 0, 1


def world_size() -> int:
    """The number of processes of this job."""
    return world()[1]


def local_rank() -> int:
    """This process's number on its machine: the Ascend device it takes."""
    for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "DEVICE_ID"):  # the second is msrun's
        if name in os.environ:
            return int(os.environ[name])
    return world()[0]


def local_size() -> int:
    """How many of the processes run on this machine; all, where the launcher does not say."""
    told = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or _of_msrun(os.getppid())
    return min(int(told), world_size()) if told else world_size()


def several_machines() -> bool:
    """Whether processes of the job run elsewhere."""
    return local_size() < world_size()


def _of_msrun(parent: int) -> str:
    """What msrun, if it is the parent, was told with --local_worker_num."""
    try:
        words = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    if not any("msrun" in word for word in words[:3]):
        return ""
    found = re.search(r"--local_worker_num[=\0](\d+)", "\0".join(words))
    return found[1] if found else ""
