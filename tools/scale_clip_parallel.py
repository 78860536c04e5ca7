"""Weak scaling of clip-parallel sampling on this machine: the same clip a process, one thread each,
1 to N processes.

  python tools/scale_clip_parallel.py --out scaling.json      # the rows of docs/clip_parallel.md
  python tools/scale_clip_parallel.py --processes 1 2 --frames 8 --calls 5

Prints a table in Markdown. Calls of the network with frames passed alternate with calls on the same
clip as if there were no others, which all processes make at the same time: their ratio says what
passing costs, that to one process on an idle machine also what sharing a machine costs. Times are
medians with their spread. Needs an idle machine with a core a process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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

    number, size = launch.join()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    import resource

    import numpy as np

    from mindlong.networks.init import initialise
    from mindlong.networks.unet.cell import UNet
    from mindlong.networks.unet.families import family
    from mindlong.networks.unet.sharded_cell import ShardedUNet
    from mindlong.networks.unet.traffic import sites
    from mindlong.ops import device
    from mindlong.ops.launch import launches
    from mindlong.parallel import halo, volume
    from mindlong.parallel.comm import SerialComm
    from mindlong.parallel.sync import Traffic
    from mindlong.pipelines.clip_parallel.make import ClipParallel
    from mindlong.plans.clip_layout import exact_layout
    from mindlong.utils import rng

    device.setup("CPU", threads=1)
    comm, spec = launch.connect(), family("videocrafter2").spec(**WIDTHS)
    network = ShardedUNet(initialise(UNet(spec), 0))

    def layout(clips):
        return exact_layout(halo.split_by([frames] * clips), "window:9", "spread:8")

    traffic = Traffic()
    together = ClipParallel(network, layout(size), comm, traffic=traffic)
    apart = ClipParallel(network, layout(1), SerialComm(), traffic=Traffic())
    x, t = rng.normal((1, 4, frames, side, side), number, "x"), np.array([500], np.int32)
    context, fps = rng.normal((1, 8, 48), 0, "c"), np.array([8], np.float32)
    clock, cpu, before = time.perf_counter(), time.process_time(), _peak(resource)
    together.predict(x, t, context, fps)
    compiled = {
        "compile_cpu": time.process_time() - cpu,
        "compile_seconds": time.perf_counter() - clock,
        "compile_mb": _peak(resource) - before,
        "graphs": launches.looked_up,
    }
    apart.predict(x, t, context, fps)  # the same clip, alone in the world: other shapes
    found: dict[str, list[float]] = {
        k: [] for k in ("together", "cpu", "passing", "waited", "apart")
    }
    sent, started = traffic.bytes, launches.graphs
    for video, key in [(together, "together"), (apart, "apart")] * calls:
        comm.all_gather_text("ready")
        clock, cpu = time.perf_counter(), time.process_time()
        passing, waited = traffic.seconds, traffic.waited
        video.predict(x, t, context, fps)
        found[key].append(time.perf_counter() - clock)
        if video is together:
            found["cpu"].append(time.process_time() - cpu)
            found["passing"].append(traffic.seconds - passing)
            found["waited"].append(traffic.waited - waited)
    planned = volume.rank_bytes(
        sites(spec, (side, side)), layout(size), together.meeting.held, number
    )
    counted = {
        "planned": planned,
        "sent": (traffic.bytes - sent) // calls,
        "launches": (launches.graphs - started) // (2 * calls),
        "parcels": traffic.parcels // (calls + 1),
        "peak_mb": _peak(resource),
    }
    (folder / f"rank{number}.json").write_text(json.dumps({**found, **compiled, **counted}))


def _peak(resource: Any) -> float:
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


def lines(frames: int, found: dict[int, list[dict]]) -> list[str]:
    """A row of the table for each number of processes: times are medians (least - most) of the
    slowest process.
    """
    made = []
    alone = max(statistics.median(row["apart"]) for row in found[min(found)])
    for processes, rows in found.items():
        slow = max(rows, key=lambda row: statistics.median(row["together"]))
        middle = {k: statistics.median(v) for k, v in slow.items() if isinstance(v, list)}
        ratios = [a / b for a, b in zip(slow["apart"], slow["together"], strict=True)]
        cells = [
            f"{frames}",
            f"{processes}",
            f"{alone:.3f}",
            _spread(slow["apart"]),
            _spread(slow["together"]),
            f"{middle['passing']:.3f}, {middle['waited']:.3f}",
            f"{alone / middle['together']:.2f}",
            _spread(ratios, 2),
            f"{slow['launches']}, {slow['parcels']}",
            f"{slow['sent'] / 1e6:.2f} / {slow['planned'] / 1e6:.2f}",
            f"{slow['graphs']}, {slow['compile_cpu']:.0f}, {slow['compile_mb']:.0f}",
            f"{max(r['peak_mb'] for r in rows):.0f}",
        ]
        made.append(f"| {' | '.join(cells)} |")
    return made


def _spread(values: list[float], digits: int = 3) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


HEADS = (
    "frames a process",
    "processes",
    "one process, idle machine: s a call",
    "without passing, all at once: s",
    "together: s",
    "of which passing, waiting: s",
    "against one process",
    "against the same without passing",
    "graphs started, messages",
    "sent / planned MB",
    "graphs compiled, s of CPU, MB",
    "peak MB",
)


def main() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    made.add_argument("--frames", type=int, help="of a process; default: the rows of the docs")
    made.add_argument("--side", type=int, default=16, help="height and width of the latents")
    made.add_argument("--calls", type=int, help="calls that are timed")
    made.add_argument("--out", type=Path)
    made.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.rank:
        rank(args.frames, args.side, args.calls, args.rank)
        return
    if max(args.processes) > 1 and not shutil.which("mpirun"):
        raise SystemExit("error: mpirun is not installed")
    rows = [(args.frames, args.calls or 8)] if args.frames else ROWS
    found = {}
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for frames, usual in rows:
        calls = args.calls or usual
        found[frames] = {n: measured(n, frames, calls, args.side) for n in args.processes}
        print("\n".join(lines(frames, found[frames])), flush=True)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
