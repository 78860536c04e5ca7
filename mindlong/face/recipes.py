"""What a call's videos keep of how they were made, as the files of infer.py do."""

from __future__ import annotations

from collections.abc import Sequence
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
    from mindlong.config.load import Loaded


def with_recipes(videos: Sequence[Video], loaded: Loaded) -> list[Video]:
    """The videos of one call, each with its recipe. Where a file of it has gone since the model was
    loaded there is none, and a line in the log.
    """
    try:
        inputs = inputs_of(loaded.values)
    except InputFileError as error:
        once(f"no recipe is kept: {error}")
        return list(videos)
    names = [stem(video.number, len(videos)) for video in videos]
    recipes = [text_of(loaded.text, inputs, name) for name in names]
    return [replace(v, recipe=recipe) for v, recipe in zip(videos, recipes, strict=True)]


def in_memory(value: Any) -> bool:
    """Whether a value of a key is frames, or holds some: no file has them, and a recipe that names
    a file would be of no use.
    """
    if isinstance(value, list | tuple):
        return any(map(in_memory, value))
    return isinstance(value, Video) or (isinstance(value, np.ndarray) and value.ndim > 1)
