"""The section `train.lora`: a LoRA is trained, and the weights stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option
from mindlong.config.tasks import TASKS as ABOUT

USUAL = ("*.to_*",)  # the projections of attentions, in our names of layers
TASKS = ("pixel", "latent", "interpolation", "tune", "distil")


@dataclass
class LoraOptions:
    """Low-rank additions to layers are trained (arXiv 2106.09685), nothing else; off while the rank
    is 0.
    """

    rank: int = option(
        0, "train a LoRA of this rank beside the weights of train.start; 0: none", minimum=0
    )
    alpha: float = option(
        0.0,
        "what it adds is multiplied by alpha / rank; 0: alpha is the rank",
        minimum=0,
        when="rank",
    )
    targets: list[str] = option(
        [],
        "names of the layers that it changes (shell patterns, such as unet.*.to_q, unet.*.ff.* or "
        "text_encoder.*); empty: the projections of the network's attentions, and of tune the layers of "
        "tune.trainable",
        when="rank",
    )

    @property
    def wanted(self) -> bool:
        """Whether a LoRA is trained."""
        return self.rank > 0

    @property
    def factor(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank if self.alpha else 1.0

    def problems(self, config: Any, task: str) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if not self.wanted:
            return
        train, latents = config.train, config.latents
        if task not in TASKS:
            yield (
                f"train.lora.rank is {self.rank}; a LoRA is trained in the tasks {', '.join(TASKS)}, "
                f"not in {task}: {ABOUT[task].about}"
            )
            return
        for key in ("train_only", "freeze"):
            if getattr(train, key):
                yield f"train.{key} is given; with train.lora.rank only the LoRA learns, of the layers train.lora.targets"
        if not train.start and not latents.unet_weights:
            yield "train.lora.rank is given without weights; train.start names those that the LoRA is for"
        if latents.text_weights and latents.train_text:
            yield "latents.train_text is true; with train.lora.rank only the LoRA learns, of a text encoder by train.lora.targets"
        if task == "distil" and config.distil.target != "student":
            yield (
                "train.lora.rank is given with distil.target=ema; a LoRA is distilled against the student itself, "
                "as LCM-LoRAs are: distil.target=student"
            )
        if task == "tune" and config.tune.compat:
            yield "tune.compat is given; it starts biases at random, which a LoRA file would not hold"
