"""How the package is built, in figures: files, functions, import chains, the trip of a prompt.

    python tools/structure_report.py                    files, functions, import chain, duplicates
    python tools/structure_report.py --trip KEY=VALUE   and the files that a run of infer.py enters

A function's length counts its lines from `def` to its last statement. An import chain is the
longest way along imports at the top of modules. A trip counts the files of the package in which a
function was entered while `infer.py KEY=VALUE ...` ran (imports left out, main thread).
"""

from __future__ import annotations

import argparse
import ast
import functools
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PACKAGE = ROOT / "mindlong"
LEFT_OUT = ("import ", "from ", "#")
QUICK = ["--config", "configs/infer/quickstart_latent.yaml", "sample.steps=2"]


def trees() -> dict[str, ast.Module]:
    """Module name -> syntax tree, of every file of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def function_lengths(tree: ast.Module) -> Iterator[int]:
    """Lines of every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.end_lineno - node.lineno + 1


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    """The modules of the package that a module imports at its top."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= inner or ({node.module} & known)
    return found


def longest_chain(modules: dict[str, ast.Module]) -> list[str]:
    """The longest way along imports; a circle is an error."""
    edges = {name: imported(tree, set(modules)) - {name} for name, tree in modules.items()}
    under_way: set[str] = set()

    @functools.cache
    def below(name: str) -> tuple[str, ...]:
        if name in under_way:
            raise SystemExit(f"a circle of imports goes through {name}")
        under_way.add(name)
        longest = max((below(other) for other in sorted(edges[name])), key=len, default=())
        under_way.discard(name)
        return (name, *longest)

    return list(max((below(name) for name in modules), key=len))


def files_entered(argv: Sequence[str]) -> list[str]:
    """The files of the package in which a function is entered while infer.py runs with `argv`."""
    from mindlong.cli.infer import main

    entered: set[str] = set()
    prefix = str(PACKAGE)

    def importing(frame) -> bool:
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(prefix):
                return True
            frame = frame.f_back
        return False

    def watch(frame, event, argument) -> None:
        name = frame.f_code.co_filename
        ours = event == "call" and name.startswith(prefix) and name not in entered
        if ours and not importing(frame):
            entered.add(name)

    sys.setprofile(watch)
    try:
        main(argv)
    finally:
        sys.setprofile(None)
    return sorted(str(Path(name).relative_to(ROOT)) for name in entered)


def duplicates(count: int = 10) -> list[list[tuple[str, int]]]:
    """Places (file, line) whose next `count` lines are equal, but for blanks at both ends; empty
    lines, remarks and imports are left out. Overlapping places count once.
    """
    found: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        numbered = enumerate(map(str.strip, path.read_text(encoding="utf-8").splitlines()), 1)
        kept = [(n, text) for n, text in numbered if text and not text.startswith(LEFT_OUT)]
        for k in range(len(kept) - count + 1):
            lines = tuple(text for _, text in kept[k : k + count])
            found.setdefault(lines, []).append((str(path.relative_to(ROOT)), kept[k][0]))
    twice = [places for places in found.values() if len(places) > 1]
    pairs = {tuple(sorted({name for name, _ in places})): places for places in reversed(twice)}
    return list(pairs.values())


def quantiles(values: Sequence[int]) -> str:
    """Median, ninth decile and the largest."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):g} / {ordered[int(0.9 * len(ordered))]} / {ordered[-1]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trip", nargs="*", metavar="KEY=VALUE", help="run infer.py and count")
    parser.add_argument("--list", action="store_true", help="name the files of the trip")
    args = parser.parse_args(argv)
    modules = trees()
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")]
    functions = [n for tree in modules.values() for n in function_lengths(tree)]
    chain = longest_chain(modules)
    print(
        f"files                 {len(lines)}, lines {sum(lines)}, median / p90 / max {quantiles(lines)}"
    )
    print(
        f"functions             {len(functions)}, lines median / p90 / max {quantiles(functions)}"
    )
    print(
        f"longest import chain  {len(chain)}: {' > '.join(n.removeprefix('mindlong.') for n in chain)}"
    )
    same = duplicates()
    print(f"ten lines that are equal  {len(same)}")
    for places in same:
        print("    " + ", ".join(f"{name}:{line}" for name, line in places))
    if args.trip is not None:
        files = files_entered([*QUICK, *args.trip])
        print(
            f"files of a trip       {len(files)}, {sum('/ops/' not in f for f in files)} without ops"
        )
        if args.list:
            print("\n".join(files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
