"""The tokenizer of a text encoder, read once where a program holds a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mindlong.networks import table
from mindlong.networks.network import made
from mindlong.utils.needed import needed
from mindlong.utils.remember import remembered


@remembered
def read_tokenizer(family: str, place: Path, spec: Any) -> Any:
    """The tokenizer at `place`, for the text encoder of `family` with that spec. Raises
    InputFileError.
    """
    text = needed(table.get(family, "text_encoder").text, "text")
    return made(text.tokenizer)(place, spec)
