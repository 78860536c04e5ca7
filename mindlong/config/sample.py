"""How noise becomes a video: the `sample` section of training previews and of every pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.diffusion import samplers
from mindlong.diffusion.samplers import readers
from mindlong.diffusion.samplers.spacing import SPACINGS as SPREADS

SAMPLERS = ("", *samplers.SAMPLERS)
EVERY_TIMESTEP = [name for name, each in samplers.SAMPLERS.items() if each.own_steps]
FLAVOURS = ("", *dict.fromkeys(f for each in samplers.SAMPLERS.values() for f in each.flavours))
SPACINGS = ("", *SPREADS)


@dataclass
class SampleOptions:
    """How noise becomes a video."""

    sampler: str = option(
        "",
        "which sampler; empty: the one that the weights' scheduler_config.json is of, where it is here, else ddim",
        choices=SAMPLERS,
    )
    steps: int = option(
        50,
        "denoising steps; sampler=ddpm takes every timestep instead",
        minimum=1,
        when=f"sampler!={'|'.join(EVERY_TIMESTEP)}",
    )
    eta: float = option(
        0.0,
        "ddim: noise added at each step, 0 none, 1 as ddpm; tcd: how far a step goes down and returns with "
        "fresh noise, 0 none",
        minimum=0,
        when=f"sampler=|{'|'.join(readers('eta'))}",
    )
    flavour: str = option(
        "",
        "whose list of timesteps, and for ddim whose last step (docs/few_steps.md); empty: as the weights' "
        "scheduler_config.json says, else the sampler's first",
        choices=FLAVOURS,
        when=f"sampler=|{'|'.join(readers('flavour'))}",
    )
    spacing: str = option(
        "",
        "how timesteps are spread; empty: as the weights' scheduler_config.json says, else the sampler's own",
        choices=SPACINGS,
        when=f"sampler=|{'|'.join(r for r in readers('spacing') if r not in EVERY_TIMESTEP)}",
    )
    original: int = option(
        0,
        "lcm, tcd: timesteps of the solver that the network was distilled with, of which steps are taken; 0: as "
        "the weights' scheduler_config.json says, else the flavour's (50, animatelcm 100)",
        minimum=0,
        when=f"sampler=|{'|'.join(readers('original'))}",
    )
    guidance: float = option(1.0, "classifier-free guidance scale; 1 is none", minimum=0)
    rescale: float = option(
        0.0,
        "0 to 1: how far the guided prediction's spread is pulled back (arXiv 2305.08891)",
        minimum=0,
    )
    dynamic_threshold: float = option(
        0.0, "pixels: quantile for dynamic thresholding, 0 is off; 0.9 is usual", minimum=0
    )

    def problems(self) -> Iterator[str]:
        """Sentences on fields out of their range."""
        for name in ("eta", "rescale", "dynamic_threshold"):
            if getattr(self, name) > 1:
                yield f"sample.{name} is {getattr(self, name):g}; it is at most 1"
