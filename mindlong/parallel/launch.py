"""Joining the processes that mpirun or msrun started, before MindSpore is imported.

MindSpore's collectives need a scheduler process beside the workers. msrun brings its own. Under
mpirun rank 0 starts one as its child, waits until that very child listens, and publishes the port
in a file whose name all ranks of this mpirun know and no other job does. Ranks and scheduler ask
the kernel to end them with their parent, so that killing any one process leaves no other behind.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from mindlong.parallel.comm import Comm, MindSporeComm, SerialComm
from mindlong.utils.errors import UserError

HOST = "127.0.0.1"
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
SESSION_VARIABLE = (
    "OMPI_MCA_orte_jobfam_session_dir"  # Open MPI 4 removes this folder when the job ends
)
DEFAULTS = {
    "MS_CPU_COMM_OP_TIMEOUT": "3600",  # seconds to wait for a rank that compiles, saves or draws; the default is 30
    "MS_NODE_TIMEOUT": "600",  # seconds of silence after which the scheduler gives a rank up; its own is 30
    "MS_RETRY_INTERVAL_LOWER": "1",  # seconds between polls while joining and leaving; its own cost a job 8 s
    "MS_RETRY_INTERVAL_UPPER": "1",
}
LAST_STEP = 8.0  # seconds to save and stop in, once the scheduler is gone
SCHEDULER_GONE = (
    "error: MindSpore's scheduler has ended, and the processes of the job cannot go on without it; what is "
    "saved stays, and the same command goes on from there\n"
)
SCHEDULER = "import sys; sys.path.insert(0, {root!r}); from mindlong.parallel import launch; launch.serve({parent})"


_leaving: int | None = None  # rank 0 tells the watcher here that it is about to sign off


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
    return int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", world_size()))


def join(timeout: float = 180.0) -> tuple[int, int]:
    """Find the job's scheduler (rank 0 starts it) and return (rank, size). Call it before anything
    imports MindSpore.

    What is registered first is run last when a process ends: rank 0 must wait for the scheduler
    after MindSpore has signed off from it.

    Raises:
        UserError: the scheduler could not be started or found within `timeout` seconds.
    """
    rank, size = world()
    if size == 1 and os.environ.get("MS_ROLE") != "MS_SCHED":
        return rank, size
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if os.environ.get("MS_ROLE") == "MS_SCHED":  # msrun starts the same command as scheduler too
        _watch_ranks(os.getpid(), os.getppid())
        serve(os.getppid())
    _die_with_parent()
    if "MS_SCHED_PORT" in os.environ:  # joined before, or started by msrun
        return rank, size
    if "mindspore" in sys.modules:
        raise RuntimeError("launch.join() must run before mindspore is imported")
    meeting = _meeting_folder()
    os.environ.update(MS_WORKER_NUM=str(size), MS_SCHED_HOST=HOST, MS_NODE_ID=str(rank))
    port = _start_scheduler(meeting, timeout) if rank == 0 else _read_port(meeting, timeout)
    os.environ.update(MS_SCHED_PORT=str(port), MS_ROLE="MS_WORKER")
    return rank, size


def connect() -> Comm:
    """The processes of this job, connected. Call `join` first and choose the device between the
    two.

    Several processes share every batch (MindSpore's data-parallel mode); a single one needs no
    cluster.
    """
    rank, size = join()
    if size == 1:
        return SerialComm()
    import mindspore
    from mindspore.communication import init

    init()
    atexit.register(_leave)  # after MindSpore's own, so it runs before it
    mindspore.set_auto_parallel_context(
        parallel_mode="data_parallel", gradients_mean=False, device_num=size
    )
    return MindSporeComm(rank, size)


def serve(parent: int) -> NoReturn:
    """Be the scheduler until all ranks have signed off or the process `parent` ends."""
    _die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was asked
        sys.exit(1)
    for number in (
        signal.SIGINT,
        signal.SIGUSR1,
        signal.SIGTERM,
    ):  # requests to stop are for the ranks
        signal.signal(number, signal.SIG_IGN)
    from mindspore.communication import init

    init()
    sys.exit(0)


def _watch_ranks(scheduler: int, msrun: int, patience: float = 8.0) -> None:
    """Fork a watcher that ends msrun's scheduler once all ranks are gone.

    The scheduler would wait half a minute for the heartbeat of a rank that was killed, and msrun
    for the scheduler. A thread cannot watch: MindSpore keeps the interpreter's lock while it
    serves.
    """
    if os.fork():
        return
    _die_with_parent()
    alone_since = time.monotonic()
    while time.monotonic() - alone_since < patience and os.getppid() == scheduler:
        time.sleep(1.0)
        if _children(msrun) - {scheduler}:
            alone_since = time.monotonic()
    if os.getppid() == scheduler:
        os.kill(scheduler, signal.SIGKILL)
    os._exit(0)


def _watch_scheduler(scheduler: int) -> None:
    """Fork a watcher that ends rank 0, and with it the job, once the scheduler is gone before its
    time: without it the ranks would go on for half a minute and then crash.

    A training is asked to save and stop first. A thread cannot watch: MindSpore keeps the
    interpreter's lock while it waits for other ranks.
    """
    global _leaving
    rank, (told, _leaving) = os.getpid(), os.pipe()
    if os.fork():
        os.close(told)
        return
    os.close(_leaving)
    _die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    while os.getppid() == rank and not select.select([told], [], [], 0.5)[0]:
        if _ended(scheduler):
            os.write(2, SCHEDULER_GONE.encode())
            os.kill(rank, signal.SIGUSR1)
            select.select([told], [], [], LAST_STEP)  # until it leaves, which it cannot without
            os.kill(rank, signal.SIGKILL)  # goes with this process: its parent
    os._exit(0)


def _leave() -> None:
    """Rank 0 is about to sign off: from now on the scheduler may end."""
    if _leaving is not None:
        with contextlib.suppress(OSError):
            os.write(_leaving, b"0")


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def _children(parent: int) -> set[int]:
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


def _die_with_parent() -> None:
    """Ranks outlive an mpirun that was itself killed with SIGKILL, unless the kernel is asked to
    end them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _meeting_folder() -> Path:
    """A folder that all ranks of this mpirun name alike and no other job does."""
    job = [os.environ[name] for name in JOB_VARIABLES if name in os.environ]
    if not job:
        raise UserError(
            f"none of {', '.join(JOB_VARIABLES)} is set; start with Open MPI's mpirun or with msrun"
        )
    base = os.environ.get(SESSION_VARIABLE, "")
    base = base if os.path.isdir(base) else tempfile.gettempdir()
    key = hashlib.sha256("|".join(job).encode()).hexdigest()[:16]
    return Path(base, f"mindlong_{os.getuid()}_{key}")


def _start_scheduler(meeting: Path, timeout: float, attempts: int = 3) -> int:
    meeting.mkdir(mode=0o700, exist_ok=True)
    log = meeting / "scheduler.log"
    for _ in range(attempts):
        port = _free_port()
        child = _spawn(port, log)
        atexit.register(
            _stop, child, meeting
        )  # registered before MindSpore's own handler, so it runs after it
        if _wait_listening(child, port, timeout):
            _watch_scheduler(child.pid)
            aside = meeting / "port.partial"
            aside.write_text(str(port))
            aside.rename(meeting / "port")
            return port
        child.kill()
        child.wait()
    end = log.read_text()[-1000:]
    raise UserError(
        f"MindSpore's scheduler did not start in {attempts} attempts; its log ends: {end}"
    )


def _spawn(port: int, log: Path) -> subprocess.Popen:
    inherited = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(LAUNCHER_VARIABLES) and k != "MS_NODE_ID"
    }
    env = {"GLOG_v": "3", **inherited, "MS_ROLE": "MS_SCHED", "MS_SCHED_PORT": str(port)}
    code = SCHEDULER.format(parent=os.getpid(), root=str(Path(__file__).parents[2]))
    with open(log, "wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wait_listening(child: subprocess.Popen, port: int, timeout: float) -> bool:
    end = time.monotonic() + timeout
    while child.poll() is None and time.monotonic() < end:
        if _listens(child.pid, port):
            return True
        time.sleep(0.05)
    return False


def _read_port(meeting: Path, timeout: float) -> int:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            return int((meeting / "port").read_text())
        except FileNotFoundError:
            time.sleep(0.05)
    raise UserError(f"process 0 published no scheduler port in {meeting} within {timeout:.0f} s")


def _free_port() -> int:
    """A port nobody holds, below the range the kernel hands out to outgoing connections."""
    for _ in range(200):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue
    raise UserError("no free port between 20000 and 32000 for MindSpore's scheduler")


def _listens(pid: int, port: int) -> bool:
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


def _stop(child: subprocess.Popen, meeting: Path) -> None:
    """The ranks have signed off by now and the scheduler ends by itself; one that does not is not
    waited for long.
    """
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    shutil.rmtree(meeting, ignore_errors=True)
