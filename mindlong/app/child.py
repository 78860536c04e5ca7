"""infer.py as a process of its own: started without a shell, with what the page checked, in a
session that does not end with the page.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindlong.app.passwords import VARIABLE as PASSWORD
from mindlong.utils import progress_file
from mindlong.utils.claim import born
from mindlong.utils.errors import UserError

if TYPE_CHECKING:
    from mindlong.app.job import Job

PACKAGE = Path(__file__).resolve().parents[1]
CODE = "from mindlong.cli.guard import start; raise SystemExit(start('infer'))"
PATIENCE = 20.0  # seconds after which a process that was asked to stop may be killed


def command(arguments: Sequence[str]) -> list[str]:
    """The words of a run of infer.py: the script of a checkout, or the same from a package."""
    script = PACKAGE.parent / "infer.py"
    own = [str(script)] if script.is_file() else ["-c", CODE]
    return [sys.executable, *own, *arguments]


def environment(progress: Path | None = None) -> dict[str, str]:
    """What a child is given: what the page was, but for the password."""
    held = {key: value for key, value in os.environ.items() if key != PASSWORD}
    if progress is not None:
        held[progress_file.VARIABLE] = str(progress)
    return held


def start(job: Job, folder: Path) -> subprocess.Popen:
    """Start a job's process; it works in `folder`, where recipes look for files by their names.

    Raises:
        UserError: it is at work already, or its job.json does not say what it is given.
    """
    arguments = job.arguments()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(job.folder / ".alive", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):
            (job.folder / "progress.json").unlink()
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with (job.folder / "out.txt").open("ab") as out:
            process = subprocess.Popen(
                command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment(job.folder / "progress.json"),
                start_new_session=True,
                pass_fds=[handle],  # the lock is held until the process ends
            )
    except BlockingIOError:
        raise UserError(f"job {job.name} is at work already") from None
    finally:
        os.close(handle)
    job.mark("started", pid=process.pid, born=born(process.pid))
    job.unmark("waiting", "stopped")
    return process


def stop(job: Job) -> None:
    """Ask a job's process to end, as Ctrl-C does; what it has made stays, and it can go on. One
    that has not heard for a while is killed.
    """
    asked = job.since("stopped")
    if not asked:
        job.mark("stopped")
    job.unmark("waiting")
    held = job.process()
    if not job.is_alive() or not held or born(held[0]) != held[1]:
        return
    late = asked and time.time() - asked > PATIENCE
    with contextlib.suppress(ProcessLookupError):
        if late:
            os.killpg(held[0], signal.SIGKILL)
        else:
            os.kill(held[0], signal.SIGTERM)
