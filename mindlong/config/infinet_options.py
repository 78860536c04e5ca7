"""The `infinet` section of a training configuration: diffusion over diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option
from mindlong.networks.table import has_feature
from mindlong.networks.unet.control_spec import FILLS, TOLD, ControlSpec


@dataclass
class InfinetOptions:
    """Training a latent UNet to fill in frames between known ones, at every level of a hierarchy;
    off while lengths is empty.
    """

    lengths: list[int] = option(
        [],
        "frames of a run at each level, for example [16, 16]: 16 key frames, then 16 frames from one "
        "to the next; a training film has 1 + prod(length - 1) frames",
        minimum=3,
    )
    index: str = option(
        "",
        "clips: the index that tools/chop_video.py --index wrote; the shapes world needs none",
        when="data.kind=clips",
    )
    shares: list[float] = option(
        [], "share of the samples that each level gets; empty: all the same", minimum=0
    )
    given: float = option(
        0.25,
        "share of level 0's samples that know their first frame, their last, or both",
        minimum=0,
    )
    key_noise: float = option(
        0.0,
        "known frames get noise of a deviation up to this; flaws of keys are then forgiven",
        minimum=0,
    )
    unknown_only: bool = option(False, "the loss counts only the frames that are not known")
    hidden: int = option(
        32,
        "channels of the branch's cascade of convolutions; 0: from the latents at once, as InfiNet",
        minimum=0,
    )
    per_layer: bool = option(False, "a unit of the branch for every layer, not one a level")
    depths: int = option(
        0,
        "levels that the network is conditioned on; 0: it is not conditioned on the level",
        minimum=0,
    )
    fill: str = option(
        "zero",
        "what the branch reads at unknown frames: nothing, or a blend of the known neighbours",
        choices=FILLS,
    )
    mask: str = option(
        "known",
        "what its mask says of each frame: whether it is known, or also its place between known ones",
        choices=tuple(TOLD),
    )
    branch: str = option("", "weights of a branch to start from; empty: a fresh one")

    def control(self) -> ControlSpec:
        """The branch's spec."""
        return ControlSpec("nuwa", self.hidden, self.per_layer, self.depths, self.fill, self.mask)

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if not self.lengths:
            return
        if not has_feature(config.model.family, "branch"):
            yield f"infinet.lengths is given; the family {config.model.family} is not trained on latents of runs"
        if len(set(self.lengths)) > 1 or self.lengths[0] != config.data.frames:
            yield (
                f"infinet.lengths is {list(self.lengths)} and data.frames {config.data.frames}; a training has runs of one "
                "length, the same as data.frames"
            )
        if self.shares and (len(self.shares) != len(self.lengths) or not sum(self.shares) > 0):
            yield f"infinet.shares is {list(self.shares)}; one share for each of the {len(self.lengths)} levels is needed"
        if self.depths and self.depths < len(self.lengths):
            yield f"infinet.depths is {self.depths}; {len(self.lengths)} levels are trained"
        if self.given > 1:
            yield f"infinet.given is {self.given:g}; a share is at most 1"
        if config.data.kind == "clips" and not self.index:
            yield "infinet.index is empty; films need the index that tools/chop_video.py --index writes"
