"""What a call's videos keep of how they were made, as the files of infer.py do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.face.video import Video
from mindlong.pipelines.clips import stem
from mindlong.pipelines.inputs import inputs_of
from mindlong.pipelines.recipe import text_of
from mindlong.utils.errors import InputFileError
from mindlong.utils.log import once

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known
    from mindlong.config.load import Loaded


def given_to(loaded: Loaded, keys: Mapping[str, Any]) -> Known | None:
    """The files that a call starts from, before it does; None where its videos keep no recipe:
    where that is asked for, where frames in memory went in, where a file has gone since the model
    was loaded, which a line in the log says.
    """
    if not loaded.values.recipe or any(map(in_memory, keys.values())):
        return None
    try:
        return inputs_of(loaded.values)
    except InputFileError as error:
        once(f"no recipe is kept: {error}")
        return None


def with_recipes(videos: Sequence[Video], loaded: Loaded, inputs: Known, bf16: bool) -> list[Video]:
    """The videos of one call, each with its recipe."""
    names = [stem(video.number, len(videos)) for video in videos]
    recipes = [text_of(loaded.text, inputs, name, bf16) for name in names]
    return [replace(v, recipe=recipe) for v, recipe in zip(videos, recipes, strict=True)]


def in_memory(value: Any) -> bool:
    """Whether a value of a key is frames, or holds some: no file has them, and a recipe that names
    a file would be of no use.
    """
    if isinstance(value, list | tuple):
        return any(map(in_memory, value))
    return isinstance(value, Video) or (isinstance(value, np.ndarray) and value.ndim > 1)
