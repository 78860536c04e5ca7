"""Look at this machine and say what is missing; see `python tools/doctor.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.cli.guard import start  # noqa: E402

if __name__ == "__main__":
    sys.exit(start("doctor"))
