"""Who sends what: from the table of needed frames, for even and uneven splits."""

import numpy as np
import pytest

from mindlong.parallel import halo
from mindlong.plans import dual_scope
from mindlong.utils.errors import ConfigError


def test_frames_are_split_as_evenly_as_they_can_be():
    assert [len(r) for r in halo.split_frames(49, 8)] == [7, 6, 6, 6, 6, 6, 6, 6]
    assert halo.split_frames(4, 4) == (range(0, 1), range(1, 2), range(2, 3), range(3, 4))
    assert halo.split_by([5, 1, 2]) == (range(0, 5), range(5, 6), range(6, 8))


def test_more_ranks_than_clips_are_refused():
    with pytest.raises(ConfigError, match="5 processes were started for 4 clips; start at most 4"):
        halo.deal(4, 5)
    assert halo.deal(5, 2) == (range(0, 3), range(3, 5))


@pytest.mark.parametrize("lengths", [[24], [12, 12], [5, 3, 4], [1, 7, 1, 3], [2] * 6, [1] * 9])
@pytest.mark.parametrize(
    ("local", "spread"),
    [("window:3", ""), ("window:17", "spread:4"), ("all", ""), ("window:5", "global:3")],
)
def test_every_rank_receives_exactly_what_it_lacks(lengths, local, spread):
    owned = halo.split_by(lengths)
    reads = dual_scope.exact(local, spread, owned[-1].stop)
    needs = [set().union(*map(reads.set_of, mine)) for mine in owned]
    plan = halo.plan(needs, owned)
    for rank, mine in enumerate(owned):
        got = [f for _, frames in plan.received(rank) for f in frames]
        assert len(got) == len(set(got)) and not set(got) & set(mine)
        assert needs[rank] - set(mine) <= set(got)
        for sender, frames in plan.received(rank):
            assert set(frames) <= set(owned[sender])
        beside = set(plan.left[rank - 1] if rank else ()) | set(plan.right[rank])
        assert beside.isdisjoint(plan.world[rank])


def test_a_window_stays_between_neighbours_and_spread_frames_go_to_all():
    owned = halo.split_by([24] * 4)
    reads = dual_scope.exact("window:17", "spread:16", 96)
    plan = halo.plan([set().union(*map(reads.set_of, mine)) for mine in owned], owned)
    assert [len(x) for x in plan.world] == [4] * 4
    # 8 on each side, less those that go to everybody anyway
    assert [len(x) for x in plan.right] == [7, 7, 7, 0] and [len(x) for x in plan.left] == [
        0,
        6,
        6,
        6,
    ]
    assert plan.received_frames(1) == 12 + 7 + 6 and plan.sent_frames(1) == 4 + 6 + 7


def test_a_convolution_needs_one_frame_on_each_side():
    owned = halo.split_by([3, 1, 2])
    needs = [{r.start - 1, r.stop} & set(range(6)) for r in owned]
    plan = halo.plan(needs, owned)
    assert plan.right == ((2,), (3,), ()) and plan.left == ((), (3,), (4,)) and not any(plan.world)


def test_one_rank_is_quiet():
    assert halo.plan([set(range(7))], halo.split_by([7])).quiet


# (ranks, frames, count) -> the spread frames, as the original's arithmetic gives them
TABLE = [
    ((1, 24, 16), list(range(16))),
    ((2, 24, 16), [*range(0, 24, 3), *range(24, 48, 3)]),
    ((3, 24, 16), [*range(0, 24, 4), *range(24, 48, 4), 48, 52, 56, 60]),
    ((4, 24, 16), list(range(0, 96, 6))),
    ((5, 24, 16), [24 * r + i for r in range(5) for i in (0, 8, 16)]),
    ((6, 24, 16), list(range(0, 144, 12))),
    ((8, 24, 16), list(range(0, 192, 12))),
    ((8, 288, 16), list(range(0, 2304, 144))),
    ((17, 24, 16), list(range(0, 16 * 24, 24))),
    ((4, 24, 0), []),
    ((4, 24, -3), []),
    ((2, 7, 16), list(range(14))),
]


@pytest.mark.parametrize(("case", "want"), TABLE)
def test_the_originals_spread_frames(case, want):
    assert dual_scope.spread_of_ranks(*case) == want


def test_the_originals_rows_have_all_their_keys():
    for ranks, frames, reach, count in [
        (4, 24, 8, 16),
        (1, 24, 24, 16),
        (3, 1, 1, 2),
        (2, 7, 3, 0),
    ]:
        reads = dual_scope.video_infinity(reach, count, ranks, frames)
        far = len(dual_scope.spread_of_ranks(ranks, frames, count))
        for near, spread in zip(reads.local, reads.spread, strict=True):
            assert near.sum() == 2 * reach + 1 and spread.sum() == far
    for reach in (0, 25):
        with pytest.raises(ConfigError, match="1 to the 24 frames"):
            dual_scope.video_infinity(reach, 16, 4, 24)


def test_exact_rows_hold_every_key_once_and_nothing_beyond_the_ends():
    reads = dual_scope.exact("window:5", "spread:4", 12)
    assert reads.keys[0].tolist() == [0, 1, 2, 3, 6, 9] and reads.keys[11].tolist() == [
        0,
        3,
        6,
        9,
        10,
        11,
    ]
    assert np.array_equal(reads.log_weights(0), np.zeros(6))
    assert reads.log_weights(0, (10.0, 0.0)).tolist() == [10, 10, 10, 0, 0, 0]
    assert reads.log_weights(0, (0.0, 10.0)).tolist() == [10, 0, 0, 10, 10, 10]


def test_token_scale_is_one_at_sixteen_keys():
    tuning = dual_scope.Tuning(token_scale=True)
    assert dual_scope.exact("all", "", 16).factors(tuning).tolist() == [1.0] * 16
    ours = dual_scope.video_infinity(8, 16, 4, 24).factors(tuning)
    np.testing.assert_allclose(ours, np.full(96, 1.2611), atol=5e-5)


@pytest.mark.parametrize(("t", "want"), [(799, (10, 0)), (800, (0, 10)), (850, (0, 10))])
def test_phases_switch_where_they_say(t, want):
    tuning = dual_scope.Tuning(dual_scope.Phase(800, 0, 10), dual_scope.Phase(800, 10, 0))
    assert tuning.biases(t) == want


def test_phases_may_overlap_or_leave_a_gap():
    both = dual_scope.Tuning(dual_scope.Phase(700, 0, 10), dual_scope.Phase(800, 10, 0))
    neither = dual_scope.Tuning(dual_scope.Phase(800, 0, 10), dual_scope.Phase(700, 10, 0))
    assert both.biases(750) == (10, 10) and neither.biases(750) == (0, 0)
