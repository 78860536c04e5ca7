"""Weak scaling of clip-parallel sampling on this machine: the same clip a process, one thread each,
1 to N processes.

  python tools/scale_clip_parallel.py --processes 1 2 --frames 8 --out scaling.json

Prints, for each number of processes: seconds a call of the network, of which passing frames (and
waiting for others), what was sent against the plan, and the largest resident set of a process.
Needs an idle machine with a core a process.
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
from pathlib import Path

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


def rank(frames: int, side: int, calls: int, folder: Path) -> None:
    """What each process runs."""
    from mindlong.parallel import launch

    number, size = launch.join()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    import resource
    import time

    import numpy as np

    from mindlong.networks.init import initialise
    from mindlong.networks.unet.cell import UNet
    from mindlong.networks.unet.families import family
    from mindlong.networks.unet.sharded_cell import ShardedUNet
    from mindlong.networks.unet.traffic import sites
    from mindlong.ops import device
    from mindlong.parallel import halo, volume
    from mindlong.parallel.sync import Traffic
    from mindlong.pipelines.clip_parallel.make import ClipParallel
    from mindlong.plans.clip_layout import exact_layout
    from mindlong.utils import rng

    device.setup("CPU", threads=1)
    comm, spec = launch.connect(), family("videocrafter2").spec(**WIDTHS)
    layout = exact_layout(halo.split_by([frames] * size), "window:9", "spread:8")
    traffic = Traffic()
    video = ClipParallel(ShardedUNet(initialise(UNet(spec), 0)), layout, comm, traffic=traffic)
    x, t = rng.normal((1, 4, frames, side, side), number, "x"), np.array([500], np.int32)
    context, fps = rng.normal((1, 8, 48), 0, "c"), np.array([8], np.float32)
    video.predict(x, t, context, fps)
    seconds, passing, before = [], [], traffic.bytes
    for _ in range(calls):
        comm.all_gather_text("ready")
        clock, waited = time.perf_counter(), traffic.seconds
        video.predict(x, t, context, fps)
        seconds.append(time.perf_counter() - clock)
        passing.append(traffic.seconds - waited)
    planned = volume.rank_bytes(sites(spec, (side, side)), layout, video.meeting.held, number)
    found = {
        "seconds": statistics.median(seconds),
        "passing": statistics.median(passing),
        "planned": planned,
        "sent": (traffic.bytes - before) // calls,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (folder / f"rank{number}.json").write_text(json.dumps(found))


def measured(processes: int, args: argparse.Namespace) -> list[dict]:
    """Start the processes; what each found."""
    with tempfile.TemporaryDirectory() as folder:
        own = [
            sys.executable,
            __file__,
            "--rank",
            folder,
            "--frames",
            str(args.frames),
            "--side",
            str(args.side),
            "--calls",
            str(args.calls),
        ]
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


def main() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    made.add_argument("--frames", type=int, default=8, help="of a process")
    made.add_argument("--side", type=int, default=16, help="height and width of the latents")
    made.add_argument("--calls", type=int, default=5)
    made.add_argument("--out", type=Path)
    made.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.rank:
        rank(args.frames, args.side, args.calls, args.rank)
        return
    if max(args.processes) > 1 and not shutil.which("mpirun"):
        raise SystemExit("error: mpirun is not installed")
    found = {n: measured(n, args) for n in args.processes}
    first = max(row["seconds"] for row in found[args.processes[0]])
    print("processes  s a call  passing  efficiency  sent MB  planned MB  peak MB")
    for n, rows in found.items():
        slow = max(rows, key=lambda row: row["seconds"])
        print(
            f"{n:>9}  {slow['seconds']:>8.2f}  {slow['passing']:>7.2f}  {first / slow['seconds']:>10.2f}  "
            f"{slow['sent'] / 1e6:>7.2f}  {slow['planned'] / 1e6:>10.2f}  {max(r['peak_mb'] for r in rows):>7.0f}"
        )
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
