"""What a program gives to a call, as values of keys: frames in memory stand for files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.config.infer_schema import InferConfig
from mindlong.config.prompt_file import MARK
from mindlong.config.shipped import located
from mindlong.config.values import Misfit, typed
from mindlong.config.yaml_file import read_tree
from mindlong.face.video import Video, checked_rate
from mindlong.media.formats import IMAGE_SUFFIXES
from mindlong.media.held import held
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.config.load import Loaded

RATED = ("extend", "interpolate")  # pipelines that take the rate of the video given
USUAL_RATE = 8  # frames a second, as `fps` of infer.py
TEXTS = ("prompt", "prompts")
DIFFUSION = "diffusion"  # the method of interpolate that reads a prompt


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


def is_plain(value: Any) -> bool:
    """Whether a value of a key is frames that have no rate of their own, or holds some."""
    if isinstance(value, list | tuple):
        return any(map(is_plain, value))
    return isinstance(value, np.ndarray) and value.ndim > 1


def rated(pipeline: str, keys: Mapping[str, Any]) -> bool:
    """Whether `fps` of a call says how fast the plain frames of its video are shown, and no more:
    a file or a Video in their place has a rate of its own, and `fps` would not be read.
    """
    return pipeline in RATED and is_plain(keys.get(f"{pipeline}.video"))


def rate_of(keys: Mapping[str, Any], config: str | Path | None) -> float:
    """The frames per second of plain frames: the key `fps` of a call, or of its file; the usual
    one where there are no such frames.

    Raises:
        ConfigError: none that can be. InputFileError: the file cannot be read.
    """
    if not any(map(is_plain, keys.values())):
        return float(USUAL_RATE)
    value, place = keys.get("fps"), "the call"
    if value is None and config is not None:
        tree = read_tree(located(config, InferConfig.KIND))
        value, place = tree.values.get("fps"), tree.place("fps")
    if value is None:
        return float(USUAL_RATE)
    try:
        return checked_rate(typed(value, float), f"{place}: fps")
    except Misfit as fault:
        raise ConfigError(f"{place}: fps {fault}") from None


def check_call(callback: Any, config: Any) -> None:
    """Raise ConfigError for what is no callback and no file."""
    if callback is not None and not callable(callback):
        raise ConfigError(f"callback is {callback!r}; it must be a function that takes a Step")
    if config is not None and not isinstance(config, str | os.PathLike):
        raise ConfigError(f"config is {config!r}; it must be the path of a file")


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
    """The key of one prompt, or of several. Raises ConfigError for what is no text."""
    if prompt is None:
        return {}
    if isinstance(prompt, str):
        return {"prompt": prompt}
    texts = list(prompt) if isinstance(prompt, Iterable) else [prompt]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"prompt is {prompt!r}; it must be a text, or a list of texts")
    return {"prompts": texts}


def own_prompt(
    shown: Any, keys: Mapping[str, Any], config: str | Path | None = None
) -> Mapping[str, Any]:
    """The keys of what a Video shows, where one prompt says that and neither the call nor its file
    says anything else.

    The prompt of a Video is a text as it is: one that begins with `@` names no file.
    """
    if not isinstance(shown, Video) or not shown.prompt or shown.titled:
        return {}
    if {*TEXTS} & {*keys, *_file_keys(config)}:
        return {}
    mark = MARK if shown.prompt.startswith(MARK) else ""
    return {"prompt": f"{mark}{shown.prompt}", "prompt_syntax": shown.prompt_syntax}


def is_title(pipeline: str, said: str, prompts: Sequence[str]) -> bool:
    """Whether what a video shows is a title made of several prompts and none of those of its call;
    a network in pixels has no scenes, and may cut its prompt.
    """
    return bool(said) and pipeline != "pixel" and said not in prompts


def refuse_title(shown: Any, loaded: Loaded) -> None:
    """Raise ConfigError where a network would go on without a prompt because the Video has none but
    a title. `prompt=""` says that this is meant.
    """
    config = loaded.values
    if not isinstance(shown, Video) or not shown.titled or {*TEXTS} & {*loaded.given}:
        return
    if config.own.scenes or getattr(config.own, "method", DIFFUSION) != DIFFUSION:
        return
    raise ConfigError(
        f"the Video has several prompts, {shown.prompt!r}, of which none is taken; prompt= says what "
        'the new frames show, prompt="" that nothing is said'
    )


def _file_keys(config: str | Path | None) -> Mapping[str, Any]:
    """The keys of the file of a call. Raises ConfigError where it cannot be read."""
    return {} if config is None else read_tree(located(config, InferConfig.KIND)).values


def _is_image(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 3
    if isinstance(given, Video):
        return len(given) == 1
    path = Path(str(given))
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def lora_word(file: Any) -> str:
    """A LoRA as it is named, a text or a path. Raises ConfigError for what is neither."""
    if not isinstance(file, str | os.PathLike):
        raise ConfigError(
            f"lora is {file!r}; it must be FILE or FILE:STRENGTH, several one after another: "
            'lora("a.safetensors", "b.safetensors:0.5")'
        )
    return str(file)


def lasting(source: str | Path) -> str:
    """`source` as it is understood from any working folder. Raises ConfigError for no path."""
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(f"source is {source!r}; it must be a path, or shipped:NAME")
    path = Path(source)
    return str(path.resolve()) if path.exists() else str(source)
