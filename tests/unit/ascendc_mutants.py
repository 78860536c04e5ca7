"""Mutants of the 910A kernels: every synchronisation left out once, and chosen expressions changed,
all in one library.

    python tests/unit/ascendc_mutants.py FOLDER [PART PARTS [SECONDS]]

Each place of the kernels' source becomes `(mutant == n ? changed : as it is)`, so one compilation
serves all. A mutant is killed if the twin refuses what it does, if a number is wrong, if it
crashes, or if it does not end.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path

import ascendc_oracle as oracle
import numpy as np

from mindlong.ops.ascendc import emulate
from mindlong.ops.ascendc.layout import from_tails
from mindlong.ops.attention.visible import Visible

CALL = re.compile(
    r"(?<!void )\b(?:Sync|SetFlag|WaitFlag|PipeBarrier)<[^<>]*>\([^()]*\)|(?<!void )\b(?:Step|Stop)\(\)"
)
SECONDS = 20
HEADERS = tuple(f"mindlong_attention_{name}.h" for name in ("tiles", "forward", "backward"))


def changes(header: str) -> list[tuple[str, str, str]]:
    """What ascendc_changes.txt has for a header: where, what, by what."""
    lines = Path(__file__).with_name("ascendc_changes.txt").read_text().splitlines()
    rows = (line.split(" @@ ") for line in lines if line.startswith(header))
    return [(where.replace("\\n", "\n"), old, new) for _, where, old, new in rows]


def mutants(text: str, wanted: list[tuple[str, str, str]], first: int) -> tuple[str, list[str]]:
    """The source with a choice at every place, numbered from `first`, and what each number does."""
    places = [
        (m.start(), m.end(), "(void)0", f"without {m.group()}")
        for m in CALL.finditer(text)
        if "int32_t id" not in m.group()
    ]
    for context, old, new in wanted:
        at = text.find(context)
        assert at >= 0 and old in context, context
        places.append(
            (
                at + context.index(old),
                at + context.index(old) + len(old),
                new,
                f"{context.strip()}: {old} -> {new}",
            )
        )
    out, done, names = "", 0, []
    for begin, end, new, name in sorted(places):
        if begin < done:
            continue
        line = text[:begin].count("\n") + 1
        n = first + len(names)
        out += f"{text[done:begin]}(TWIN_MUTANT == {n} ? {new} : {text[begin:end]})"
        names.append(f"line {line} {name}")
        done = end
    return out + text[done:], names


def write(folder: Path) -> list[str]:
    """A copy of the operators in `folder` with all mutants in it; their names."""
    root = emulate.HERE
    for part in ("op_kernel", "op_host", "twin"):
        shutil.copytree(root / part, folder / part, dirs_exist_ok=True)
    names: list[str] = []
    for header in HEADERS:
        path = folder / "op_kernel" / header
        text, more = mutants(path.read_text(), changes(header), len(names))
        path.write_text(text)
        names += [f"{header.split('_')[-1]} {name}" for name in more]
    hook = folder / "twin" / "kernel_operator.h"
    hook.write_text(hook.read_text() + 'extern "C" int TWIN_MUTANT;\n')
    run = folder / "twin" / "run.cpp"
    run.write_text(run.read_text() + '\nextern "C" int TWIN_MUTANT = -1;\n')
    return names


BATTERY = [  # rows, heads, queries, keys, width, size of the scores, what is seen
    (1, 1, 200, 300, 64, 1, Visible()),
    (2, 2, 300, 520, 32, 4, Visible()),
    (2, 1, 200, 200, 32, 1, Visible((40, 200), 1, 1, 10)),
    (1, 1, 384, 384, 96, 1, Visible(back=1, ahead=0, unit=48)),
    (1, 1, 150, 470, 160, 1, Visible()),
    (1, 1, 70, 900, 16, 12, Visible()),
    (2, 1, 520, 640, 64, 1, Visible(key_counts=(90, 640))),
]


def battery():
    """Inputs and what must come out."""
    out = []
    for i, (rows, heads, queries, keys, width, size, visible) in enumerate(BATTERY):
        q, k, v, do = oracle.draw(rows, queries, keys, width, seed=20 + i, size=size)
        seen = oracle.seen(visible, rows, heads, queries, keys)
        rounded = (q.astype(np.float32) * width**-0.5).astype(np.float16)
        o, lse, dq, dk, dv = oracle.attention(rounded, k, v, 1.0, seen, do)
        out.append(
            (
                (q, k, v, do, width**-0.5, heads, visible),
                (o, dq * width**-0.5, dk, dv),
                np.where(seen.any(-1), lse, 0),
            )
        )
    return out


def right(twin: ctypes.CDLL, work) -> bool:
    """Whether the kernels of `twin` compute what they must."""
    for (q, k, v, do, scale, heads, visible), want, lse in work:
        o, logsum, _ = emulate.forward(q, k, v, scale, heads, visible, twin=twin)
        found = np.where(lse == 0, 0, from_tails(logsum, q.shape[1]))
        if not np.abs(found - lse).max() < 2e-3 * max(1, np.abs(lse).max()):
            return False
        g = emulate.backward(q, k, v, o, logsum, do, scale, heads, visible, twin=twin)
        for a, b in zip((o, g.dq, g.dk, g.dv), want, strict=True):
            if not np.abs(a - b).max() < 3e-3 * max(1, np.abs(b).max()):
                return False
    return True


def survives(twin: ctypes.CDLL, n: int, work) -> bool:
    """Whether mutant `n` passes for the kernel; run in a child process, for it may crash or never
    end.
    """
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ctypes.c_int.in_dll(twin, "TWIN_MUTANT").value = n
        try:
            os._exit(0 if right(twin, work) else 1)
        except Exception:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(
    folder: Path, part: int = 0, parts: int = 1, limit: float = 1e9
) -> tuple[int, list[str], int]:
    """Killed, the survivors' names, and how many were run, of every `parts`-th mutant from `part`
    within `limit` seconds.
    """
    names = write(folder)
    twin = ctypes.CDLL(str(emulate.compile_twin(folder / "twin" / "run.cpp")))
    work, left, count, start = battery(), [], 0, time.monotonic()
    if not right(twin, work):
        raise SystemExit("the unchanged kernel does not pass")
    for n in range(part, len(names), parts):
        if time.monotonic() - start > limit:
            break
        count += 1
        if survives(twin, n, work):
            left.append(names[n])
    return count - len(left), left, count


if __name__ == "__main__":
    killed, left, count = main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
    print(f"{killed} of {count} killed", *left, sep="\n")
