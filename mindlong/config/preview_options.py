"""The videos drawn while training."""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.config.option import option, section
from mindlong.config.sample import SampleOptions


@dataclass
class PreviewOptions:
    """The videos drawn while training."""

    prompts: list[str] = option(
        [],
        "one video a prompt; without text, give as many empty strings as videos wanted",
        text=True,
    )
    seed: int = option(1000, "noise of the previews; the same at every step")
    fps: int = option(8, "frames per second of the preview GIF", minimum=1, maximum=1000)
    sample: SampleOptions = section(SampleOptions)
