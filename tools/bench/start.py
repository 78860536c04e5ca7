"""What a person waits for: whole commands, from the start of the process to its end, in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = "FOLDER"  # in a command: an empty folder of this run


@dataclass(frozen=True)
class Command:
    """One row.

    Attributes:
        name: the row's name.
        words: what follows the Python that runs this.
    """

    name: str
    words: tuple[str, ...]


COMMANDS = (
    Command("import mindlong", ("-c", "import mindlong")),
    Command("infer.py --help", ("infer.py", "--help")),
    Command(
        "quickstart_long: a dry run",
        ("infer.py", "--config", "configs/infer/quickstart_long.yaml", f"output={FOLDER}/out")
        + ("--dry_run",),
    ),
    Command(
        "quickstart_long: a video of 226 frames",
        ("infer.py", "--config", "configs/infer/quickstart_long.yaml", f"output={FOLDER}/out"),
    ),
    Command(
        "latent_shapes: a video of 16 frames in 4 steps",
        ("infer.py", "pipeline=text_to_video", "weights=shipped:latent_shapes")
        + ("prompt=a red circle moving right", "sample.steps=4", f"output={FOLDER}/out"),
    ),
    Command(
        "vdm_shapes: the first step of a training",
        ("train.py", "--config", "configs/train/vdm_shapes.yaml", f"run_dir={FOLDER}/run")
        + ("train.steps=1", "train.preview_every=0"),
    ),
)


def measure(only: str, times: int, warmup: int, threads: int) -> list[dict]:
    """A row for every command whose name holds `only`.

    Raises:
        SystemExit: a command failed; its last lines are shown.
    """
    chosen = [command for command in COMMANDS if only in command.name]
    for _ in range(warmup):
        for command in chosen:
            _run(command, threads)
    turns = [[_run(command, threads) for command in chosen] for _ in range(times)]
    return [
        _row(command.name, [turn[i] for turn in turns], threads) for i, command in enumerate(chosen)
    ]


def _run(command: Command, threads: int) -> tuple[float, float, int]:
    """Seconds on the wall, seconds of the CPU, and the peak of memory in bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOG_v": "3"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        words = [word.replace(FOLDER, folder) for word in command.words]
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=said, stderr=said
        )
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"error: {command.name} ended with {child.returncode}: {_end(said)}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def _end(said: Sequence[str]) -> str:
    return " / ".join(line.strip() for line in list(said)[-3:])


def _row(name: str, runs: Sequence[tuple[float, float, int]], threads: int) -> dict:
    walls = [wall for wall, _, _ in runs]
    q1, median, q3 = (
        statistics.quantiles(walls, n=4, method="inclusive") if len(walls) > 1 else walls * 3
    )
    return {
        "name": name,
        "seconds": round(median, 2),
        "q1": round(q1, 2),
        "q3": round(q3, 2),
        "cpu_seconds": round(statistics.median(cpu for _, cpu, _ in runs), 2),
        "memory_mb": round(max(peak for _, _, peak in runs) / 2**20),
        "threads": threads,
        "times": len(runs),
    }


def table(rows: Sequence[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| command, from start to end | seconds (quartiles) | CPU seconds | peak MB |",
        "|---|---|---|---|",
    ]
    for r in rows:
        spread = f"{r['seconds']} ({r['q1']}-{r['q3']})"
        lines.append(f"| {r['name']} | {spread} | {r['cpu_seconds']} | {r['memory_mb']} |")
    return "\n".join(lines)
