"""MindSpore's scheduler: started by rank 0 under mpirun, found by the other ranks.

Rank 0 starts it as its child, waits until that very child listens, and publishes where in a file
whose name all ranks of this mpirun know and no other job does. On one machine that file lies in a
temporary folder and the scheduler listens on the loopback interface alone; between machines the
file lies in the folder of the run, which they share, and the scheduler listens on MASTER_ADDR.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mindlong.parallel import proc
from mindlong.utils.errors import UserError

LOOPBACK = "127.0.0.1"
LAUNCHER_VARIABLES = (
    "OMPI_",
    "PMIX_",
    "PRTE_",
)  # the scheduler must not believe that it is an MPI rank
# what names an mpirun job: in Open MPI 4, 128 random bits, new for every start; the others for Open
# MPI 5
JOB_VARIABLES = (
    "OMPI_MCA_orte_precondition_transports",
    "OMPI_MCA_orte_hnp_uri",
    "PMIX_NAMESPACE",
    "PMIX_SERVER_URI21",
    "PMIX_SERVER_URI41",
)
SAME_EVERYWHERE = ("OMPI_MCA_orte_precondition_transports", "PMIX_NAMESPACE")
SESSION_VARIABLE = (
    "OMPI_MCA_orte_jobfam_session_dir"  # Open MPI 4 removes this folder when the job ends
)
PORT = "port.claim"  # names of this kind are no content of a run's folder
PORTS = (20000, 32000)  # below the range the kernel hands out to outgoing connections
SCHEDULER = (
    "import sys; sys.path.insert(0, {root!r}); from mindlong.parallel import scheduler; "
    "scheduler.serve({parent})"
)


@dataclass(frozen=True)
class Place:
    """Where a scheduler listens. `child` is its process, on the machine of rank 0."""

    host: str
    port: int
    child: int | None = None


def serve(parent: int) -> NoReturn:
    """Be the scheduler until all ranks have signed off or the process `parent` ends."""
    proc.die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was asked
        sys.exit(1)
    for (
        number
    ) in proc.REQUESTS:  # to stop: they are for the ranks, which need it for their last step
        signal.signal(number, signal.SIG_IGN)
    from mindspore.communication import init

    init()
    sys.exit(0)


def job_name(several: bool) -> str:
    """What all ranks of this mpirun have in common, and no other job. Raises UserError."""
    known = SAME_EVERYWHERE if several else JOB_VARIABLES
    job = [os.environ[name] for name in known if name in os.environ]
    if not job:
        raise UserError(
            f"none of {', '.join(known)} is set; start with Open MPI's mpirun or with msrun"
        )
    return hashlib.sha256("|".join(job).encode()).hexdigest()[:16]


def meeting_folders(shared: Path | None) -> list[Path]:
    """Where the ranks of this job meet, the first place first.

    Args:
        shared: a folder that the machines share, where there are several; it need not exist yet.
    """
    if shared is None:
        base = os.environ.get(SESSION_VARIABLE, "")
        base = base if os.path.isdir(base) else tempfile.gettempdir()
        return [Path(base, f"mindlong_{os.getuid()}_{job_name(False)}")]
    inside = shared.absolute()
    return [p / f".mindlong_{job_name(True)}" for p in (inside, *inside.parents) if p.is_dir()]


def start(meeting: Path, host: str, timeout: float, attempts: int = 3) -> Place:
    """Start the scheduler of this job and publish where it listens.

    What is registered first is run last when a process ends: rank 0 must wait for the scheduler
    after MindSpore has signed off from it.

    Raises:
        UserError: it does not come to listen.
    """
    meeting.mkdir(mode=0o755 if host != LOOPBACK else 0o700, exist_ok=True)
    own = meeting if host == LOOPBACK else Path(tempfile.mkdtemp(prefix="mindlong_scheduler_"))
    log = own / "scheduler.log"
    for _ in range(attempts):
        port = free_port(host)
        child = _spawn(host, port, log)
        atexit.register(
            _stop, child, (meeting, own)
        )  # registered before MindSpore's own handler, so it runs after it
        if _wait_listening(child, port, timeout):
            aside = meeting / f"partial-{PORT}"
            aside.write_text(f"{host} {port}")
            aside.rename(meeting / PORT)
            return Place(host, port, child.pid)
        child.kill()
        child.wait()
    end = log.read_text()[-1000:]
    raise UserError(
        f"MindSpore's scheduler did not start on {host} in {attempts} attempts; its log ends: {end}"
    )


def find(shared: Path | None, timeout: float) -> Place:
    """Where rank 0's scheduler listens. Raises UserError where it is not published in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        folders = meeting_folders(shared)  # one may have been made meanwhile
        for folder in folders:
            with contextlib.suppress(OSError, ValueError):
                host, port = (folder / PORT).read_text().split()
                return Place(host, int(port))
        time.sleep(0.05)
    where = (
        folders[0] if shared is None else f"{shared}, which must be one folder for all machines,"
    )
    raise UserError(f"process 0 published no scheduler port in {where} within {timeout:.0f} s")


def own_address() -> str:
    """The address of this machine for others: MASTER_ADDR, else what its name stands for.

    Raises:
        UserError: that is no address for others.
    """
    named = os.environ.get("MASTER_ADDR") or socket.gethostname()
    try:
        address = socket.getaddrinfo(named, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise UserError(f"{named} has no address ({error}); set MASTER_ADDR") from None
    if str(address).startswith("127.") or address == "::1":
        raise UserError(
            f"{named} is {address}, which other machines cannot reach; set MASTER_ADDR to the address of the "
            "machine of process 0"
        )
    return str(address)


def free_port(host: str, neighbours: int = 1) -> int:
    """A port nobody holds there; the `neighbours` after it are free too. Raises UserError."""
    for _ in range(200):
        port = random.SystemRandom().randrange(*PORTS)
        if all(_is_free(host, port + more) for more in range(neighbours + 1)):
            return port
    raise UserError(
        f"no free port between {PORTS[0]} and {PORTS[1]} for MindSpore's scheduler on {host}; process 0 runs on "
        "the machine of MASTER_ADDR"
    )


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _spawn(host: str, port: int, log: Path) -> subprocess.Popen:
    inherited = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(LAUNCHER_VARIABLES) and k != "MS_NODE_ID"
    }
    place = {"MS_ROLE": "MS_SCHED", "MS_SCHED_HOST": host, "MS_SCHED_PORT": str(port)}
    code = SCHEDULER.format(parent=os.getpid(), root=str(Path(__file__).parents[2]))
    with open(log, "wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env={"GLOG_v": "3", **inherited, **place},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wait_listening(child: subprocess.Popen, port: int, timeout: float) -> bool:
    end = time.monotonic() + timeout
    while child.poll() is None and time.monotonic() < end:
        if proc.listens(child.pid, port):
            return True
        time.sleep(0.05)
    return False


def _stop(child: subprocess.Popen, folders: Sequence[Path]) -> None:
    """The ranks have signed off by now and the scheduler ends by itself; one that does not is not
    waited for long, nor where mpirun or a user asks to stop meanwhile.
    """
    try:
        child.wait(5)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
