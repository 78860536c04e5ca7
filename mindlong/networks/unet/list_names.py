"""The order in which T2V-Turbo's UNet registers its layers: its LoRA files are lists without names.

Order and gaps are facts of its source (github.com/Ji4chenLi/t2v-turbo, named_modules of the UNet of
VideoCrafter2): the transformer behind the first convolution stands behind all input blocks, and its
two projections, 1-D convolutions there, have no LoRA; in a transformer block the feed-forward
stands before the attention over the prompt.
"""

from __future__ import annotations

from typing import Any

from mindlong.networks.unet.names import names

GUIDANCE = "time_cond_proj"  # takes the guidance as a number; VideoCrafter2 itself has none
_ORDER = (
    "time_embed",
    "fps_embedding",
    GUIDANCE,
    "input_blocks",
    "init_attn",
    "middle_block",
    "output_blocks",
    "out",
    "in_layers",
    "emb_layers",
    "out_layers",
    "skip_connection",
    "temopral_conv",  # the original's spelling
    "proj_in",
    "transformer_blocks",
    "proj_out",
    "attn1",
    "ff",
    "attn2",
    "to_q",
    "to_k",
    "to_v",
    "to_out",
)
_RANK = {word: place for place, word in enumerate(_ORDER)}


def listed(spec: Any) -> list[str]:
    """Names of layers (lvdm's, without ".weight") in the order of such a list."""
    found = {
        entry.source.removesuffix(".weight")
        for entry in names(spec, "lvdm")
        if entry.source.endswith(".weight") and len(entry.source_shape) in (2, 4, 5)
    }
    return sorted({*found, GUIDANCE}, key=_place)


def _place(name: str) -> list[tuple[int, str]]:
    return [
        (int(word), "") if word.isdecimal() else (_RANK.get(word, len(_RANK)), word)
        for word in name.split(".")
    ]
