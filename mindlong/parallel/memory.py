"""How much memory this machine gives a process: what it has, what its container may take, what the
shell allows. No MindSpore here.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mindlong.utils.errors import ConfigError

# Addresses that MindSpore's libraries and threads take beside the memory that a process uses:
# measured with MindSpore 2.10 on a CPU, with one thread
ADDRESSES = 2.0 * 2**30
UNLIMITED = 2**60  # a limit of that size is none
NPU = ("/dev/davinci_manager", "/dev/davinci0")


@dataclass(frozen=True)
class Limit:
    """A limit in bytes, and what sets it."""

    bytes: float
    what: str


def limits(root: Path = Path("/")) -> Iterator[Limit]:
    """Every limit on the memory of this process; `root` is where /proc and /sys lie."""
    found = re.search(r"MemTotal:\s+(\d+)", _read(root / "proc/meminfo"))
    if found:
        yield Limit(int(found[1]) * 1024.0, "this machine has")
    for file in _cgroup_files(root):
        word = _read(file).strip()
        if word.isdigit() and int(word) < UNLIMITED:
            yield Limit(float(word), "the container (cgroup) may take")
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY and soft < UNLIMITED:
        yield Limit(max(soft - ADDRESSES, 0.0), "the shell (ulimit -v) leaves beside the libraries")


def _on_npu(target: str) -> bool:
    return target != "CPU" and any(map(os.path.exists, NPU))


def of_type(dtype: str, target: str) -> float:
    """The factor on an estimate for float32 where networks are in `dtype`: a half on an NPU. On a
    CPU it is 1: a step of CogVideoX-2B took more than 22 GiB in float16 as in float32.

    Args:
        target: `env.device_target`.
    """
    return 0.5 if dtype != "float32" and _on_npu(target) else 1.0


def check(needed: float, lower: str, target: str, processes: int = 1, ignore: bool = False) -> None:
    """Refuse a run that would not fit into the memory of this machine.

    Args:
        needed: bytes of one process, an estimate. lower: the keys to lower, in words.
        target: `env.device_target`; the memory of an NPU is not known here.
        processes: how many of them run on this machine.
        ignore: start all the same.

    Raises:
        ConfigError: the estimate, what there is, and what to lower.
    """
    least = min(limits(), key=lambda limit: limit.bytes, default=None)
    if ignore or least is None or _on_npu(target):
        return
    if needed * processes > least.bytes:
        many = f" in {processes} processes" if processes > 1 else ""
        raise ConfigError(
            f"about {_gib(needed * processes)} of memory are needed{many} (estimate), and "
            f"{least.what} {_gib(least.bytes)}. Lower {lower}; env.memory=ignore starts all the same"
        )


def _cgroup_files(root: Path) -> Iterator[Path]:
    """The files of the limits on this process's control groups and on those above them, in either
    version.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        inner = Path(path.lstrip("/"))
        for folder in (inner, *inner.parents):
            yield base / folder / name


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _gib(number: float) -> str:
    return f"{number / 2**30:.2f} GiB" if number < 2**40 else f"{number / 2**40:.1f} TiB"
