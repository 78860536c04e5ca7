"""Both encoders of a CLIP out of one file or folder, in the naming of transformers or of
open_clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.checkpoints import open_clip_config
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.report import compare
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks.clip import vision_spec as clip_vision
from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.vision_cell import ImageEncoder
from mindlong.networks.clip.vision_spec import ClipVisionSpec
from mindlong.networks.names import Entry, our_array
from mindlong.utils.errors import ConfigError, InputFileError


def load_towers(path: Path, activation: str = "") -> tuple[ImageEncoder, TextEncoder]:
    """The encoders, filled, in float32.

    Args:
        activation: "quick_gelu" or "gelu"; it rules over what lies beside the weights.

    Raises:
        InputFileError: not a whole CLIP. ConfigError: nothing tells the activation, or a kind of
            encoder that is not read.
    """
    weights = open_weights(path)
    shapes = {n: weights.shape(n) for n in weights}
    with _named(path):
        layout, prefix = clip_vision.layout_of(shapes)
    config = _config(weights, path, layout, activation)
    with _named(path):
        spec = clip_vision.infer(shapes, config["vision_config"], layout, prefix)
    entries = clip_vision.names(spec, layout, prefix)
    _check(
        path, shapes, entries, prefix + ("vision_model." if layout == "transformers" else "visual.")
    )
    image = ImageEncoder(spec)
    load_into(
        image, {e.ours: our_array(e, weights.read(e.source)).astype(np.float32) for e in entries}
    )
    return image, _text_tower(weights, spec, config["text_config"])


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What cannot be read off a file is the file's fault, not that of the arguments."""
    try:
        yield
    except ConfigError as error:
        raise InputFileError(f"{path}: {error}") from None


def _config(
    weights: WeightFile, path: Path, layout: str, activation: str
) -> dict[str, dict[str, Any]]:
    """What lies beside the weights, in the words of transformers' config.json."""
    found = weights.config_of("")
    if layout == "open_clip":
        found = {**found, **open_clip_config.read(path)}
    encoders = {name: dict(found.get(name) or {}) for name in ("vision_config", "text_config")}
    known = encoders["vision_config"].get("hidden_act")
    if layout == "open_clip" and not (activation or known):
        activation = open_clip_config.activation(path, (*weights, *weights.metadata))
    for encoder in encoders.values():
        encoder |= {"hidden_act": activation} if activation else {}
    return encoders


def _check(
    path: Path, shapes: Mapping[str, tuple[int, ...]], entries: list[Entry], beginning: str
) -> None:
    needed = {e.source: e.source_shape for e in entries}
    held = {n: shape for n, shape in shapes.items() if n in needed or n.startswith(beginning)}
    report = compare(needed, held, ("*position_ids",))
    if not report.fits:
        raise InputFileError(
            "\n".join(
                [f"{path} is not a whole image encoder: {report.summary()}", *report.lines()[1:]]
            )
        )


def _text_tower(
    weights: WeightFile, spec: ClipVisionSpec, config: Mapping[str, Any]
) -> TextEncoder:
    """The text encoder with every layer used: only the latent families stop before the last."""
    part = read_part(weights, "text_encoder")
    if part.spec.width != spec.text_width:
        raise InputFileError(
            f"{weights.path}: the text encoder is {part.spec.width} wide and its projection reads {spec.text_width}"
        )
    heads = int(config.get("num_attention_heads") or part.spec.heads)
    encoder = TextEncoder(
        replace(
            part.spec,
            activation=config.get("hidden_act") or spec.activation,
            heads=heads,
            skip_last=0,
        )
    )
    load_into(encoder, {name: lazy.read().astype(np.float32) for name, lazy in part.arrays.items()})
    return encoder
