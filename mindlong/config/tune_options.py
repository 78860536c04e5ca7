"""The `tune` section of a training configuration: one-shot tuning of an image model on a video
(Tune-A-Video).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any

from mindlong.config.option import option
from mindlong.networks.table import has_feature, with_feature
from mindlong.networks.unet.names import names
from mindlong.networks.unet.spec import UNetSpec

FITS = ("crop", "stretch", "refuse")
PUBLISHED = (
    "unet.*.attn1.to_q.*",
    "unet.*.attn2.to_q.*",
    "unet.*.attn_temp.*",
)  # what the paper trains, in our names
DOWN = "unet.down.*"  # what the released code's gradients never reach


@dataclass
class TuneOptions:
    """Tuning on single videos, arXiv 2212.11565; off while no video is named. Frames and size stand
    in data.
    """

    video: str = option("", "tune on this video (a file or a folder of frames)")
    prompt: str = option(
        "",
        "what it shows",
        when="video",
        text=True,
    )
    videos: list[str] = option([], "further videos")
    prompts: list[str] = option(
        [],
        "what each of them shows",
        when="videos",
        text=True,
    )
    start: int = option(0, "first frame taken; every data.stride-th follows", minimum=0)
    windows: int = option(
        1,
        "clips of data.frames frames taken from each video, the first at start, the others spread over the "
        "rest",
        minimum=1,
    )
    fit: str = option(
        "crop",
        "a video in other proportions than data.size: cut its edges off, stretch it (as published), or "
        "refuse it",
        choices=FITS,
    )
    trainable: list[str] = option(
        list(PUBLISHED),
        "names of the parameters that learn (shell patterns); the default is what was published",
    )
    compat: str = option(
        "",
        "tune_a_video: blocks on the way down stay as they are and the temporal layers' biases start at "
        "random, as the released code does it",
        choices=("", "tune_a_video"),
    )
    inverted: bool = option(
        True, "previews start from the inverted noise of the first clip, not from fresh noise"
    )
    inversion_steps: int = option(
        50,
        "steps of that inversion",
        minimum=1,
        when="inverted",
    )

    @property
    def wanted(self) -> bool:
        """Whether a video is named."""
        return bool(self.video or self.videos)

    def pairs(self) -> list[tuple[str, str]]:
        """(video, prompt) of all."""
        first = [(self.video, self.prompt)] if self.video else []
        return first + list(zip(self.videos, self.prompts, strict=True))

    def chooses(self, name: str) -> bool:
        """Whether the parameter called `name` ("unet....") learns."""
        wanted = any(fnmatchcase(name, pattern) for pattern in self.trainable)
        return wanted and not (self.compat and fnmatchcase(name, DOWN))

    def count(self, spec: UNetSpec) -> int:
        """How many numbers of a UNet learn."""
        return sum(
            prod(entry.our_shape) for entry in names(spec) if self.chooses(f"unet.{entry.ours}")
        )

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if not self.wanted:
            return
        if not has_feature(config.model.family, "tuning"):
            others = ", ".join(with_feature("tuning"))
            yield f"tune.video is given; the family {config.model.family} is not tuned on a video, {others} is"
        if len(self.videos) != len(self.prompts):
            yield f"tune.videos names {len(self.videos)} videos and tune.prompts {len(self.prompts)} prompts; each needs one"
            return
        for video, prompt in self.pairs():
            if not prompt.strip():
                yield f"{video} has no prompt; tune.prompt (or tune.prompts) says what a video shows"
