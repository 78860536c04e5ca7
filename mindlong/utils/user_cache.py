"""The user's cache folder: things that can be made again, kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`MINDLONG_CACHE`, else `mindlong` in the user's cache folder. It may not exist yet."""
    root = os.environ.get("MINDLONG_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "mindlong"
    )
    return Path(root).expanduser()
