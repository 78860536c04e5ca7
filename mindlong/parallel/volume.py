"""How much is sent in one call of a network, from where its layers see other frames
(`Denoiser.sites`) and the layout alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from mindlong.networks.sharded import Site
from mindlong.parallel.halo import HaloPlan
from mindlong.parallel.sync import Meeting
from mindlong.plans.clip_layout import ClipLayout


def site_bytes(
    site: Site, plan: HaloPlan, held: tuple[range, ...], rank: int, batch: int = 1, width: int = 4
) -> tuple[int, int]:
    """Bytes that `rank` sends and receives at a site; activations of `width` bytes, numbers of
    four.
    """
    if plan.ranks == 1:
        return 0, 0
    frame = site.frame * width * batch
    numbers = [
        (len(owned) * site.numbers + len(clips) * site.clip) * 4 * batch
        for owned, clips in zip(plan.owned, held, strict=True)
    ]
    sent = plan.sent_frames(rank) * frame + numbers[rank]
    return sent, plan.received_frames(rank) * frame + sum(numbers) - numbers[rank]


def rank_bytes(
    sites: Iterable[Site],
    layout: ClipLayout,
    held: tuple[range, ...],
    rank: int,
    batch: int = 1,
    width: int = 4,
) -> int:
    """Bytes that `rank` sends in one call of the network."""
    plans = Meeting(layout, held).plans
    return sum(site_bytes(site, plans[site.kind], held, rank, batch, width)[0] for site in sites)


def table(
    sites: Iterable[Site],
    layout: ClipLayout,
    held: tuple[range, ...],
    rank: int,
    batch: int = 1,
    width: int = 4,
) -> list[tuple[str, str, int, int, int]]:
    """Rows (where, kind, sites, bytes sent, bytes received) of `rank` for one call, in the order of
    the network.
    """
    plans, rows = Meeting(layout, held).plans, {}
    for site in sites:
        sent, received = site_bytes(site, plans[site.kind], held, rank, batch, width)
        count, s, r = rows.get((site.where, site.kind), (0, 0, 0))
        rows[site.where, site.kind] = count + 1, s + sent, r + received
    return [(*key, *row) for key, row in rows.items()]
