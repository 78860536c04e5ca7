"""The keys of the text-to-video pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option
from mindlong.diffusion.guidance import CURVES
from mindlong.plans.frame_prompts import parse
from mindlong.utils.errors import ConfigError


@dataclass
class TextToVideoOptions:
    """What latent text to video has beside the common keys."""

    negative: str = option(
        "",
        "what the videos should not show; guidance leads away from it",
        text=True,
    )
    scenes: list[dict[Any, str]] = option(
        [],
        "videos whose prompt changes, after those of prompts: frame range to prompt, for example "
        "[{0-7: a red circle, 8-15: a blue circle}]",
        text=True,
    )
    two_passes: bool = option(
        False,
        "guidance asks the network twice a step rather than once with twice the rows: "
        "slower, about half the memory",
        when="sample.guidance!=1",
    )
    guidance_curve: str = option(
        "constant",
        "guidance over the steps: constant; wave: CogVideoX's dynamic guidance as published, a wave over "
        "the timesteps from 1 to 1 + sample.guidance; ramp: what its formula means, up once",
        choices=CURVES,
        when="sample.guidance!=1",
    )
    fps_condition: int = option(
        0,
        "frame rate that the network is conditioned on, where it is (VideoCrafter2); 0: as fps",
        minimum=0,
    )
    start: str = option(
        "",
        "npz with x_T (videos, channels, frames, height, width): noise to start from, such as the "
        "latents/*.npz of a run",
    )
    keep_latents: bool = option(True, "leave latents/NAME.npz (x_T and latents) beside the videos")
    preview_every: int = option(
        0, "decode the predicted clean sample every so many steps to preview/; 0: never", minimum=0
    )

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        for number, scene in enumerate(self.scenes):
            try:
                parse(scene, config.frames or None)
            except ConfigError as error:
                yield f"text_to_video.scenes[{number}]: {error}"
