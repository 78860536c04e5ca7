"""Weak scaling of clip-parallel sampling on this machine: the same clip a process, one thread each.

  python tools/scale_clip_parallel.py --out scaling.json      # the rows of docs/clip_parallel.md
  python tools/scale_clip_parallel.py --processes 2 --frames 8 --calls 5

Prints a table in Markdown. A call of the network in which all processes pass frames is compared
with the same call in which each is handed what it was sent before, at once: first by all processes
at the same time, which says what passing costs, then by the first process alone, which says what
sharing the machine costs too. Times are medians with their spread. Needs an idle machine with a
core a process; its load before each row is printed.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

WIDTHS = {
    "channels": (32, 64, 96, 96),
    "layers": 2,
    "groups": 8,
    "context_dim": 48,
    "head_dim": 16,
    "entry_heads": 2,
}


# a row of docs/clip_parallel.md: frames a process, calls that are timed
ROWS = ((8, 12), (32, 8))


def rank(frames: int, side: int, calls: int, folder: Path) -> None:
    """What each process runs."""
    from mindlong.parallel import launch

    number, _ = launch.join()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    from mindlong.ops import device

    device.setup("CPU", threads=1)
    comm = launch.connect()
    made = _Made(frames, side, comm)
    timed, compiled = _compiled(made)
    counted = _together(made, timed, calls)
    _alone(made, timed, calls, folder / "alone")
    counted |= {"planned": made.planned(), "peak_mb": _peak()}
    (folder / f"rank{number}.json").write_text(json.dumps({**timed.found, **compiled, **counted}))


class _Made:
    """The network of a process, cut into a clip for each, and what it is called on."""

    def __init__(self, frames: int, side: int, comm: Any) -> None:
        from mindlong.networks.init import initialise
        from mindlong.networks.unet.cell import UNet
        from mindlong.networks.unet.families import family
        from mindlong.networks.unet.sharded_cell import ShardedUNet
        from mindlong.parallel.sync import Traffic
        from mindlong.pipelines.clip_parallel.make import ClipParallel
        from mindlong.utils import rng

        self.frames, self.side, self.comm = frames, side, comm
        self.spec = family("videocrafter2").spec(**WIDTHS)
        self.traffic, self.held = Traffic(), Recorder(comm)
        network = ShardedUNet(initialise(UNet(self.spec), 0))
        self.video = ClipParallel(network, self.layout(), self.held, traffic=self.traffic)
        x, t = rng.normal((1, 4, frames, side, side), comm.rank, "x"), np.array([500], np.int32)
        self.inputs = x, t, rng.normal((1, 8, 48), 0, "c"), np.array([8], np.float32)

    def layout(self) -> Any:
        """A clip for each process."""
        from mindlong.parallel import halo
        from mindlong.plans.clip_layout import exact_layout

        return exact_layout(halo.split_by([self.frames] * self.comm.size), "window:9", "spread:8")

    def planned(self) -> Any:
        """Bytes that this process should send in a call."""
        from mindlong.networks.unet.traffic import sites
        from mindlong.parallel import volume

        places, held = sites(self.spec, (self.side, self.side)), self.video.meeting.held
        return volume.rank_bytes(places, self.layout(), held, self.comm.rank)


def _compiled(made: _Made) -> tuple[_Calls, dict[str, float]]:
    """The first call, which compiles: (calls to be held against its bits, what it took)."""
    from mindlong.ops.launch import launches

    clock, cpu, before = time.perf_counter(), time.process_time(), _peak()
    want = made.video.predict(*made.inputs)
    took = {
        "compile_cpu": time.process_time() - cpu,
        "compile_seconds": time.perf_counter() - clock,
        "compile_mb": _peak() - before,
        "graphs": launches.looked_up,
    }
    made.held.full = True
    return _Calls(made.video, made.traffic, made.held, made.inputs, want), took


def _together(made: _Made, timed: _Calls, calls: int) -> dict[str, Any]:
    """All processes at once, passing frames and replaying them in turn; counts of one call."""
    from mindlong.ops.launch import launches

    traffic, graphs = made.traffic, launches.graphs
    sent, parcels = traffic.bytes, traffic.parcels
    for _ in range(calls):
        for key in ("together", "replayed"):
            made.comm.all_gather_text("ready")
            timed.call(key)
    return {
        "launches": (launches.graphs - graphs) // (2 * calls),
        "parcels": (traffic.parcels - parcels) // (2 * calls),
        "sent": (traffic.bytes - sent) // (2 * calls),
    }


def _alone(made: _Made, timed: _Calls, calls: int, done: Path) -> None:
    """The first process while the others wait."""
    made.comm.all_gather_text("the first goes on alone")
    if made.comm.rank == 0:
        for _ in range(calls):
            timed.call("alone")
        done.touch()
    while not done.exists():
        time.sleep(0.05)


class _Calls:
    """Calls of the network that are timed, each held against the bits of the first."""

    def __init__(self, video, traffic, held, inputs, want) -> None:
        self.video, self.traffic, self.held = video, traffic, held
        self.inputs, self.want = inputs, want
        keys = ("together", "cpu", "passing", "waited", "replayed", "alone")
        self.found: dict[str, list[float]] = {key: [] for key in keys}

    def call(self, key: str) -> None:
        """One call; frames are passed where `key` is "together", else replayed."""
        self.held.replays = key != "together"
        clock, cpu = time.perf_counter(), time.process_time()
        passing, waited = self.traffic.seconds, self.traffic.waited
        out = self.video.predict(*self.inputs)
        self.found[key].append(time.perf_counter() - clock)
        if out.tobytes() != self.want.tobytes():
            raise SystemExit("error: a process got other bits")
        if key == "together":
            self.found["cpu"].append(time.process_time() - cpu)
            self.found["passing"].append(self.traffic.seconds - passing)
            self.found["waited"].append(self.traffic.waited - waited)


class Recorder:
    """A Comm that keeps what it was sent in its first call of the network, and hands it out again
    while it replays.
    """

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.kept: list[Any] = []
        self.replays, self.place, self.full = False, 0, False

    @property
    def waited(self) -> float:
        """Of the Comm itself."""
        return getattr(self.comm, "waited", 0.0)

    def swap(self, parcel: Any) -> Any:
        """What was sent, now or then."""
        if self.replays:
            self.place = (self.place + 1) % len(self.kept)
            return self.kept[self.place - 1]
        arrival = self.comm.swap(parcel)
        if not self.full:
            self.kept.append(copy.deepcopy(arrival))
        return arrival


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(processes: int, frames: int, calls: int, side: int) -> list[dict]:
    """Start the processes; what each found."""
    with tempfile.TemporaryDirectory() as folder:
        own = [sys.executable, __file__, "--rank", folder]
        own += ["--frames", str(frames), "--side", str(side), "--calls", str(calls)]
        root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        start = (
            ["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-n", str(processes)]
            if processes > 1
            else []
        )
        subprocess.run(
            [*start, *own], check=True, env={**os.environ, "GLOG_v": "3", "OMP_NUM_THREADS": "1"}
        )
        return [json.loads((Path(folder) / f"rank{r}.json").read_text()) for r in range(processes)]


def line(frames: int, rows: list[dict]) -> str:
    """A row of the table: times are medians (least - most) of the slowest process."""
    slow = max(rows, key=lambda row: statistics.median(row["together"]))
    middle = {k: statistics.median(v) for k, v in slow.items() if isinstance(v, list) and v}
    alone = statistics.median(rows[0]["alone"])
    ratios = [a / b for a, b in zip(slow["replayed"], slow["together"], strict=True)]
    cells = [
        f"{frames}",
        _spread(rows[0]["alone"]),
        _spread(slow["replayed"]),
        _spread(slow["together"]),
        f"{middle['passing']:.3f}, {middle['waited']:.3f}",
        _spread(ratios, 2),
        f"{alone / middle['together']:.2f}",
        f"{slow['launches']}, {slow['parcels']}",
        f"{slow['sent'] / 1e6:.2f} / {slow['planned'] / 1e6:.2f}",
        f"{slow['graphs']}, {slow['compile_cpu']:.0f}, {slow['compile_mb']:.0f}",
        f"{max(r['peak_mb'] for r in rows):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(values: list[float], digits: int = 3) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


HEADS = (
    "frames a process",
    "computing, one process alone: s a call",
    "computing, all at once: s",
    "passing frames: s",
    "of which passing, of that waiting: s",
    "efficiency against computing at once",
    "against one process alone",
    "graphs, messages a call",
    "sent / planned MB",
    "graphs compiled, s of CPU, MB",
    "peak MB",
)


def main() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--processes", type=int, default=2)
    made.add_argument("--frames", type=int, help="of a process; default: the rows of the docs")
    made.add_argument("--side", type=int, default=16, help="height and width of the latents")
    made.add_argument("--calls", type=int, help="calls that are timed")
    made.add_argument("--out", type=Path)
    made.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.rank:
        rank(args.frames, args.side, args.calls, args.rank)
        return
    if args.processes > 1 and not shutil.which("mpirun"):
        raise SystemExit("error: mpirun is not installed")
    found = {}
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    for frames, usual in [(args.frames, 8)] if args.frames else ROWS:
        load = f"load before: {os.getloadavg()[0]:.2f}"
        calls = args.calls or usual
        found[frames] = measured(args.processes, frames, calls, args.side)
        print(line(frames, found[frames]), load, flush=True)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
