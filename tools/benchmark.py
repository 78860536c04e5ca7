"""Times mindlong against PyTorch, eager and compiled, and against plain MindSpore: the same work,
in turn, with equal threads.

  python tools/benchmark.py unet3d                    forward and train step of Unet3D, dim 64
  python tools/benchmark.py unet3d --peer compile     against torch.compile with static shapes
  python tools/benchmark.py unet3d --peer mindspore   against MindSpore's own operators
  python tools/benchmark.py unet_sd --bf16 --peer float32   with env.bf16 against without it
  python tools/benchmark.py operators --only GEGLU    the rows of a group whose name holds the word
  python tools/benchmark.py --work start              whole commands, from start to end
  python tools/benchmark.py --work growth             a call of a network by frames and side
  python tools/benchmark.py --all --json rows.json --markdown docs/benchmarks.md

Every side runs in a process of its own, so that idle threads of one do not disturb the other and
peak memory is its own. After warm-up the two take turns (A B A B ...); a row is the median over the
pairs of time A / time B, with quartiles, and the ratio of peak memory. Below 1, mindlong is faster
or smaller. The first call, with its compiling, is a column of its own. PyTorch comes with the
extra: pip install -e '.[golden]'.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import growth, start  # noqa: E402
from bench.works import FORWARD, WORKS, Work  # noqa: E402

PEERS = {  # word -> side
    "pytorch": "pytorch",
    "compile": "compile",
    "mindspore": "plain",
    "float32": "mindlong",
}
TORCH = ("pytorch", "compile")
HAND = "## Where the time goes"
GROUPS = sorted({w.group for w in WORKS})
WHOLE = {"start": start, "growth": growth}  # works without a peer
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PACKAGES = ("mindspore", "torch", "diffusers", "video-diffusion-pytorch", "numpy")


class Side:
    """One framework with one work, in a process that waits to be told to run."""

    def __init__(self, side: str, index: int, threads: int, clock: str) -> None:
        command = [
            sys.executable,
            __file__,
            "--side",
            side,
            str(index),
            "--threads",
            str(threads),
            "--clock",
            clock,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOG_v": "3"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def ask(self, word: str) -> float:
        """Send `word` and return the number that comes back."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(
                    f"error: the process of {' '.join(self.process.args[3:5])} ended; its message stands above"
                )
            if line.startswith("= "):
                return float(line[2:])

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def serve(side: str, work: Work, threads: int, clock: str) -> None:
    """The loop of a side: `run` answers seconds, `memory` the peak in bytes."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if side in TORCH:
        from bench.pytorch_peer import build

        call = build(work, threads, compiled=side == "compile")
    else:
        from bench.mindlong_peer import build

        call = build(work, threads, native=side != "plain", bf16=side == "bf16")
    for line in sys.stdin:
        print("=", _run(call, CLOCKS[clock]) if line.strip() == "run" else _peak(), flush=True)


def _run(call, now) -> float:
    start = now()
    call()
    return now() - start


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare(
    index: int, ours: str, peer: str, pairs: int, warmup: int, threads: int, clock: str
) -> dict:
    """The row of one work; `ours` is mindlong or bf16."""
    sides = [Side(name, index, threads, clock) for name in (ours, PEERS[peer])]
    try:
        first = [side.ask("run") for side in sides]
        for _ in range(warmup - 1):
            for side in sides:
                side.ask("run")
        times = [[side.ask("run") for side in sides] for _ in range(pairs)]
        memory = [side.ask("memory") for side in sides]
    finally:
        for side in sides:
            side.close()
    ratios = [a / b for a, b in times]
    q1, median, q3 = (
        statistics.quantiles(ratios, n=4, method="inclusive") if pairs > 1 else ratios * 3
    )
    return {
        "name": WORKS[index].name + (", bf16" if ours == "bf16" else ""),
        "peer": peer,
        "ratio": round(median, 3),
        "q1": round(q1, 3),
        "q3": round(q3, 3),
        "memory_ratio": round(memory[0] / memory[1], 3),
        "threads": threads,
        "clock": clock,
        "seconds": [round(statistics.median(t[i] for t in times), 3) for i in (0, 1)],
        "first_seconds": [round(seconds, 1) for seconds in first],
        "memory_mb": [round(m / 2**20) for m in memory],
        "pairs": pairs,
    }


def table(rows: list[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | against | time ratio (quartiles) | mindlong s | other s | first call s | memory ratio | mindlong MB | other MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        (a, b), (m, n) = r["seconds"], r["memory_mb"]
        spread, first = (
            f"{r['ratio']} ({r['q1']}-{r['q3']})",
            " / ".join(map(str, r["first_seconds"])),
        )
        lines.append(
            f"| {r['name']} | {r['peer']} | {spread} | {a} | {b} | {first} | {r['memory_ratio']} | {m} | {n} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> str:
    """What the rows were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), ""
    )
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    vectors = next((name for name in ("avx512f", "avx2") if name in flags), "no AVX2")
    packages = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return (
        f"{cpu or platform.processor()} ({vectors}), {os.cpu_count()} cores, {threads} threads; "
        f"Python {platform.python_version()}, {packages}"
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def page(shown: str, threads: int, note: str) -> str:
    """A table as docs/benchmarks.md."""
    about = __doc__.strip().split("\n\n")[-1]
    head = f"# Speed and memory\n\nWritten by `tools/benchmark.py`. {about}"
    parts = [head, f"Measured on {machine(threads)}.", note, shown]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_page(path: Path, text: str) -> None:
    """Write the page; what stands under "Where the time goes" in the one that is there stays, it is
    written by hand.
    """
    _, mark, kept = path.read_text().partition(HAND) if path.exists() else ("", "", "")
    path.write_text(text + (f"\n{mark}{kept}" if mark else ""))


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"what to time: {', '.join(GROUPS)}"
    )
    made.add_argument("--all", action="store_true", help="every group")
    made.add_argument(
        "--only", default="", metavar="WORD", help="only rows whose name holds the word"
    )
    made.add_argument(
        "--work",
        choices=("steps", *WHOLE),
        default="steps",
        help="steps of networks and operators; start: commands as a person waits for them; growth: "
        "one call of a network for more frames and larger images",
    )
    made.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    made.add_argument("--size", nargs=2, type=int, help=argparse.SUPPRESS)
    _turns(made.add_argument)
    _results(made.add_argument)
    return made


def _turns(add: Callable[..., object]) -> None:
    """How it is timed."""
    add(
        "--peer",
        choices=PEERS,
        action="append",
        help="against whom (default: pytorch); may be given twice",
    )
    add(
        "--bf16",
        action="store_true",
        help="mindlong with env.bf16, forward passes alone; against itself with --peer float32",
    )
    add("--pairs", type=int, default=7, help="counted turns of each side (default 7)")
    add("--warmup", type=int, default=2, help="turns not counted (default 2)")
    add(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="for both sides (default: all cores)",
    )
    add(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="wall, or cpu: seconds of the process on all cores, for a machine that does other work too",
    )


def _results(add: Callable[..., object]) -> None:
    """Where the rows go."""
    add("--json", metavar="FILE", help="write the rows there too")
    add(
        "--markdown",
        metavar="FILE",
        help="write a page with machine, versions and the table there too",
    )
    add("--note", default="", help="a sentence for that page")


def main() -> int:
    """Parse, run, print, and write the rows."""
    made = parser()
    args = made.parse_args()
    if args.side:
        serve(args.side[0], WORKS[int(args.side[1])], args.threads, args.clock)
        return 0
    if args.size:
        growth.serve(*args.size, args.pairs, args.warmup, args.threads)
        return 0
    if args.work in WHOLE:
        work = WHOLE[args.work]
        write(work.measure(args.only, args.pairs, args.warmup, args.threads), args, work.table)
        return 0
    unknown = sorted(set(args.groups) - set(GROUPS))
    if unknown or not (args.groups or args.all):
        made.error(
            f"{'unknown group ' + unknown[0] if unknown else 'nothing to time'}; groups are {', '.join(GROUPS)}, or --all"
        )
    if "float32" in (args.peer or ()) and not args.bf16:
        made.error("--peer float32 is mindlong itself, for --bf16 alone")
    chosen = [
        i
        for i, w in enumerate(WORKS)
        if (args.all or w.group in args.groups) and args.only in w.name
        if w.kind == FORWARD or not args.bf16
    ]
    ours = "bf16" if args.bf16 else "mindlong"
    rows = []
    for i in chosen:
        for peer in args.peer or ["pytorch"]:
            rows.append(compare(i, ours, peer, args.pairs, args.warmup, args.threads, args.clock))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    write(rows, args, table)
    return 0


def write(rows: list[dict], args: argparse.Namespace, shown: Callable[[list[dict]], str]) -> None:
    """Print the rows, and write them where the arguments say."""
    print(machine(args.threads) + "\n\n" + shown(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))
    if args.markdown:
        write_page(Path(args.markdown), page(shown(rows), args.threads, args.note))


if __name__ == "__main__":
    raise SystemExit(main())
