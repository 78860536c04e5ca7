"""The keys of the text-to-video pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.shared_low import shared_low
from mindlong.config.option import option
from mindlong.diffusion.guidance import CURVES
from mindlong.plans.frame_prompts import check
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
        "[{0-7: a red circle, 8-15: a blue circle}]; with single frames as keys one prompt turns into the next: "
        "[{0: spring, 8: summer, 15: autumn}]",
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
    shared_low: float = shared_low()
    video: str = option(
        "",
        "a video to start from (a file or a folder of frames): the result keeps its layout as far as "
        "strength lets it",
    )
    image: str = option("", "an image to start from, as a video that stands still")
    strength: float = option(
        0.8,
        "video, image: share of the noise levels that it goes up and down again; 1 is nothing but noise",
        minimum=0.01,
        maximum=1,
        when="video|image",
    )
    video_start: int = option(0, "first frame of video", minimum=0, when="video")
    video_stride: int = option(1, "take every such frame of video", minimum=1, when="video")
    alpha_background: str = option(
        "white",
        "the colour seen where what is given is transparent: a name, or '#rrggbb'",
        when="video|image",
    )
    keep_latents: bool = option(True, "leave latents/NAME.npz (x_T and latents) beside the videos")

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        if self.start:
            for key in ("free_noise.noise", "text_to_video.shared_low"):
                yield key, "is not read where text_to_video.start says what noise there is"

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        given = [key for key in ("start", "video", "image") if getattr(self, key)]
        if len(given) > 1:
            yield f"text_to_video.{given[0]} and text_to_video.{given[1]} are both given; a video starts from one"
        if given[:1] not in ([], ["start"]) and config.free_init.iterations > 1:
            yield f"free_init.iterations is {config.free_init.iterations}, but text_to_video.{given[0]} says what to start from"
        noise, contexts = config.free_noise, config.contexts
        yield from noise.problems()
        yield from contexts.problems()
        if noise.around and contexts.schedule and noise.window > contexts.length:
            yield (
                f"free_noise.window is {noise.window}, longer than the windows of contexts.length, {contexts.length}"
            )
        for number, scene in enumerate(self.scenes):
            try:
                check(scene, config.frames or None)
            except ConfigError as error:
                yield f"text_to_video.scenes[{number}]: {error}"
