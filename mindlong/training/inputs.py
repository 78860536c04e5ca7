"""The files that a training starts from, by their content: weights that stay as they are, clips,
videos, tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.inputs import Known, files, weights
from mindlong.checkpoints.start import KEY as START
from mindlong.checkpoints.start import start_of
from mindlong.data.clip_identity import clips_identity, index_identity

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

WEIGHTS = (
    *(f"latents.{key}" for key in ("vae", "text_weights", "unet_weights")),
    *(f"latents.{key}" for key in ("image_encoder", "projector")),
    "latents.motion",
    "infinet.branch",
    "distil.teacher",
    "model.text.weights",
)
FILES = (
    "latents.text_encoder",
    "latents.tokenizer",
    "model.text.tokenizer",
    "tune.video",
    "tune.videos",
)
PLACES = (*WEIGHTS, *FILES, "data.folder", "infinet.index")  # keys that are compared by content


def inputs_of(config: TrainConfig) -> Known:
    """Every file that a training configuration names, known by its content.

    Raises:
        InputFileError: one is missing or cannot be read; the sentence names the key.
    """
    found: Known = {}
    for key, read in ((WEIGHTS, weights), (FILES, files)):
        for name in key:
            found |= {place: read(path, name) for place, path in _named(config, name)}
    if start_of(config):
        found[START] = weights(start_of(config), START)
    if config.infinet.lengths and config.infinet.index:
        found["infinet.index"] = _placed(index_identity, config.infinet.index)
    elif config.data.kind == "clips" and config.data.folder and not config.tune.wanted:
        found["data.folder"] = _placed(clips_identity, config.data.folder)
    return found


def _placed(identity: Callable[[str], dict[str, Any]], path: str) -> dict[str, Any]:
    return {"path": path, **identity(path)}


def _named(config: TrainConfig, key: str) -> Iterator[tuple[str, str]]:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part, None)
    if isinstance(value, list):
        yield from ((f"{key}[{number}]", path) for number, path in enumerate(value))
    elif value:
        yield key, value
