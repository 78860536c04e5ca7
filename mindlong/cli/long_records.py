"""What a video that compare_long made keeps beside its frames: what it was made of, so that it is
measured again only as that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mindlong import __version__
from mindlong.checkpoints.inputs import Known, change, changed
from mindlong.cli.long_jobs import FRAMES, OPTIONS, PIPELINE, READER, Job
from mindlong.config.compare import ABSENT, differences
from mindlong.config.leaves import leaves
from mindlong.config.pipelines import function, pipeline
from mindlong.media.write import write_video
from mindlong.pipelines.inputs import inputs_of, without_places
from mindlong.utils.arrays import read_npz, write_npz
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.json_file import read_table

RECORD = "made.json"
WHAT = "the record of a video of compare_long"


def checked(jobs: Sequence[Job]) -> Known:
    """The files that all videos start from: overrides hold for all, and a way names none.

    Raises:
        InputFileError: weights, or another file, are missing. ConfigError: a video that is there
            was made of something else, or one that is not could not be made.
    """
    inputs = inputs_of(jobs[0].loaded.values)
    unknown = [job.place for job in jobs if job.is_made and not _is_of(job, inputs)]
    if unknown:
        print(
            f"note: {len(unknown)} videos, the first in {unknown[0]}, keep no {RECORD} with what they were "
            "made of, as an older version left them; they are taken for what is asked for",
            file=sys.stderr,
        )
    planned = {(job.way, job.clips): job for job in reversed(jobs) if not job.is_made}
    for job in planned.values():
        function(pipeline(PIPELINE).plan)(job.loaded)
    return inputs


def _is_of(job: Job, inputs: Known) -> bool:
    """Whether the record of a video that is there says that it was made of this; False where there
    is no record. Raises ConfigError where it says otherwise.
    """
    path = job.place / RECORD
    if not path.exists():
        return False
    record = read_table(path, WHAT)
    before, configuration = (record.get(name) for name in ("inputs", "configuration"))
    if not isinstance(before, dict) or not isinstance(configuration, dict):
        raise InputFileError(f"{path} is not {WHAT}; remove the folder, or give another --out")
    found = [*_other_files(before, inputs), *_other_keys(configuration, job)]
    if found:
        raise ConfigError(
            f"the video in {job.place} was made otherwise than is asked for now; it differs in {', '.join(found)}. "
            "Give the same again, or another --out"
        )
    return True


def _other_files(before: Known, now: Known) -> Iterator[str]:
    """What of the files is another, in words; of weights, not what follows from them."""
    keys = changed(before, now)
    for key in keys:
        base, _, beside = key.partition(" (")
        if beside and base in keys:
            continue
        old, new = (held.get(key, {}).get("path") for held in (before, now))
        renamed = old and new and old != new
        yield f"{key} ({old} then, {new} now)" if renamed else change(key, before, now)


def _other_keys(before: dict[str, Any], job: Job) -> Iterator[str]:
    """What of the keys is another, in words. A key that is newer than the record had its default;
    `steps` is seen in sample.steps.
    """
    now, keys = _configuration(job), leaves(type(job.loaded.values))
    if before == now:  # as nearly always, and sooner told
        return
    for key, old, new in differences(yaml.safe_dump(before), yaml.safe_dump(now)):
        newer = old == ABSENT and key in keys and new == keys[key].default
        if (READER.covers(key) or key in OPTIONS) and key != "steps" and not newer:
            yield f"{key} ({old!r} then, {new!r} now)"


def _configuration(job: Job) -> dict[str, Any]:
    return without_places(job.loaded.text)


def keep(job: Job, inputs: Known, frames: np.ndarray) -> None:
    """Write a video's frames, as frames.npz and a GIF, and before them what they were made of: a
    stop leaves no frames without it.
    """
    record = {"configuration": _configuration(job), "inputs": inputs, "mindlong": __version__}
    write_text(job.place / RECORD, json.dumps(record, indent=1) + "\n")
    write_video(job.place / "video.gif", frames, job.loaded.values.fps)
    write_npz(job.place / FRAMES, frames=frames)


def frames_of(place: Path) -> np.ndarray:
    """The frames that were made. Raises InputFileError where their file is damaged."""
    return read_npz(place / FRAMES, ["frames"])["frames"]
