"""What every rank of the tests with several machines runs: `host_ranks.py --config FILE CASE
FOLDER`, started by scripts/_launch.sh.
"""

import os
import socket
import sys
from pathlib import Path

sys.argv = [sys.argv[0], *sys.argv[3:]]
sys.path.insert(0, str(Path(__file__).parent))

import ranks  # noqa: E402

from mindlong.cli.guard import guarded  # noqa: E402
from mindlong.parallel import world  # noqa: E402
from mindlong.utils.errors import UserError  # noqa: E402


def where(folder: Path) -> None:
    """Who is where, as each sees it."""
    facts = [socket.gethostname(), world.local_rank(), world.local_size(), os.environ["TMPDIR"]]
    ranks.report(folder, "where", facts)


def fails(folder: Path) -> None:
    """The last rank fails alone, while the others wait for it."""
    if ranks.COMM.rank == ranks.COMM.size - 1:
        raise UserError("this one fails")
    ranks.COMM.all_gather_text("waiting")


CASES = {"where": where, "fails": fails, "equal": ranks.equal, "endless": ranks.endless}


def main(argv) -> int:
    for case in sys.argv[1].split(","):
        CASES[case](Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
