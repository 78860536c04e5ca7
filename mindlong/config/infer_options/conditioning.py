"""How a network that is conditioned on images is run; the section `conditioning` of the pipelines
that can have one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option


@dataclass
class ConditioningOptions:
    """A network that is conditioned on images (animate; and hierarchical, interpolate and extend
    with one).
    """

    fs: list[int] = option(
        [],
        "what the network takes as its frame rate, one for each level (the last counts for all below); "
        "empty: the rate of its frames, as near as it was trained on",
        minimum=1,
    )
    image_guidance: float = option(
        0.0,
        "guidance towards the image apart from that towards the text (sample.guidance), by a third "
        "call of the network a step; 0: both together",
        minimum=0,
    )


KEYS = tuple(f"conditioning.{name}" for name in ("fs", "image_guidance"))


def unread() -> Iterator[tuple[str, str]]:
    """(key, reason) for weights whose network reads no image."""
    for key in KEYS:
        yield key, "is not read: the network is not conditioned on images"
