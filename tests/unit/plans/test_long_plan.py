"""Plans make every frame exactly once, from frames that exist by then."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindlong.plans.hierarchy import (
    chain_lengths,
    hierarchy_frames,
    lengths_for,
    plan_between,
    plan_hierarchical,
    plan_interpolation,
)
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("lengths", "frames", "runs"),
    [
        ((16, 16), 226, 16),
        ((16,) * 3, 3376, 241),
        ((6,) * 5, 3126, 781),
        ((12,) * 4, 14642, 1464),
        ((12, 12, 12), 1332, 133),
    ],
)
def test_the_published_counts(lengths, frames, runs):
    plan = plan_hierarchical(lengths)
    plan.check()
    assert (plan.frames, len(plan.jobs)) == (frames, runs)


def test_7776_frames_are_planned_in_under_a_second():
    start = time.perf_counter()
    plan = plan_hierarchical(lengths_for(7776, 16), 7776)
    plan.check()
    assert plan.frames == 7776 and time.perf_counter() - start < 1


def test_the_index_rule_of_the_paper():
    plan = plan_hierarchical((3, 3, 3))
    assert [j.frames for j in plan.jobs] == [
        (0, 4, 8),
        (0, 2, 4),
        (4, 6, 8),
        (0, 1, 2),
        (2, 3, 4),
        (4, 5, 6),
        (6, 7, 8),
    ]
    assert all(j.known == (j.frames[0], j.frames[-1]) for j in plan.jobs[1:])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(2, 7), min_size=1, max_size=4), st.integers(1, 400))
def test_any_lengths_and_any_truncation_make_each_frame_once(lengths, frames):
    whole = hierarchy_frames(lengths)
    plan = plan_hierarchical(lengths, min(frames, whole))
    plan.check()
    assert sorted(f for job in plan.jobs for f in plan.kept(job)) == list(range(plan.frames))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6000), st.integers(4, 24))
def test_lengths_for_reaches_the_count_within_the_longest(frames, longest):
    lengths = lengths_for(frames, longest)
    assert hierarchy_frames(lengths) >= frames and max(lengths) <= longest


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 9),
    st.lists(st.integers(2, 5), min_size=1, max_size=3),
    st.integers(0, 40),
    st.booleans(),
)
def test_any_chain_makes_each_frame_once(keys, factors, window, given_keys):
    window = max(window, max(factors) + 1) if window else 0
    plan = plan_interpolation(keys, factors, window, given_keys)
    plan.check()
    assert plan.frames == chain_lengths(keys, factors)[-1]
    assert all(len(job.frames) <= window for job in plan.jobs if window and job.name != "keys")


def test_5_to_17_to_65():
    plan = plan_interpolation(5, (4, 4))
    assert [(len(j.frames), len(j.known)) for j in plan.jobs] == [(5, 0), (17, 5), (65, 17)]


@pytest.mark.parametrize("ends", [(0,), (-1,), (0, -1)])
def test_a_video_is_continued_extended_or_filled(ends):
    plan = plan_between((5, 5), ends)
    plan.check()
    assert plan.jobs[0].known == tuple(sorted({0: 0, -1: 16}[e] for e in ends)) == plan.given


def test_a_broken_plan_is_noticed():
    plan = plan_hierarchical((4, 4))
    with pytest.raises(ValueError, match="made 0 times"):
        type(plan)(plan.frames, plan.jobs[:-1]).check()
    with pytest.raises(ValueError, match="level1-node000000 needs"):
        type(plan)(plan.frames, plan.jobs[1:]).check()


@pytest.mark.parametrize(
    "call",
    [
        lambda: plan_hierarchical((1, 4)),
        lambda: plan_hierarchical((4, 4), 11),
        lambda: plan_hierarchical(()),
        lambda: plan_interpolation(1, (4,)),
        lambda: plan_interpolation(5, (1,)),
        lambda: plan_interpolation(5, (4,), window=4),
        lambda: lengths_for(10**9, 4, levels=3),
    ],
)
def test_impossible_plans_are_refused_in_a_sentence(call):
    with pytest.raises(ConfigError, match=" is "):
        call()
