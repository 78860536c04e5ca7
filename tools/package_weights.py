"""Make a folder to share from a run: python tools/package_weights.py RUN FOLDER"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.guard import start  # noqa: E402

if __name__ == "__main__":
    sys.exit(start("package_weights"))
