"""What attention over time costs by window: time and memory of one layer, forward and backward, by
number of frames.

    python tools/bench/temporal.py [--frames 65 257 1025] [--policies window:5 all] [--json FILE]

Every pair is measured in a process of its own, whose peak memory over that of an idle one is what
the layer took.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

WIDTH, HEADS, PIXELS = 64, 4, 64


def main() -> None:
    """Measure all pairs and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[65, 257, 1025])
    parser.add_argument(
        "--policies", nargs="+", default=["window:5", "window:5|first", "window:9", "all"]
    )
    parser.add_argument("--native", default="on", choices=("on", "off"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]), args.native)))
        return
    rows = []
    print(f"{'policy':<16} {'frames':>6} {'forward ms':>11} {'both ms':>9} {'memory MiB':>11}")
    for policy in args.policies:
        for frames in args.frames:
            command = [
                sys.executable,
                __file__,
                "--native",
                args.native,
                "--one",
                policy,
                str(frames),
            ]
            row = json.loads(
                subprocess.run(
                    command, capture_output=True, text=True, check=True
                ).stdout.splitlines()[-1]
            )
            rows.append({"policy": policy, "frames": frames, **row})
            print(
                f"{policy:<16} {frames:>6} {row['forward']:>11.1f} {row['both']:>9.1f} {row['memory']:>11.0f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(policy: str, frames: int, native: str, repeats: int = 5) -> dict[str, float]:
    """Least of `repeats` times in ms of the forward pass and of both, and the peak memory above the
    idle process in MiB.
    """
    import mindspore as ms
    import numpy as np

    from mindlong.networks.init import initialise
    from mindlong.networks.unet.attention import PolicyAttention
    from mindlong.ops import device

    device.setup("CPU", native=native)
    net = initialise(PolicyAttention(WIDTH, HEADS, "time", policy, False, False), 0)
    x = ms.Tensor(
        np.random.default_rng(0).standard_normal((1, frames, PIXELS, WIDTH)).astype(np.float32)
    )
    net(x[:, :5]).asnumpy()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def loss(given):
        return (net(given) ** 2).sum()

    both = ms.jit(ms.value_and_grad(loss, 0, net.trainable_params()))

    def least(run) -> float:
        run()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return 1000 * min(times)

    forward, backward = least(lambda: net(x).asnumpy()), least(lambda: both(x)[0].asnumpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"forward": forward, "both": backward, "memory": (peak - idle) / 1024}


if __name__ == "__main__":
    main()
