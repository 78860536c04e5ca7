"""Starting real jobs of two processes, and finding what they leave behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

RANKS = Path(__file__).with_name("ranks.py")
MARK = "MINDLONG_TEST_JOB"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launcher(folder: Path) -> list[str]:
    """Two processes by mpirun, or by msrun where there is none."""
    if shutil.which("mpirun"):
        root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        return ["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-n", "2", sys.executable]
    msrun = shutil.which("msrun") or str(Path(sys.executable).with_name("msrun"))
    return [
        msrun,
        "--worker_num=2",
        "--local_worker_num=2",
        "--master_addr=127.0.0.1",
        f"--master_port={free_port()}",
        "--join=True",
        f"--log_dir={folder / 'logs'}",
    ]


def environment() -> tuple[dict[str, str], str]:
    """This environment with a mark by which the job's processes can be told."""
    mark = uuid.uuid4().hex
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GLOG_v": "3", MARK: mark}, mark


def start(command: Sequence[str], folder: Path) -> tuple[subprocess.Popen, str]:
    """The running job (its output goes to output.txt) and its mark."""
    env, mark = environment()
    with (folder / "output.txt").open("wb") as out:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, mark


def survivors(mark: str) -> list[int]:
    """Processes started with `mark` that still live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes()
            if marked and (folder / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
