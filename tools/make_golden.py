"""Make the golden arrays that the parity tests read: `python tools/make_golden.py [FAMILY ...]`,
all families without.

Developers only: runs the PyTorch originals (`pip install -e '.[golden]'`). Each file of
tools/golden has `make(folder) -> paths`. The arrays go to tests/golden; a second run on the same
versions gives the same numbers.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "tests" / "golden"


def main() -> None:
    """Make the files of the families named, or of all."""
    families = sorted(
        path.stem for path in (HERE / "golden").glob("*.py") if not path.stem.startswith("_")
    )
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        choices=[*families, []],
        help=f"of {', '.join(families)}",
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where to write; tests/golden without"
    )
    chosen = parser.parse_args()
    sys.path[:0] = [str(HERE / "golden"), str(HERE.parent)]
    for family in chosen.families or families:
        for path in importlib.import_module(family).make(chosen.folder):
            print(f"{path.stat().st_size / 1024:8.0f} KiB  {path}")


if __name__ == "__main__":
    main()
