"""Plans of interpolation chains and of extension: every frame once, from frames that exist, in runs
of known shape.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindlong.plans.chain import Chain, place, plan_chain, plan_extension
from mindlong.utils.errors import ConfigError

FACTORS = st.lists(st.integers(2, 5), min_size=1, max_size=3).map(tuple)


@settings(deadline=None, max_examples=80)
@given(
    st.integers(2, 7),
    FACTORS,
    st.integers(0, 30),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 400),
)
def test_any_chain_makes_each_frame_once(keys, factors, window, redo, chunk, cut):
    window = max(window, max(factors) + 1) if window else 0
    chain = Chain(keys, factors, 0, window, redo, chunk)
    chain = Chain(keys, factors, cut % (chain.total - 1) + 2, window, redo, chunk)
    plan = plan_chain(chain)
    plan.check()
    for job in plan.jobs:
        run = job.makes if redo and job.level else job.frames
        places = [place(f, chain.total) for f in run]
        steps = {b - a for a, b in zip(places, places[1:], strict=False)}
        assert len(steps) <= 1 and (not steps or steps == {chain.step(job.level)})
        assert not window or not job.level or len(run) <= window


@pytest.mark.parametrize("redo", [False, True])
def test_5_to_17_to_65(redo):
    plan = plan_chain(Chain(5, (4, 4), redo=redo))
    runs = [
        [place(f, 65) for f in (job.makes if redo and job.level else job.frames)]
        for job in plan.jobs
    ]
    assert [len(run) for run in runs] == [5, 17, 65]
    assert (
        runs[0] == list(range(0, 65, 16))
        and runs[1] == list(range(0, 65, 4))
        and runs[2] == list(range(65))
    )
    assert [[place(f, 65) for f in job.known] for job in plan.jobs] == [[], runs[0], runs[1]]
    assert (
        plan.jobs[-1].makes == tuple(range(65)) if redo else plan.jobs[-1].known == tuple(runs[1])
    )


def test_a_cut_chain_leaves_out_what_lies_past_the_end():
    plan = plan_chain(Chain(5, (4, 4), frames=20, window=9))
    assert max(f for job in plan.jobs for f in job.frames) == 32  # two key gaps cover 20 frames
    assert [job.name for job in plan.jobs if job.level == 2] == [
        f"stage2-window{i:06d}" for i in range(3)
    ]


def test_windows_share_their_end_frames():
    plan = plan_chain(Chain(9, (4,), window=9))
    runs = [job for job in plan.jobs if job.level]
    assert [(job.frames[0], job.frames[-1]) for job in runs] == [
        (0, 8),
        (8, 16),
        (16, 24),
        (24, 32),
    ]


def test_a_frame_made_again_by_two_windows_is_kept_from_the_first():
    plan = plan_chain(Chain(5, (4,), window=9, redo=True))
    first, second = (job for job in plan.jobs if job.level)
    assert (
        8 in first.makes and 8 not in second.makes and [place(f, 17) for f in second.makes][0] == 8
    )


def test_an_extension_is_told_the_last_frames():
    plan = plan_extension(1, 7, 1, 20, inside=False)
    plan.check()
    assert [(job.known, len(job.makes)) for job in plan.jobs] == [((0,), 7), ((7,), 7), ((14,), 7)]
    plan = plan_extension(4, 7, 4, 13)
    plan.check()
    assert [(job.known, job.makes) for job in plan.jobs][1] == ((3, 4, 5, 6), (7, 8, 9))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Chain(1, (4,)), "keys is 1; interpolation needs at least 2"),
        (lambda: Chain(0, (4,)), "keys is 0"),
        (lambda: Chain(5, (4, 1)), "1 would add nothing"),
        (lambda: Chain(5, (4,), window=4), "already takes 5"),
        (lambda: Chain(5, (4,), frames=18), "give 17"),
        (lambda: plan_extension(1, 7, 2, 20), "overlap is 2"),
        (lambda: plan_extension(4, 4, 4, 20), "nothing would be added"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
