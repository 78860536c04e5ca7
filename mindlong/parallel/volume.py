"""How much is sent in one call of the network, from its spec and the layout alone, and a model of
what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.networks.unet.spec import Level, TemporalConv, Transformer, UNetSpec
from mindlong.parallel.halo import HaloPlan
from mindlong.parallel.sync import Meeting
from mindlong.plans.clip_layout import ClipLayout


@dataclass(frozen=True)
class Site:
    """One place where a layer sees other frames.

    Attributes:
        where: "entry", "down 0", "mid", "up 2".
        kind: of `mindlong.plans.clip_layout.KINDS`.
        frame: numbers in one frame of what is sent (0: none).
        numbers: float32 numbers that go to everybody for each frame.
    """

    where: str
    kind: str
    frame: int
    numbers: int


def sites(spec: UNetSpec, size: tuple[int, int], exact: bool = True) -> Iterator[Site]:
    """Every such place in the order of the network, for one video of `size` (h, w) latents."""
    height, width = size
    if spec.entry is not None:
        yield from _transformer(spec, "entry", spec.entry_dim, height * width, exact)
    sizes = [size]
    for i, level in enumerate(spec.down()):
        yield from _level(spec, f"down {i}", level, sizes[-1], exact)
        if level.resample:
            sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    yield from _level(spec, "mid", spec.mid(), sizes[-1], exact)
    for i, level in enumerate(spec.up()):
        yield from _level(spec, f"up {i}", level, sizes[len(sizes) - 1 - i], exact)


def _level(
    spec: UNetSpec, where: str, level: Level, size: tuple[int, int], exact: bool
) -> Iterator[Site]:
    pixels = size[0] * size[1]
    for (_, cout), attends in zip(level.layers, level.attends, strict=True):
        for stage in spec.stages:
            if isinstance(stage, TemporalConv):
                frame, count = cout * pixels, 4 if exact else 1
                yield from [Site(where, "conv", frame, 2 * spec.groups * exact)] * count
            elif isinstance(stage, Transformer) and stage.joint and attends:
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
    timed = [b for b in (stage or spec.entry).branches if b.kind == "time"]
    yield from [Site(where, "attention", inner * pixels, 0)] * len(timed)


def site_bytes(
    site: Site, plan: HaloPlan, rank: int, batch: int = 1, width: int = 4
) -> tuple[int, int]:
    """Bytes that `rank` sends and receives at a site; activations of `width` bytes, numbers of
    four.
    """
    if plan.ranks == 1:
        return 0, 0
    frame, numbers = site.frame * width * batch, site.numbers * 4 * batch
    others = sum(len(owned) for r, owned in enumerate(plan.owned) if r != rank)
    sent = plan.sent_frames(rank) * frame + len(plan.owned[rank]) * numbers
    return sent, plan.received_frames(rank) * frame + others * numbers


def rank_bytes(
    spec: UNetSpec,
    layout: ClipLayout,
    held: tuple[range, ...],
    rank: int,
    size: tuple[int, int],
    batch: int = 1,
    width: int = 4,
) -> int:
    """Bytes that `rank` sends in one call of the network."""
    plans = Meeting(layout, held).plans
    return sum(
        site_bytes(site, plans[site.kind], rank, batch, width)[0]
        for site in sites(spec, size, layout.exact)
    )


def table(
    spec: UNetSpec,
    layout: ClipLayout,
    held: tuple[range, ...],
    rank: int,
    size: tuple[int, int],
    batch: int = 1,
    width: int = 4,
) -> list[tuple[str, str, int, int, int]]:
    """Rows (where, kind, sites, bytes sent, bytes received) of `rank` for one call, in the order of
    the network.
    """
    plans, rows = Meeting(layout, held).plans, {}
    for site in sites(spec, size, layout.exact):
        sent, received = site_bytes(site, plans[site.kind], rank, batch, width)
        count, s, r = rows.get((site.where, site.kind), (0, 0, 0))
        rows[site.where, site.kind] = count + 1, s + sent, r + received
    return [(*key, *row) for key, row in rows.items()]


def kept_bytes(spec: UNetSpec, size: tuple[int, int], batch: int = 1, width: int = 4) -> int:
    """Bytes a frame of the features that a clip keeps on the way down for the way up: what waits in
    host memory where a process has several clips.
    """
    sizes, total = size, spec.channels[0] * size[0] * size[1]
    for level in spec.down():
        total += level.width * len(level.layers) * sizes[0] * sizes[1]
        if level.resample:
            sizes = tuple((n + 1) // 2 for n in sizes)
            total += level.width * sizes[0] * sizes[1]
    return total * batch * width
