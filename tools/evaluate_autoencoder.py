"""Measure an autoencoder: python tools/evaluate_autoencoder.py WHERE VIDEO ..."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.cli.guard import start  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(start("evaluate_autoencoder"))
