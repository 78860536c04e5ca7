"""A folder outside a run's own that several runs could share: one job at a time works in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindlong.parallel.comm import Comm, all_ok
from mindlong.utils.claim import Claim
from mindlong.utils.errors import UserError


@contextmanager
def claimed(folder: str | Path, comm: Comm, what: str = "is worked in") -> Iterator[None]:
    """Hold the claim on `folder` within the block; the first process holds it for all of `comm`.

    Raises:
        UserError: another job holds it, or the folder cannot be written; in every process.
    """
    claim, error = None, None
    if comm.rank == 0:
        try:
            claim = Claim(Path(folder), what)
        except UserError as fault:
            error = fault
    all_ok(comm, error, f"claiming {folder}")
    try:
        yield
    finally:
        if claim is not None:
            claim.release(remove=True)
