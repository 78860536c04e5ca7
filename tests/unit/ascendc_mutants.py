"""Mutants of the 910A kernels: every synchronisation left out once, and chosen expressions changed,
all in one library.

    python tests/unit/ascendc_mutants.py FOLDER [PART PARTS [SECONDS]]

Each place of the kernels' source becomes `(mutant == n ? changed : as it is)`, so one compilation
serves all. A mutant is killed if the twin refuses what it does, if a number is wrong, if it
crashes, or if it does not end. FOLDER/results.txt has a line for each that ran; a further call with
the same sources goes on after them.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import resource
import shutil
import sys
import time
from pathlib import Path

import ascendc_battery

from mindlong.ops.ascendc import emulate

CALL = re.compile(
    r"(?<!void )\b(?:Sync|SetFlag|WaitFlag|PipeBarrier)<[^<>]*>\([^()]*\)|(?<!void )\b(?:Step|Stop)\(\)"
)
SECONDS = 20
PREFIX = "mindlong_attention_"
HEADERS = ("tiles", "vectors", "reference", "forward", "delta", "columns", "backward")
ENDS = {0: "survived", 1: "a number", 2: "the twin"}  # a child's exit code; else a crash or time


def changes(header: str) -> list[tuple[str, str, str]]:
    """What ascendc_changes.txt has for a header: where, what, by what."""
    lines = Path(__file__).with_name("ascendc_changes.txt").read_text().splitlines()
    rows = (line.split(" @@ ") for line in lines if line.startswith(f"{header} @@"))
    return [(where.replace("\\n", "\n"), old, new) for _, where, old, new in rows]


def places(text: str, wanted: list[tuple[str, str, str]]) -> list[tuple[int, int, str, str]]:
    """Begin, end, what stands there instead, and the mutant's name, in order."""
    found = [
        (m.start(), m.end(), "(void)0", f"without {m.group()}")
        for m in CALL.finditer(text)
        if "int32_t id" not in m.group()
    ]
    for context, old, new in wanted:
        at = text.find(context)
        assert at >= 0 and old in context, context
        begin = at + context.index(old)
        found.append((begin, begin + len(old), new, f"{context.strip()}: {old} -> {new}"))
    return sorted(found)


def mutants(text: str, wanted: list[tuple[str, str, str]], first: int) -> tuple[str, list[str]]:
    """The source with a choice at every place, numbered from `first`, and what each number does."""
    out, done, names = "", 0, []
    for begin, end, new, name in places(text, wanted):
        if begin < done:
            continue
        line = text[:begin].count("\n") + 1
        n = first + len(names)
        out += f"{text[done:begin]}(TWIN_MUTANT == {n} ? {new} : {text[begin:end]})"
        names.append(f"line {line} {name}".replace("\n", " "))
        done = end
    return out + text[done:], names


def write(folder: Path) -> list[str]:
    """A copy of the operators in `folder` with all mutants in it; their names."""
    for part in ("op_kernel", "op_host", "twin"):
        shutil.copytree(emulate.HERE / part, folder / part, dirs_exist_ok=True)
    names: list[str] = []
    for header in HEADERS:
        path = folder / "op_kernel" / f"{PREFIX}{header}.h"
        text, more = mutants(path.read_text(), changes(header), len(names))
        path.write_text(text)
        names += [f"{header} {name}" for name in more]
    hook = folder / "twin" / "kernel_operator.h"
    hook.write_text(hook.read_text() + 'extern "C" int TWIN_MUTANT;\n')
    run = folder / "twin" / "run.cpp"
    run.write_text(run.read_text() + '\nextern "C" int TWIN_MUTANT = -1;\n')
    return names


def end(twin: ctypes.CDLL, n: int, work) -> str:
    """How mutant `n` ends; in a child process, for it may crash or never end."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        ctypes.c_int.in_dll(twin, "TWIN_MUTANT").value = n
        try:
            os._exit(0 if ascendc_battery.right(twin, work) else 1)
        except emulate.TwinError:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return ENDS.get(code, "a crash or no end")


def known(results: Path, digest: str) -> dict[str, str]:
    """How the mutants ended that ran with the same sources."""
    lines = results.read_text().splitlines() if results.exists() else []
    if lines[:1] != [digest]:
        results.write_text(digest + "\n")
        return {}
    return dict(line.split("\t")[::-1] for line in lines[1:])


def main(folder: Path, part: int = 0, parts: int = 1, limit: float = 1e9) -> dict[str, str]:
    """How each of every `parts`-th mutant from `part` ended, by name, of those that ran within
    `limit` seconds.
    """
    names = write(folder)
    library = emulate.compile_twin(folder / "twin" / "run.cpp")
    twin, work = ctypes.CDLL(str(library)), [make() for make in ascendc_battery.BATTERY]
    if not ascendc_battery.right(twin, work):
        raise SystemExit("the unchanged kernel does not pass")
    battery = Path(ascendc_battery.__file__).read_bytes()
    results, start = folder / "results.txt", time.monotonic()
    ends = known(results, hashlib.sha256(library.name.encode() + battery).hexdigest())
    for n in range(part, len(names), parts):
        if names[n] in ends:
            continue
        if time.monotonic() - start > limit:
            break
        ends[names[n]] = end(twin, n, work)
        with results.open("a") as out:
            out.write(f"{ends[names[n]]}\t{names[n]}\n")
    return ends


if __name__ == "__main__":
    ends = main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
    left = [name for name, how in ends.items() if how == ENDS[0]]
    print(f"{len(ends) - len(left)} of {len(ends)} killed", *left, sep="\n")
