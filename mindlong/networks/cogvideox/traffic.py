"""Where CogVideoX's blocks see other frames, and what a clip keeps: from the spec alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.sharded import Site
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec


def sites(spec: CogVideoXSpec, size: tuple[int, int], exact: bool = True) -> Iterator[Site]:
    """Every block in order, for one video of `size` (h, w) latents: frames behind the norm, and
    what of the text's softmax lies in a clip. Raises ConfigError for another style than the exact.
    """
    if not exact:
        raise ConfigError(
            "clip_parallel.strategy is video_infinity, which belongs to UNets; CogVideoX's transformer has "
            "the form exact, and windows asks it for single windows"
        )
    part = spec.heads * spec.tokens * (spec.head_dim + 2)
    for i in range(spec.layers):
        yield Site(f"block {i}", "attention", _pixels(spec, size) * spec.width, 0, part)


def kept_bytes(spec: CogVideoXSpec, size: tuple[int, int], batch: int = 1, width: int = 4) -> int:
    """Bytes a frame that wait while other clips run: tokens, queries, keys and values."""
    return 4 * _pixels(spec, size) * spec.width * batch * width


def _pixels(spec: CogVideoXSpec, size: tuple[int, int]) -> int:
    return (size[0] // spec.patch) * (size[1] // spec.patch)
