"""Where MindSpore puts what it could not compile."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator

from mindlong.utils import interrupts


@contextlib.contextmanager
def dumps_elsewhere() -> Iterator[None]:
    """MindSpore writes what it could not compile to rank_0/om in the working folder; let it do so
    in a folder that goes with the command. The folder is made only then.
    """
    if "MS_OM_PATH" in os.environ:
        yield
        return
    folder = os.path.join(tempfile.gettempdir(), f"mindlong-{secrets.token_hex(8)}")
    os.environ["MS_OM_PATH"] = folder
    stay = interrupts.at_leaving(lambda: shutil.rmtree(folder, ignore_errors=True))
    try:
        yield
    finally:
        stay()
        os.environ.pop("MS_OM_PATH", None)
        shutil.rmtree(folder, ignore_errors=True)
