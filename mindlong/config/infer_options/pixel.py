"""The section `pixel` of a sampling configuration: a video between two videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option


@dataclass
class PixelOptions:
    """Unet3D in pixels; off while no videos are named."""

    interpolate: list[str] = option(
        [],
        "two videos: both are noised, mixed and denoised again, a video between them (Video Diffusion "
        "Models' interpolate)",
    )
    mix: float = option(0.5, "the share of the second video, 0 to 1", minimum=0, when="interpolate")
    timestep: int = option(
        0,
        "how far the two are noised, a timestep of the training; 0: the last, where little is left of them",
        minimum=0,
        when="interpolate",
    )

    text_encoder: str = option(
        "",
        "another place for the text encoder that the network was trained with (model.text.weights): a folder, a "
        "weights file, installed:PACKAGE",
    )

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.mix > 1:
            yield f"pixel.mix is {self.mix:g}; it is a share, at most 1"
        if self.interpolate and len(self.interpolate) != 2:
            yield f"pixel.interpolate names {len(self.interpolate)} videos; it needs two"
