"""The text encoder with weights of its own that a pixel network's captions are read with; without
MindSpore.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.parts import Part, read_part
from mindlong.networks.network import made
from mindlong.networks.unet3d.spec import OWN
from mindlong.utils.errors import ConfigError
from mindlong.utils.needed import needed


@dataclass(frozen=True)
class TextSource:
    """A text encoder to be read.

    Attributes:
        part: the network with its spec. tokenizer: prompts to its ids. pooling: of `Text.pooled`.
    """

    part: Part
    tokenizer: Any
    pooling: str


def text_source(model: Any, weights: str = "") -> TextSource | None:
    """What the section `text` of a pixel network's model names; None where it has no text encoder
    with weights of its own.

    Args:
        weights: another place for them.

    Raises:
        InputFileError: nothing there, another network, no tokenizer. ConfigError: its vectors are
            not as wide as the condition.
    """
    text = getattr(model, "text", None)
    if text is None or text.encoder in OWN:
        return None
    where = locate(weights or text.weights, "model.text.weights")
    part = read_part(open_weights(where), "text_encoder", text.encoder)
    if part.spec.width != model.cond_dim:
        raise ConfigError(
            f"model.cond_dim is {model.cond_dim}; the vectors of {part.network.about} at {where} are "
            f"{part.spec.width} wide, so it must be {part.spec.width}"
        )
    beside = where if where.is_dir() else where.parent
    place = Path(text.tokenizer) if text.tokenizer else _tokenizer_in(beside)
    return TextSource(
        part, made(needed(part.network.text, "text").tokenizer)(place, part.spec), text.pooling
    )


def _tokenizer_in(folder: Path) -> Path:
    inside = folder / "tokenizer"
    return inside if inside.is_dir() else folder
