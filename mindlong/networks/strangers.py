"""Files that hold tensors but no network that is known here: what they are, from their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_KNOWN = (
    (
        r".*(lora_(up|down|A|B|linear_layer|unet|te)|\.lora\.|processor\..*_lora).*",
        "is a LoRA file ({count} tensors of low-rank additions, not a network): merge it into its base model with the "
        "tool that made it, then convert that",
    ),
    (
        r".*motion_modules\..*",
        "is a motion module of AnimateDiff, an addition to an image model; it is not read here",
    ),
    (r"(control_model|controlnet).*|.*zero_convs\..*", "is a ControlNet; it is not read here"),
    (
        r"(string_to_param.*|emb_params|<.*>)",
        "is a textual inversion (an embedding of a word), not a network",
    ),
    (r".*(hypernet|linear\.\d+\.).*_hypernet.*", "is a hypernetwork, an addition to a model"),
    (r".*(exp_avg|exp_avg_sq|momentum_buffer)", "holds the state of an optimizer, not weights"),
    (
        r"double_blocks\..*|.*transformer_blocks\.\d+\.attn\.norm_added.*",
        "is a diffusion transformer, not a UNet",
    ),
    (
        r"(.*\.)?(layers|h|model\.layers)\.\d+\.(self_attn|attn|mlp)\..*",
        "is a language model or an unknown text encoder",
    ),
)


def describe(weights: Mapping[str, Any]) -> str:
    """One sentence on a file in which no known network was found."""
    names = list(weights)
    if not names:
        return "holds no tensors"
    for pattern, sentence in _KNOWN:
        count = sum(bool(re.fullmatch(pattern, name)) for name in names)
        if count >= max(1, len(names) // 4):
            return sentence.format(count=count)
    shown = ", ".join(names[:3])
    return (
        f"holds {len(names)} tensors ({shown}, ...) and none of the networks known here; "
        "tools/inspect_checkpoint.py lists them"
    )
