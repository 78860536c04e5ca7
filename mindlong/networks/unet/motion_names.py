"""The tensors of motion modules alone, and the tables of places that files hold beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mindlong.networks.unet import motion
from mindlong.networks.unet.names import names

if TYPE_CHECKING:
    from mindlong.networks.names import Entry
    from mindlong.networks.unet.spec import UNetSpec

TABLES = (
    ".pos_encoder.pe",
    ".pos_embed.pe",
)  # the end of their keys: one an attention, one a block


def entries(spec: UNetSpec, layout: str) -> list[Entry]:
    """The tensors of the motion modules of a network, and no others."""
    return [e for e in names(spec, layout) if f".{motion.NAME}." in e.ours]


def tables(spec: UNetSpec, layout: str) -> dict[str, np.ndarray]:
    """The tables of places that files hold beside the tensors: key -> float32 (1, places, C)."""
    stage = motion.stage_of(spec)
    made: dict[str, np.ndarray] = {}
    if stage is None:
        return made
    for entry in entries(spec, layout):
        if not entry.ours.endswith(f".{motion.NAME}.block.attn1.to_q.weight"):
            continue
        table = motion.sines(stage.places, entry.our_shape[0])
        block = entry.source.rpartition(".transformer_blocks.0.")[0] + ".transformer_blocks.0"
        if layout == "diffusers":
            made[block + TABLES[1]] = table
        else:
            made |= {f"{block}.attention_blocks.{k}{TABLES[0]}": table for k in (0, 1)}
    return made
