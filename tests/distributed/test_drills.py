"""What happens to a job of two processes on one machine when something of it is killed or held: by
either launcher it ends in seconds with nothing left, or goes on.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from jobs import start, survivors
from test_hosts import LAUNCHERS, said, toy, under_way

pytestmark = pytest.mark.slow


def begin(folder, launcher, case="endless"):
    (folder / "tiny.yaml").write_text("{}")
    (folder / "1").mkdir()
    sets = {
        "LAUNCHER": launcher,
        "NPROC": "2",
        "LOG_DIR": str(folder / "logs"),
        "MINDLONG_VENV": str(Path(sys.executable).parents[1]),
    }
    words = ["env", *(f"{k}={v}" for k, v in sets.items()), *toy(case, folder)]
    script = ["sh", "-c", f'cd {folder}; exec "$@"', "sh", *words]
    return start(script, folder / "1")


def parts(mark):
    """The processes of a job by what they are: launcher, scheduler, 0, 1."""
    found = {}
    for pid in survivors(mark):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text()
            parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
            above = Path(f"/proc/{parent}/cmdline").read_text()
            pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
        except OSError:
            continue
        env = dict(p.partition("=")[::2] for p in pairs)
        if above == line and "msrun" not in line:  # a watcher
            continue
        if "mpirun" in line or "msrun" in line:
            found["launcher"] = pid
        elif env.get("MS_ROLE") == "MS_SCHED":
            found["scheduler"] = pid
        elif "host_ranks.py" in line and "bash" not in line.split("\0")[0]:
            found[env.get("OMPI_COMM_WORLD_RANK") or env.get("MS_NODE_ID", "")] = pid
    return found


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("victim", ["launcher", "scheduler", "0", "1"])
def test_whatever_is_killed_the_job_ends_in_seconds(tmp_path, launcher, victim):
    process, mark = begin(tmp_path, launcher)
    under_way([(process, mark)], tmp_path, 2)
    found = parts(mark)
    assert set(found) == {"launcher", "scheduler", "0", "1"}, found
    os.kill(found[victim], signal.SIGKILL)
    begun = time.monotonic()
    assert process.wait(timeout=60) != 0
    while survivors(mark) and time.monotonic() - begun < 60:
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    print(f"\n{victim} killed, {launcher}: {seconds:.1f} s")
    assert survivors(mark) == [] and seconds < 60
    assert victim != "scheduler" or "scheduler has ended" in said(tmp_path)


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("held", ["0", "1"])
def test_whatever_is_held_for_a_minute_the_job_goes_on(tmp_path, launcher, held):
    process, mark = begin(tmp_path, launcher)
    under_way([(process, mark)], tmp_path, 2)
    pid, metrics = parts(mark)[held], tmp_path / "endless" / "metrics.csv"
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(60)
        assert process.poll() is None, said(tmp_path)
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    before, begun = metrics.stat().st_size, time.monotonic()
    while metrics.stat().st_size == before:
        assert process.poll() is None and time.monotonic() - begun < 60, said(tmp_path)
        time.sleep(0.1)
    print(f"\n{held} held for 60 s, {launcher}: goes on")
    os.kill(parts(mark)["launcher"], signal.SIGKILL)
    process.wait(timeout=60)
    end = time.monotonic() + 60
    while survivors(mark):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_scheduler_that_is_held_ends_the_job_with_a_sentence(tmp_path, launcher):
    """MindSpore's own processes give it up after about half a minute, some by a crash."""
    process, mark = begin(tmp_path, launcher)
    under_way([(process, mark)], tmp_path, 2)
    os.kill(parts(mark)["scheduler"], signal.SIGSTOP)
    begun = time.monotonic()
    assert process.wait(timeout=120) != 0
    while survivors(mark) and time.monotonic() - begun < 120:
        time.sleep(0.1)
    print(f"\nscheduler held, {launcher}: {time.monotonic() - begun:.1f} s")
    assert survivors(mark) == []
    assert "scheduler has been stopped" in said(tmp_path)
