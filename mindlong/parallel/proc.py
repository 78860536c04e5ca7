"""What /proc says of other processes, and how a process ends with its parent. Linux; no
MindSpore.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

# signals that ask a training to save and stop
REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def die_with_parent() -> None:
    """Ranks outlive an mpirun that was itself killed with SIGKILL, unless the kernel is asked to
    end them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def name_of(pid: int) -> str:
    """The name of a program that runs, '' where there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def ended(pid: int) -> bool:
    """Whether there is no such process any more, or only what is left of it."""
    return _state(pid) in "Z"


def held(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP)."""
    return _state(pid) == "T"


def _state(pid: int) -> str:
    """The letter of a process's state, '' where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def children(parent: int) -> set[int]:
    """Living processes started by `parent`."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:  # ended meanwhile
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(stat.parent.name))
    return found


def has_environment(pid: int, pair: str) -> bool:
    """Whether a process was started with NAME=VALUE."""
    try:
        return pair.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def listens(pid: int, port: int) -> bool:
    """True once process `pid` itself listens on `port`; a stranger on the same port does not
    count.
    """
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        rows = (
            [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
        )
        inodes |= {r[9] for r in rows if r[3] == "0A" and int(r[1].rsplit(":", 1)[1], 16) == port}
    return any(f"socket:[{inode}]" in _open_files(pid) for inode in inodes)


def _open_files(pid: int) -> set[str]:
    links = set()
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            links.add(os.readlink(fd))
        except OSError:  # closed since
            continue
    return links
