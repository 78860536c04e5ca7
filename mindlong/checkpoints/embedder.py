"""A text encoder with weights of its own, read and ready to be called."""

from __future__ import annotations

from typing import Any

from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.text_source import text_source
from mindlong.networks.embedder_cell import Embedder
from mindlong.networks.network import made
from mindlong.utils.needed import needed


def embedder(model: Any, weights: str = "") -> Embedder | None:
    """What gives a pixel network its text condition, where its model says so. Arguments and errors
    as of `text_source`.
    """
    source = text_source(model, weights)
    if source is None:
        return None
    part = source.part
    cell = part.network.cell(part.spec)
    arrays = {name: lazy.read() for name, lazy in part.arrays.items()}
    load_into(cell, arrays, what=f"the weights of {part.network.about}")
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    pooled = made(needed(part.network.text, "text").pooled)(cell, source.pooling)
    return Embedder(pooled, source.tokenizer, part.spec.positions)
