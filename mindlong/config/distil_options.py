"""The `distil` section of a training configuration: latent consistency distillation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option
from mindlong.networks import table


@dataclass
class DistilOptions:
    """Distilling a latent network to a few steps (latent consistency, arXiv 2310.04378); off while
    no teacher is named.
    """

    teacher: str = option(
        "",
        "weights of the network that is distilled: a run, a folder, a weights file, or shipped:NAME; the student "
        "starts from them unless latents.unet_weights or train.start names others",
    )
    original: int = option(
        50, "timesteps of the teacher's solver (DDIM); lcm takes its steps from these", minimum=1
    )
    guidance: list[float] = option(
        [6.0, 16.0],
        "guidance scale of the teacher, [lowest, highest], drawn for each sample; a model with guidance_dim is told it, "
        "any other learns it as its own",
        minimum=0,
    )
    loss: str = option("huber", "distance of the two predictions", choices=("huber", "l2"))
    huber_c: float = option(
        0.001, "where the distance goes from squared to linear", minimum=1e-9, when="loss=huber"
    )
    target: str = option(
        "ema",
        "what the student is compared with: its averaged weights (train.ema_decay; 0.95 is published), or itself",
        choices=("ema", "student"),
    )

    @property
    def wanted(self) -> bool:
        """Whether a teacher is named."""
        return bool(self.teacher)

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if not self.wanted:
            return
        entry = table.get(config.model.family)
        if entry.denoiser is None or entry.denoiser.space != "latent":
            yield f"distil.teacher is given; the family {config.model.family} does not denoise latents"
            return
        for key, other in (
            ("interpolation.factor", config.interpolation.wanted),
            ("infinet.lengths", config.infinet.lengths),
            ("tune.video", config.tune.wanted),
        ):
            if other:
                yield f"distil.teacher and {key} are different trainings; give one"
        if not config.latents.text_weights:
            yield "distil.teacher needs latents.text_weights, the text encoder that the teacher reads"
        if len(self.guidance) != 2 or self.guidance[0] > self.guidance[1]:
            yield f"distil.guidance is {list(self.guidance)}; it must be [lowest, highest]"
        if self.original > config.diffusion.timesteps:
            yield (
                f"distil.original is {self.original}, more than the {config.diffusion.timesteps} of diffusion.timesteps"
            )
        if self.target == "ema" and (not config.train.ema_decay or config.train.ema_every != 1):
            yield (
                "distil.target=ema needs train.ema_decay above 0 and train.ema_every=1; distil.target=student needs no "
                "averages"
            )
