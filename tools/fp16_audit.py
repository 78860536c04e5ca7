"""Which layers have to stay in float32; see `python tools/fp16_audit.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.guard import start  # noqa: E402

if __name__ == "__main__":
    sys.exit(start("fp16_audit"))
