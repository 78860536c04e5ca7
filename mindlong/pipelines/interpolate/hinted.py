"""Whether a network reads hints, and what that means for the keys of a run; without MindSpore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mindlong.utils.errors import ConfigError

HINTED_MAKER = (
    "the networks in interpolate.key_weights are conditioned on given frames, so they cannot make key frames from a prompt "
    "alone; name a text-to-video model there, or give interpolate.video or interpolate.images"
)


def is_hinted(parts: Any, vae_channels: int) -> bool:
    """Whether a UNet reads mask and hints behind the latents. Raises ConfigError where it reads
    something else.
    """
    if parts.in_channels == 2 * vae_channels + 1:
        return True
    if parts.in_channels == vae_channels:
        return False
    raise ConfigError(
        f"the UNet reads {parts.in_channels} channels; interpolation needs {2 * vae_channels + 1} (latents, mask, "
        f"hint) or {vae_channels} (latents alone, with interpolate.pin=each_step)"
    )


def unhinted(section: str) -> Iterator[tuple[str, str]]:
    """(key, reason) of the keys that a network that reads no hints leaves idle."""
    for key in ("hint", "mask", "hint_noise"):
        yield f"{section}.{key}", "is not read: the network reads no hints and no mask"
