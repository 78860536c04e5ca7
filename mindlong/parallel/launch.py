"""Joining the processes that mpirun or msrun started, before MindSpore is imported.

MindSpore's collectives need a scheduler process beside the workers. msrun brings its own; under
mpirun rank 0 starts one (mindlong.parallel.scheduler). Ranks and scheduler ask the kernel to end
them with their parent, and watchers end a rank once the scheduler or another machine is gone, so
that killing any one process or cutting off a machine leaves no other behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from pathlib import Path

from mindlong.parallel import lifeline, proc, scheduler, watch
from mindlong.parallel.comm import Comm, MindSporeComm, SerialComm
from mindlong.parallel.scheduler import Place
from mindlong.parallel.world import local_rank, local_size, several_machines, world, world_size

__all__ = ["connect", "join", "local_rank", "local_size", "world", "world_size"]
DEFAULTS = {
    "MS_CPU_COMM_OP_TIMEOUT": "3600",  # seconds to wait for a rank that compiles, saves or draws; the default is 30
    "MS_NODE_TIMEOUT": "600",  # seconds of silence after which the scheduler gives a rank up; its own is 30
    "MS_RETRY_INTERVAL_LOWER": "1",  # seconds between polls while joining and leaving; its own cost a job 8 s
    "MS_RETRY_INTERVAL_UPPER": "1",
}

_joined = False


def join(shared: str | Path = ".", timeout: float = 180.0) -> tuple[int, int]:
    """Find the job's scheduler (rank 0 starts it) and return (rank, size). Call it before anything
    imports MindSpore.

    Args:
        shared: the folder of the run, where processes on several machines meet; it need not exist.

    Raises:
        UserError: the scheduler could not be started, found or reached within `timeout` seconds.
    """
    global _joined
    rank, size = world()
    if size == 1 and os.environ.get("MS_ROLE") != "MS_SCHED":
        return rank, size
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if os.environ.get("MS_ROLE") == "MS_SCHED":  # msrun starts the same command as scheduler too
        watch.watch_ranks(os.getpid(), os.getppid())
        scheduler.serve(os.getppid())
    if _joined:
        return rank, size
    _joined = True
    proc.die_with_parent()
    if "mindspore" in sys.modules:
        raise RuntimeError("launch.join() must run before mindspore is imported")
    if "MS_SCHED_PORT" in os.environ:
        _watch_msrun(rank, timeout)
    else:
        _join_mpirun(rank, size, Path(shared), timeout)
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

    from mindlong.ops import signing_off

    init()
    # after MindSpore's own, so it runs before it
    atexit.register(watch.leave, signing_off.prepare())
    for folder in _met:  # all are here
        shutil.rmtree(folder, ignore_errors=True)
    mindspore.set_auto_parallel_context(
        parallel_mode="data_parallel", gradients_mean=False, device_num=size
    )
    return MindSporeComm(rank, size)


_met: list[Path] = []  # folders that rank 0 made in a shared one


def _join_mpirun(rank: int, size: int, shared: Path, timeout: float) -> None:
    several = several_machines()
    meeting = shared if several else None
    os.environ.update(MS_WORKER_NUM=str(size), MS_NODE_ID=str(rank))
    if rank == 0:
        host = scheduler.own_address() if several else scheduler.LOOPBACK
        folder = scheduler.meeting_folders(meeting)[0]
        place = scheduler.start(folder, host, timeout)
        _met.extend([folder] if several else [])
    else:
        place = scheduler.find(meeting, timeout)
    os.environ.update(MS_SCHED_HOST=place.host, MS_SCHED_PORT=str(place.port), MS_ROLE="MS_WORKER")
    line = _line(place, rank, scheduler.job_name(True), timeout) if several else None
    watch.watch_job(place.child, line)


def _watch_msrun(rank: int, timeout: float) -> None:
    """msrun has started the scheduler, on one machine of several."""
    if local_rank():
        return
    place = Place(os.environ.get("MS_SCHED_HOST", ""), int(os.environ["MS_SCHED_PORT"]))
    job = f"{place.host} {place.port} {world_size()}"
    line = _line(place, rank, job, timeout) if several_machines() else None
    watch.watch_job(watch.scheduler_of_msrun(), line)


def _line(place: Place, rank: int, job: str, timeout: float) -> lifeline.Lifeline | None:
    """The lifeline of the first process of each machine; the others hang on that one."""
    name, port = lifeline.name_of(job), place.port + 1
    if rank == 0:
        return lifeline.listen(place.host, port, name)
    if local_rank() == 0:
        return lifeline.connect(place.host, port, name, timeout)
    return None
