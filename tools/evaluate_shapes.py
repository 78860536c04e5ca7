"""Measure generated clips of the shapes world: python tools/evaluate_shapes.py FOLDER"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.cli.evaluate_shapes import command  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(command())
