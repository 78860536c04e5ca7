"""The keys of the pipeline that makes videos from images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.scenes import SceneOptions
from mindlong.config.option import option


@dataclass
class AnimateOptions(SceneOptions):
    """A video from an image and a prompt, or between two images."""

    image: str = option("", "the image that a video is made from")
    images: list[str] = option(
        [], "several, one video each, behind image; one prompt for all, or one for each"
    )
    last: str = option(
        "", "the image that the video ends with, for a network that makes frames between two"
    )
    loop: bool = option(
        False,
        "the video ends where it begins, for a network that makes frames between two; its last frame, "
        "which is its first, is left out",
        when="!last",
    )
    alpha_background: str = option(
        "white", "the colour seen where an image is transparent: a name, or '#rrggbb'"
    )
    negative: str = option(
        "", "what the videos should not show; guidance leads away from it", text=True
    )
    encode: str = option(
        "mean",
        "given images: the autoencoder's mean, or a sample (as published)",
        choices=("mean", "sample"),
    )
    keep_latents: bool = option(True, "leave latents/NAME.npz (x_T and latents) beside the videos")

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        yield from self.unread_prompts("animate")

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from self.scene_problems("animate")
        count, prompts = len(self.given()), len(self.told(config.wanted_prompts()))
        if not count:
            yield "there is nothing to animate: give image=FILE or images=[...]"
        elif prompts > 1 and prompts != count:
            yield f"{prompts} prompts are given for {count} images; give one for all, or one for each"

    def given(self) -> list[str]:
        """`image` and `images` as one list."""
        return ([self.image] if self.image else []) + list(self.images)
