"""How time and memory of one call of a network grow with frames and with the side of the images.

The network is the UNet of shipped:base_shapes with weights drawn at random, on the latents of one
video without guidance, a quarter as high and as wide as its images; every size has a process of its
own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from math import log2
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmark.py"
MODEL = Path(__file__).parents[2] / "mindlong" / "weights" / "base_shapes" / "unet.yaml"
FACTOR = 4  # pixels along the side of a latent
FRAMES, SIDES = (16, 32, 64, 128, 256, 512, 1024), (64, 128, 256, 512)
SIZES = tuple((f, SIDES[0]) for f in FRAMES) + tuple((FRAMES[0], s) for s in SIDES[1:])


def measure(only: str, times: int, warmup: int, threads: int) -> list[dict]:
    """A row for every size; `only` is "frames" or "side", or nothing for both.

    Raises:
        SystemExit: a size did not run.
    """
    rows = []
    for frames, side in SIZES:
        name = "side" if side > SIDES[0] else "frames"
        if only in name or (frames, side) == SIZES[0]:
            rows.append(_row(name, frames, side, (times, warmup, threads)))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def _row(grows: str, frames: int, side: int, turns: tuple[int, int, int]) -> dict:
    times, warmup, threads = turns
    command = [sys.executable, str(BENCHMARK), "--size", str(frames), str(side)]
    command += ["--pairs", str(times), "--warmup", str(warmup), "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOG_v": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {frames} frames of side {side}: {done.stderr.strip()[-300:]}")
    return {
        "grows": grows,
        "frames": frames,
        "side": side,
        **json.loads(done.stdout.split("= ")[1]),
    }


def serve(frames: int, side: int, times: int, warmup: int, threads: int) -> None:
    """One size in this process: prints seconds of a call and the peak of memory."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    call = _call(frames, side, threads)
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    for _ in range(warmup - 1):
        call()
    seconds = sorted(_timed(call) for _ in range(times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    q1, median, q3 = (
        statistics.quantiles(seconds, n=4, method="inclusive") if times > 1 else seconds * 3
    )
    found = {"seconds": median, "q1": q1, "q3": q3, "first": first, "memory_mb": round(peak)}
    print("= " + json.dumps(found))


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _call(frames: int, side: int, threads: int):
    import numpy as np
    import yaml
    from mindspore import Tensor

    from mindlong.config.section import spec_of
    from mindlong.networks.init import initialise
    from mindlong.networks.unet.cell import UNet
    from mindlong.ops import device
    from mindlong.utils.rng import normal

    device.setup("CPU", "graph", native="on", threads=threads)
    spec = spec_of(yaml.safe_load(MODEL.read_text()))
    network = UNet(spec)
    initialise(network, 0)
    network.set_train(False)
    inputs = [
        Tensor(normal((1, 4, frames, side // FACTOR, side // FACTOR), 0, "x")),
        Tensor(np.full(1, 500, np.int32)),
        Tensor(normal((1, 24, spec.context_dim), 0, "text")),
        Tensor(np.full(1, 8, np.int32)),
    ]
    return lambda: float(network(*inputs).asnumpy().sum())


def table(rows: Sequence[dict]) -> str:
    """The rows as Markdown; the last column says by which power of its size the time grew since the
    row before.
    """
    lines = [
        "| frames | side | seconds a call (quartiles) | first call s | peak MB | power |",
        "|---|---|---|---|---|---|",
    ]
    before: dict | None = None
    for r in rows:
        spread = f"{r['seconds']:.2f} ({r['q1']:.2f}-{r['q3']:.2f})"
        lines.append(
            f"| {r['frames']} | {r['side']} | {spread} | {r['first']:.1f} | {r['memory_mb']} | {_power(before, r)} |"
        )
        before = r
    return "\n".join(lines)


def _power(before: dict | None, row: dict) -> str:
    if before is None or before["grows"] != row["grows"]:
        return ""
    grown = row["frames"] * row["side"] ** 2 / (before["frames"] * before["side"] ** 2)
    return f"{log2(row['seconds'] / before['seconds']) / log2(grown):.2f}"
