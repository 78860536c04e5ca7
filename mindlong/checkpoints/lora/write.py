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
VERSIONS = {768: ("sd_v1", "False"), 1024: ("sd_v2", "True")}  # by the width of prompts' vectors

_KOHYA_TEXT = "te"  # what kohya calls the text encoder

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

    @property
    def part(self) -> str:
        """The network, as diffusers calls it in a pipeline."""
        return self.layer.head.partition(".")[0]

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
    """PEFT's names behind unet. (or transformer.) and text_encoder., alpha / rank folded into B, so
    that readers without the metadata are right too.
    """
    arrays: Arrays = {}
    for each in found:
        down, up = each.shaped()
        stem = each.layer.head + each.layer.source
        arrays[f"{stem}.lora_A.weight"] = down
        arrays[f"{stem}.lora_B.weight"] = up * np.float32(each.factor)
    about: dict[str, object] = {}
    for part in dict.fromkeys(each.part for each in found):
        mine = [each for each in found if each.part == part]
        about |= {f"{part}.{key}": value for key, value in _adapter(mine).items()}
    return arrays, {METADATA: json.dumps(about, sort_keys=True)}


def _adapter(found: Sequence[Matrices]) -> dict[str, object]:
    """PEFT's configuration: every alpha is the rank."""
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
    """lora_unet_ (or lora_transformer_) and lora_te_ with dots as underscores, and an alpha for
    every layer.
    """
    arrays: Arrays = {}
    for each in found:
        stem = _kohya_head(each) + each.layer.source.replace(".", "_")
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


def _kohya_head(each: Matrices) -> str:
    """The head of diffusers' names as kohya's programs write it."""
    part, _, inner = each.layer.head.partition(".")
    called = part if each.role == NETWORK else _KOHYA_TEXT
    return f"lora_{called}_{inner.replace('.', '_')}"


def _version(found: Iterable[Matrices]) -> dict[str, str]:
    widths = {e.layer.shape[1] for e in found if e.layer.ours.endswith("attn2.to_k")}
    version = VERSIONS.get(next(iter(widths), 0))
    return dict(zip(("ss_base_model_version", "ss_v2"), version, strict=True)) if version else {}
