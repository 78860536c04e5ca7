"""Where a UNet's layers see other frames, and what a clip of a video keeps: from the spec alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.sharded import Site
from mindlong.networks.unet.stage_spec import Level, TemporalConv, Transformer
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


def sites(spec: UNetSpec, size: tuple[int, int], exact: bool = True) -> Iterator[Site]:
    """Every such place in the order of the network, for one video of `size` (h, w) latents."""
    height, width = size
    if spec.entry is not None:
        yield from _transformer(spec, "entry", spec.entry_dim, height * width, exact)
    sizes = [size]
    for i, level in enumerate(spec.down()):
        yield from _level(spec, f"down {i}", level, sizes[-1], exact)
        if level.resample:
            sizes.append(_halved(sizes[-1]))
    yield from _level(spec, "mid", spec.mid(), sizes[-1], exact)
    for i, level in enumerate(spec.up()):
        yield from _level(spec, f"up {i}", level, sizes[len(sizes) - 1 - i], exact)


def _level(
    spec: UNetSpec, where: str, level: Level, size: tuple[int, int], exact: bool
) -> Iterator[Site]:
    pixels = size[0] * size[1]
    for j, (_, cout) in enumerate(level.layers):
        for stage in spec.stages:
            if isinstance(stage, TemporalConv):
                frame, count = cout * pixels, 4 if exact else 1
                yield from [Site(where, "conv", frame, 2 * spec.groups * exact)] * count
            elif not level.holds(stage, j):
                continue
            elif isinstance(stage, Transformer) and stage.views is not None:
                yield Site(where, "attention", cout * pixels, 0)
            elif isinstance(stage, Transformer) and stage.joint:
                yield from _transformer(
                    spec, where, level.heads * level.head_dim, pixels, exact, stage
                )


def _transformer(
    spec: UNetSpec,
    where: str,
    inner: int,
    pixels: int,
    exact: bool,
    stage: Transformer | None = None,
) -> Iterator[Site]:
    if exact:
        yield Site(where, "norm", 0, 2 * spec.groups)
    branches = needed(stage or spec.entry, "a transformer").branches
    timed = [b for b in branches if b.kind == "time"]
    yield from [Site(where, "attention", inner * pixels, 0)] * len(timed)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def kept_bytes(spec: UNetSpec, size: tuple[int, int], batch: int = 1, width: int = 4) -> int:
    """Bytes a frame of the features that a clip keeps on the way down for the way up: what waits in
    host memory where a process has several clips.
    """
    sizes, total = size, spec.channels[0] * size[0] * size[1]
    for level in spec.down():
        total += level.width * len(level.layers) * sizes[0] * sizes[1]
        if level.resample:
            sizes = _halved(sizes)
            total += level.width * sizes[0] * sizes[1]
    return total * batch * width
