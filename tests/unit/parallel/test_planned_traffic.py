"""4 and 8 simulated ranks that send what a network's plan says, and nothing else: bytes are those
of the plan at every rank, and every clip gets the frames and numbers that it asked for.
"""

import numpy as np
import pytest

from mindlong.networks.sharded import Answer, Ask
from mindlong.networks.unet.families import family
from mindlong.networks.unet.traffic import sites
from mindlong.parallel import halo, simulated, sync
from mindlong.parallel.sync import Traffic
from mindlong.parallel.volume import rank_bytes, table
from mindlong.plans.clip_layout import exact_layout
from mindlong.plans.dual_scope import ZERO

SPEC = family("videocrafter2").spec(
    channels=(8, 16, 16, 16), layers=2, groups=4, context_dim=12, head_dim=4, entry_heads=2
)
SIZE = (8, 8)


def clip(layout, number: int, places):
    """A clip that asks as the network does; its frames hold their own numbers."""
    mine, wrong = np.array(layout.clips[number]), 0
    for site in places:
        exports = np.array(layout.exports(site.kind, number), np.float32)
        frames = None
        if site.frame:
            frames = np.broadcast_to(exports[None, :, None], (1, len(exports), site.frame)).copy()
        numbers = None
        if site.numbers:
            numbers = np.broadcast_to(mine[:, None], (len(mine), site.numbers)).astype(np.float32)
        answer = yield Ask(site.kind, frames, numbers)
        wanted = [0 if f == ZERO else f for f in layout.wanted(site.kind, number)]
        if frames is not None:
            wrong += answer.frames[0, :, 0].tolist() != wanted
        if numbers is not None:
            wrong += answer.numbers[:, 0].tolist() != list(range(layout.frames))
    return wrong


@pytest.mark.parametrize(
    ("lengths", "ranks"), [([6] * 4, 4), ([3] * 8, 8), ([3] * 8, 4), ([5, 3, 4] * 3, 8)]
)
def test_bytes_are_those_of_the_plan(lengths, ranks):
    layout = exact_layout(halo.split_by(lengths), "window:9", "spread:8")
    places, held = list(sites(SPEC, SIZE)), halo.deal(len(lengths), ranks)
    meeting, traffic = sync.Meeting(layout, held), [Traffic() for _ in range(ranks)]
    programs = [
        sync.rank_program(meeting, r, [clip(layout, i, places) for i in held[r]], Answer)
        for r in range(ranks)
    ]
    wrong = [n for found in simulated.run(programs, traffic) for n in found]
    assert wrong == [0] * len(lengths)
    for rank, found in enumerate(traffic):
        assert found.bytes == rank_bytes(places, layout, held, rank) > 0
        assert found.parcels == len(places) == 139
    sent = [sum(row[3] for row in table(places, layout, held, r)) for r in range(ranks)]
    assert sent == [found.bytes for found in traffic]
