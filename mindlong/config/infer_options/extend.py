"""The keys of the pipeline that continues an image or a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.interpolate import HINTS, MASKS
from mindlong.config.infer_options.scenes import SceneOptions
from mindlong.config.option import option


@dataclass
class ExtendOptions(SceneOptions):
    """Frames after given ones, run after run, each conditioned on the last frames there are.
    `frames` is how many are added.
    """

    video: str = option("", "continue this video (a file or a folder of frames)")
    images: list[str] = option([], "continue these images, often one; all of one size")
    alpha_background: str = option(
        "white", "the colour seen where what is given is transparent: a name, or '#rrggbb'"
    )
    run: int = option(
        0, "frames that the network makes or holds at a time; 0: as trained", minimum=0
    )
    overlap: int = option(1, "given frames that a run is conditioned on", minimum=1)
    given: str = option(
        "auto",
        "inside: given frames are part of a run; before: a run is the frames after them (the published "
        "base model); auto: as trained",
        choices=("auto", "inside", "before"),
    )
    hint: str = option(
        "", "given frame that a frame has as its hint; empty: as trained", choices=("", *HINTS)
    )
    mask: str = option(
        "", "zero or between, as for interpolation; empty: as trained", choices=("", *MASKS)
    )
    hint_noise: float = option(
        0.0,
        "deviation of noise mixed into frames that the network made itself, 0 to 1: 0.87 and 0.78 are "
        "the signal-to-noise ratios 0.33 and 0.66",
        minimum=0,
    )
    shared_noise: bool = option(
        False, "noise of eta above 0 is one image for all frames, as published"
    )
    negative: str = option(
        "",
        "what the video should not show; guidance leads away from it",
        text=True,
    )
    encode: str = option(
        "mean",
        "given frames: the autoencoder's mean, or a sample (as published)",
        choices=("mean", "sample"),
    )

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        yield from self.unread_prompts("extend")
        if self.video:
            yield "fps", "is not read, because extend.video has a rate of its own"

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from self.scene_problems("extend")
        if bool(self.video) == bool(self.images):
            yield "extend needs either extend.video or extend.images"
        if self.images and len(self.images) < self.overlap:
            yield f"extend.overlap is {self.overlap}; extend.images names {len(self.images)}"
        if self.hint_noise > 1:
            yield f"extend.hint_noise is {self.hint_noise:g}; it is at most 1"
        if not config.frames:
            yield "frames is 0; say how many frames are to be added"
