"""What a program gives to a call, as values of keys: frames in memory stand for files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.face.video import Video
from mindlong.media.formats import IMAGE_SUFFIXES
from mindlong.media.held import held


def named(value: Any, stack: ExitStack, fps: float) -> Any:
    """A value of a key; videos and frames are replaced by names that are read as paths are, as long
    as `stack` is open.

    Args:
        fps: frames per second of plain arrays.

    Raises:
        ConfigError: an array that is no frames.
    """
    if isinstance(value, Video):
        return stack.enter_context(held(value.frames, value.fps))
    if isinstance(value, np.ndarray) and value.ndim > 1:
        frames = value[None] if value.ndim == 3 else value
        return stack.enter_context(held(frames, fps))
    if isinstance(value, list | tuple):
        return [named(inner, stack, fps) for inner in value]
    return value


def source_keys(section: str, given: Any) -> Mapping[str, Any]:
    """The key of what is continued or filled in: a video, or images.

    Args:
        given: a Video, frames (F, H, W, 3), the path of a video; or one image (H, W, 3), a path of
            one, or a list of images.
    """
    several = isinstance(given, list | tuple)
    images = list(given) if several else [given]
    if several or _is_image(given):
        return {f"{section}.images": images}
    return {f"{section}.video": given}


def prompt_keys(prompt: Any) -> Mapping[str, Any]:
    """The key of one prompt, or of several."""
    if prompt is None:
        return {}
    if isinstance(prompt, str):
        return {"prompt": prompt}
    return {"prompts": list(prompt)}


def own_prompt(given: Any, prompt: Any, keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """The key of what a Video shows, where that is known and the call says nothing else."""
    if prompt is not None or "prompts" in keys or not isinstance(given, Video):
        return {}
    return {"prompt": given.prompt} if given.prompt else {}


def _is_image(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 3
    if isinstance(given, Video):
        return len(given) == 1
    path = Path(str(given))
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def lasting(source: str | Path) -> str:
    """`source` as it is understood from any working folder."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else str(source)
