"""What every transformer's spec holds its fields to."""

from __future__ import annotations

from collections.abc import Sequence

from mindlong.utils.errors import ConfigError, did_you_mean


def check_transformer(width: int, heads: int, activation: str, known: Sequence[str]) -> None:
    """Raise ConfigError where heads do not divide the width, or the activation is not `known`."""
    if width % heads:
        raise ConfigError(f"width is {width}; it must be a multiple of heads ({heads}).")
    if activation not in known:
        raise ConfigError(f"activation is {activation!r}.{did_you_mean(activation, known)}")
