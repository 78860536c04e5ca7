"""The `interpolation` section of a training configuration: learning the frames between given
ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option


@dataclass
class InterpolationOptions:
    """A latent UNet that reads mask and hints learns the frames between given ones, or after a
    first one.
    """

    factor: int = option(
        0,
        "every factor-th frame of a run is given; 0: this training is no interpolation",
        minimum=0,
    )
    first_frame: bool = option(
        False,
        "the first frame is given and the run is the frames after it (the published base model)",
    )
    frames: int = option(
        0, "frames of a run, given ones included; 0: as many as the clips have", minimum=0
    )
    strides: list[int] = option(
        [1],
        "a run takes every stride-th frame of a clip, the stride drawn from these: one network for "
        "all stages; a network with fps is conditioned on latents.fps / stride",
        minimum=1,
    )
    hint: str = option(
        "previous",
        "given frame that a frame has as its hint; previous as published",
        choices=("previous", "nearest", "linear"),
    )
    mask: str = option(
        "zero",
        "zero: the mask says nothing (as published); between: it marks the frames that are not given",
        choices=("zero", "between"),
    )
    hint_noise: float = option(
        0.0,
        "deviation of noise mixed into the hints, for each sample drawn from 0 to this",
        minimum=0,
    )
    identity: bool = option(
        True,
        "layers over time that the weights to start from lack start as the identity",
        when="latents.unet_weights|train.start",
    )

    @property
    def wanted(self) -> bool:
        """Whether the training is one of these."""
        return bool(self.factor or self.first_frame)

    def run_frames(self, config: Any) -> int:
        """Frames of a run, given ones included."""
        return self.frames or config.data.frames

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together, `config` being the whole."""
        if not self.wanted:
            return
        if self.factor and self.first_frame:
            yield "interpolation.factor and interpolation.first_frame are both given; a network learns one of them"
        if self.factor == 1:
            yield "interpolation.factor is 1; it must be at least 2, 1 would leave nothing to learn"
        if self.hint_noise > 1:
            yield f"interpolation.hint_noise is {self.hint_noise:g}; it is at most 1"
        needed = (self.run_frames(config) - 1) * max(self.strides) + 1
        if needed > config.data.frames or self.run_frames(config) < 2:
            yield (
                f"interpolation.frames is {self.run_frames(config)} with strides {list(self.strides)}; that takes clips of "
                f"{needed} frames, and data.frames is {config.data.frames}"
            )
        yield from _channels(config.model)


def _channels(model: Any) -> Iterator[str]:
    if not hasattr(model, "in_channels"):
        yield f"interpolation needs a latent UNet that reads hints; model.family is {model.family}"
        return
    spec = model.spec()
    if spec.in_channels != 2 * spec.out_channels + 1:
        yield (
            f"model.in_channels is {spec.in_channels}; interpolation needs {2 * spec.out_channels + 1}: latents, a mask, "
            "and latents of given frames"
        )
