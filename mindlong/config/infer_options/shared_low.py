"""The key `shared_low`: what the first noise of all frames has in common."""

from __future__ import annotations

from typing import Any

from mindlong.config.option import option


def shared_low(when: str = "") -> Any:
    """The field of a section; `when` says where it is read."""
    return option(
        0.0,
        "the frequencies in space of the first noise that all frames have in common, up to this share of the highest; "
        "0: none. Backgrounds flicker less with 0.125 to 0.25; 1 is the same noise in every frame",
        minimum=0,
        maximum=1,
        when=when,
    )
