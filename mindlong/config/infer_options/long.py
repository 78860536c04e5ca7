"""Ways to videos longer than a network was trained on, and to better beginnings: the sections
`free_noise`, `contexts` and `free_init` of text to video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.diffusion.free_init import METHODS
from mindlong.networks.unet.views import AROUND, WEIGHTINGS, Views
from mindlong.plans.contexts import FUSES, SCHEDULES, Contexts
from mindlong.utils.errors import ConfigError

NOISES = ("", "shuffle_context", "repeat_context", "random")


@dataclass
class FreeNoiseOptions:
    """The attentions over frames read a long video window by window; all else sees it whole
    (FreeNoise).
    """

    around: str = option(
        "",
        "block: whole motion blocks run in each window, as diffusers does (AnimateDiff); attention: each attention "
        "over frames, as the original (networks without places); empty: the whole video at once",
        choices=("", *AROUND),
    )
    window: int = option(16, "frames of a window", minimum=1, when="around")
    stride: int = option(4, "frames from one window to the next", minimum=1, when="around")
    weighting: str = option(
        "pyramid",
        "how much each place of a window counts",
        choices=WEIGHTINGS,
        when="around",
    )
    noise: str = option(
        "",
        "shuffle_context: the first window's noise again and again, in new orders; repeat_context: in the same order; "
        "random: every frame its own; empty: shuffle_context with around, else random",
        choices=NOISES,
        when="around|contexts.schedule",
    )
    compat: str = option(
        "",
        "frames beyond the last whole window as the original treats them: diffusers divides them by a single weight, "
        "longercrafter gives them nothing; empty: a last window ends with the video",
        choices=("", "diffusers", "longercrafter"),
        when="around",
    )

    def views(self) -> Views | None:
        """How the network reads; None: at once. Raises ConfigError."""
        if not self.around:
            return None
        return Views(self.window, self.stride, self.weighting, self.around, self.compat)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        whole = {"diffusers": "block", "longercrafter": "attention"}
        if self.compat and self.around and whole[self.compat] != self.around:
            yield f"free_noise.compat is {self.compat}; it is for free_noise.around={whole[self.compat]}"
        try:
            self.views()
        except ConfigError as error:
            yield f"free_noise: {error}"


@dataclass
class ContextOptions:
    """The network is asked for windows of the video, which change from step to step; their
    predictions are averaged.
    """

    schedule: str = option(
        "",
        "standard_static: windows one after the other; standard_uniform: other ones at every step; looped_uniform: the "
        "same, going on at the first frame; batched: cuts without overlap; empty: the whole video at once",
        choices=("", *SCHEDULES),
    )
    length: int = option(16, "frames of a window", minimum=1, when="schedule")
    overlap: int = option(
        4,
        "frames that a window shares with the next",
        minimum=0,
        when="schedule schedule!=batched",
    )
    stride: int = option(
        1,
        "up to how many doublings of the distance between a window's frames are taken too, the plain one counted",
        minimum=1,
        when="schedule=standard_uniform|looped_uniform",
    )
    closed_loop: bool = option(
        False, "the last window goes on with the first frames", when="schedule=looped_uniform"
    )
    fuse: str = option(
        "pyramid",
        "how much each place of a window counts; relative is for standard_static",
        choices=tuple(FUSES),
        when="schedule schedule!=batched",
    )

    def contexts(self) -> Contexts | None:
        """The windows; None: the whole video at once. Raises ConfigError."""
        if not self.schedule:
            return None
        overlap = 0 if self.schedule == "batched" else self.overlap
        fuse = "flat" if self.schedule == "batched" else self.fuse
        return Contexts(self.schedule, self.length, overlap, self.stride, self.closed_loop, fuse)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        try:
            self.contexts()
        except ConfigError as error:
            yield str(error)


@dataclass
class FreeInitOptions:
    """Sampling again from noise with the low frequencies of the sample made before (FreeInit)."""

    iterations: int = option(1, "samplings of each video; 1 is none, 3 is published", minimum=1)
    method: str = option("butterworth", "the filter", choices=tuple(METHODS), when="iterations!=1")
    order: int = option(
        4, "of the Butterworth filter", minimum=1, when="iterations!=1 method=butterworth"
    )
    space: float = option(
        0.25, "frequency in space at which the filter stops", minimum=0, when="iterations!=1"
    )
    time: float = option(
        0.25, "frequency in time at which the filter stops", minimum=0, when="iterations!=1"
    )
    fast: bool = option(False, "fewer steps in the first samplings", when="iterations!=1")
