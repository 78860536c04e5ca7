"""LoRA files as diffusers and as kohya's programs write them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.lora.adapter import METADATA
from mindlong.checkpoints.lora.keys import NETWORK

if TYPE_CHECKING:
    from mindlong.networks.lora_names import Layer

DIFFUSERS, KOHYA = "diffusers", "kohya"
NAMINGS = (DIFFUSERS, KOHYA)
HEADS = {
    DIFFUSERS: {NETWORK: "unet.", "text_encoder": "text_encoder.text_model."},
    KOHYA: {NETWORK: "lora_unet_", "text_encoder": "lora_te_text_model_"},
}
VERSIONS = {768: ("sd_v1", "False"), 1024: ("sd_v2", "True")}  # by the width of prompts' vectors

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Matrices:
    """One layer's LoRA.

    Attributes:
        role: of its network. layer: with the names of the layout that is written.
        down, up: A (rank, inputs, ..) and B (outputs, rank, ..), in any number of axes.
        factor: alpha / rank.
    """

    role: str
    layer: Layer
    down: np.ndarray
    up: np.ndarray
    factor: float

    @property
    def rank(self) -> int:
        """Rows of A."""
        return len(self.down)

    def shaped(self) -> tuple[np.ndarray, np.ndarray]:
        """A and B float32, with the axes that the layer's weight has in files."""
        cout, *inner = self.layer.source_shape
        ones = (1,) * (len(inner) - 1)
        down = np.asarray(self.down, np.float32).reshape(self.rank, *inner)
        return down, np.asarray(self.up, np.float32).reshape(cout, self.rank, *ones)


def in_naming(naming: str, found: Sequence[Matrices]) -> tuple[Arrays, dict[str, str]]:
    """(arrays, metadata) of a file in one of NAMINGS."""
    return in_diffusers(found) if naming == DIFFUSERS else in_kohya(found)


def in_diffusers(found: Sequence[Matrices]) -> tuple[Arrays, dict[str, str]]:
    """PEFT's names behind unet. and text_encoder., alpha / rank folded into B, so that readers
    without the metadata are right too.
    """
    arrays: Arrays = {}
    for each in found:
        down, up = each.shaped()
        stem = HEADS[DIFFUSERS][each.role] + each.layer.source
        arrays[f"{stem}.lora_A.weight"] = down
        arrays[f"{stem}.lora_B.weight"] = up * np.float32(each.factor)
    about: dict[str, object] = {}
    for role, head in (("unet", NETWORK), ("text_encoder", "text_encoder")):
        mine = [each for each in found if each.role == head]
        about |= {f"{role}.{key}": value for key, value in _adapter(mine).items()}
    return arrays, {METADATA: json.dumps(about, sort_keys=True)}


def _adapter(found: Sequence[Matrices]) -> dict[str, object]:
    """PEFT's configuration: every alpha is the rank."""
    if not found:
        return {}
    # without text_model., which transformers' encoders have or have not: PEFT looks at the ends
    ranks = {each.layer.source: each.rank for each in found}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    apart = {name: rank for name, rank in ranks.items() if rank != usual}
    return {
        "r": usual,
        "lora_alpha": usual,
        "target_modules": sorted(ranks),
        "rank_pattern": apart,
        "alpha_pattern": apart,
    }


def in_kohya(found: Sequence[Matrices]) -> tuple[Arrays, dict[str, str]]:
    """lora_unet_ and lora_te_ with dots as underscores, and an alpha for every layer."""
    arrays: Arrays = {}
    for each in found:
        stem = HEADS[KOHYA][each.role] + each.layer.source.replace(".", "_")
        arrays[f"{stem}.lora_down.weight"], arrays[f"{stem}.lora_up.weight"] = each.shaped()
        arrays[f"{stem}.alpha"] = np.float32(each.factor * each.rank).reshape(())
    rank = Counter(each.rank for each in found).most_common(1)[0][0]
    alpha = Counter(each.factor * each.rank for each in found).most_common(1)[0][0]
    about = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": f"{alpha:g}",
        "ss_network_args": "{}",
        **_version(found),
    }
    return arrays, about


def _version(found: Iterable[Matrices]) -> dict[str, str]:
    widths = {e.layer.shape[1] for e in found if e.layer.ours.endswith("attn2.to_k")}
    version = VERSIONS.get(next(iter(widths), 0))
    return dict(zip(("ss_base_model_version", "ss_v2"), version, strict=True)) if version else {}
