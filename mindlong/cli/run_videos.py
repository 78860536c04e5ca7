"""What of the folder of a run of infer.py is a video that it made, and what only lies beside those:
contact sheets of the way there, the levels of a hierarchy, the source of an edit.
"""

from __future__ import annotations

from pathlib import Path

from mindlong.pipelines.numbered import ABOUT
from mindlong.pipelines.previews import FOLDER as PREVIEWS
from mindlong.utils.run_folder import LEVELS, RECORD, SOURCE


def is_run(folder: Path) -> bool:
    """Whether a run, finished or not, wrote into `folder`."""
    return any((folder / name).is_file() for name in (RECORD, ABOUT))


def is_result(path: Path, root: Path) -> bool:
    """Whether a video or a folder of frames may count as one that was made.

    Args:
        root: the folder that was named. What lies in it is not of a run above it: whoever names
            the levels of a run means them.
    """
    within = path.relative_to(root)
    runs = [root / folder for folder in within.parents if is_run(root / folder)]
    sheets = path.is_dir() and is_run(path)  # the images of a run itself are contact sheets
    return not sheets and not any(_is_beside(path, run) for run in runs)


def _is_beside(path: Path, run: Path) -> bool:
    """Whether it is, or is in, something that `run` keeps besides its videos."""
    first = path.relative_to(run).parts[0]
    return first in (PREVIEWS, LEVELS, SOURCE) or (path.parent == run and path.stem == SOURCE)
