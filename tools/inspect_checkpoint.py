"""Say what a checkpoint is, without running anything in it; see `python tools/inspect_checkpoint.py
--help`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.guard import start  # noqa: E402

if __name__ == "__main__":
    sys.exit(start("inspect"))
