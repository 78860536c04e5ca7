"""The executor of interpolation chains, with small networks written here."""

import tracemalloc

import numpy as np
import pytest

from mindlong.config.sample import SampleOptions
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.schedules import scaled_linear
from mindlong.pipelines.interpolate.make import (
    HintedRuns,
    Rule,
    Stage,
    chain_of,
    finished,
    run_chain,
)
from mindlong.pipelines.jobs import level_batches, run_plan
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.plans.chain import Chain, place, plan_extension
from mindlong.utils.errors import ConfigError

SHAPE = (2, 3, 4)
SCHEDULE = scaled_linear(50)


def believes_hints(x, t, fps):
    """A network that says x0 is the hint: channels are latents, mask, hint."""
    return x[:, SHAPE[0] + 1 :]


def smooths(x, t, fps):
    """One that mixes neighbours in time: each frame depends on all its window."""
    latents = x[:, : SHAPE[0]]
    return 0.5 * latents + 0.5 * latents.mean(2, keepdims=True) + 0.1 * x[:, SHAPE[0] + 1 :]


def ramp(chain, calls=None):
    """Key frames that hold their own place."""

    def keys(batch, known):
        if calls is not None:
            calls.append(batch.level)
        places = [[place(f, chain.total) for f in job.frames] for job in batch.jobs]
        return np.broadcast_to(
            np.array(places, np.float32)[:, :, None, None, None], (*np.shape(places), *SHAPE)
        ).copy()

    return keys


def run(tmp, chain, stage, name="video", rows=1, **options):
    chain, plan = chain_of(chain, [stage] * len(chain.factors))
    folder = LatentFolder(tmp / name, plan, {"name": name})
    list(
        run_chain(
            chain,
            [stage] * len(chain.factors),
            ramp(chain),
            folder,
            SHAPE,
            fps=8,
            rows=rows,
            **options,
        )
    )
    return np.concatenate(list(finished(folder)))


def stage(predict=believes_hints, steps=4, eta=0.0, hinted=True, **rule):
    return Stage(
        predict, Noising(SCHEDULE, "x0"), Rule(**rule), SampleOptions(steps=steps, eta=eta), hinted
    )


@pytest.mark.parametrize("pin", ["none", "final", "each_step"])
def test_5_to_17_to_65_with_published_hints_is_a_staircase(tmp_path, pin):
    video = run(tmp_path, Chain(5, (4, 4)), stage(pin=pin))
    assert video.shape == (65, *SHAPE)
    np.testing.assert_allclose(video[:, 0, 0, 0], 16 * (np.arange(65) // 16), atol=1e-3)


def test_linear_hints_that_are_believed_are_linear_blending(tmp_path):
    video = run(tmp_path, Chain(5, (4, 4)), stage(hint="linear", pin="final"))
    np.testing.assert_allclose(video[:, 0, 0, 0], np.arange(65), atol=1e-3)


@pytest.mark.parametrize("pin", ["final", "each_step"])
def test_pinned_key_frames_are_bit_equal(tmp_path, pin):
    video = run(tmp_path, Chain(5, (4, 4)), stage(smooths, pin=pin))
    assert np.array_equal(video[::16, 0, 0, 0], np.arange(0, 65, 16, dtype=np.float32))
    assert len(np.unique(video)) > 1000


def test_frames_made_again_drift_when_nothing_pins_them(tmp_path):
    video = run(tmp_path, Chain(5, (4, 4)), stage(smooths))
    assert not np.isclose(video[::16, 0, 0, 0], np.arange(0, 65, 16)).all()


def test_the_network_sees_pinned_frames_at_their_noise_level(tmp_path):
    seen = []

    def watches(x, t, fps):
        seen.append((int(t[0]), x[0, : SHAPE[0], ::4].copy()))
        return smooths(x, t, fps)

    run(tmp_path, Chain(5, (4,)), stage(watches, steps=10, pin="each_step"))
    keys = np.broadcast_to(
        np.arange(0, 17, 4, dtype=np.float32)[None, :, None, None], seen[0][1].shape
    )
    for t, latents in seen:
        level = SCHEDULE.level(t)
        spread = (latents - level.signal * keys).std()
        assert spread == pytest.approx(level.sigma, rel=0.35), t


@pytest.mark.parametrize(
    ("frames", "window", "chunk"), [(62, 0, 0), (65, 9, 2), (40, 17, 3), (2, 0, 0)]
)
def test_any_length_and_any_window(tmp_path, frames, window, chunk):
    chain = Chain(5, (4, 4), frames, window, chunk=chunk)
    video = run(tmp_path, chain, stage(hint="linear", pin="each_step"))
    np.testing.assert_allclose(video[:, 0, 0, 0], np.arange(frames), atol=1e-3)


def test_a_network_without_hints_serves_with_its_frames_pinned(tmp_path):
    plain = stage(
        lambda x, t, fps: 0.9 * x + 0.1 * x.mean(2, keepdims=True), hinted=False, pin="each_step"
    )
    video = run(tmp_path, Chain(3, (4,)), plain)
    assert np.array_equal(video[::4, 0, 0, 0], [0, 4, 8])
    with pytest.raises(ConfigError, match="reads no hints"):
        stage(hinted=False)


def test_batches_change_nothing_but_the_grouping(tmp_path):
    chain = Chain(9, (4,), window=9)
    one, four = (
        run(tmp_path, chain, stage(smooths, pin="each_step"), f"rows{rows}", rows)
        for rows in (1, 4)
    )
    assert np.array_equal(one, four)


def test_a_killed_run_goes_on_and_ends_bit_equal(tmp_path):
    chain, plan = chain_of(Chain(9, (2, 2), window=5), [stage(smooths)] * 2)
    whole = run(tmp_path, chain, stage(smooths), "whole")
    calls = []

    def dies(x, t, fps):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return smooths(x, t, fps)

    for attempt, network in enumerate((dies, smooths)):
        folder, stages = (
            LatentFolder(tmp_path / "killed", plan, {"name": "killed"}),
            [stage(network)] * 2,
        )
        fresh = []
        try:
            list(
                run_chain(
                    chain,
                    stages,
                    ramp(chain),
                    folder,
                    SHAPE,
                    fps=8,
                    notice=lambda b, new, f=fresh: f.append(new),
                )
            )
        except KeyboardInterrupt:
            assert attempt == 0
    assert fresh.count(False) >= 2 and np.array_equal(np.concatenate(list(finished(folder))), whole)


def test_each_level_is_told_its_own_frame_rate(tmp_path):
    told = set()

    def listens(x, t, fps):
        told.add((x.shape[2], fps))
        return believes_hints(x, t, fps)

    run(tmp_path, Chain(5, (4, 4)), stage(listens))
    assert told == {(17, 2.0), (65, 8.0)}


def test_shared_noise_is_one_picture_for_all_frames(tmp_path):
    def still(x, t, fps):
        return np.zeros_like(x[:, : SHAPE[0]])

    runs = [
        HintedRuns(
            lambda level, s=s: stage(still, eta=1.0, shared_noise=s), 5, lambda level: 8.0, False
        )
        for s in (True, False)
    ]
    chain, plan = chain_of(Chain(2, (4,)), [stage()])
    batch = level_batches(list(plan.levels())[1][1], 1)[0]
    shared, own = (r._step_noise(r.stage_of(1), batch, np.arange(2, 7), SHAPE, 3) for r in runs)
    assert shared.shape == (1, SHAPE[0], 1, *SHAPE[1:]) and own.shape == (
        1,
        SHAPE[0],
        5,
        *SHAPE[1:],
    )
    assert len({own[0, 0, f, 0, 0] for f in range(5)}) == 5


@pytest.mark.parametrize("inside", [False, True])
def test_a_video_is_continued_from_its_first_frame(tmp_path, inside):
    """With hints believed, every new frame repeats the last given one, run after run."""
    plan = plan_extension(1, 5, 1, 12, inside)
    folder = LatentFolder(tmp_path / "longer", plan, {})
    folder.give(np.full((1, *SHAPE), 7, np.float32))
    runs = HintedRuns(lambda level: stage(pin="final"), 10**6, lambda level: 8.0, inside)
    list(run_plan(plan, folder, runs, SHAPE))
    video = np.concatenate(list(finished(folder)))
    assert video.shape == (12, *SHAPE)
    np.testing.assert_allclose(video, 7, atol=1e-3)


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Peak of numpy's and Python's memory over a chain of 41 and of 321 key frames, in windows of 9
    frames.
    """
    shape, peaks = (2, 48, 48), []
    for keys in (41, 321):
        chain, plan = chain_of(Chain(keys, (4,), window=9, chunk=8), [stage(pin="final", steps=1)])

        def make(batch, known):
            return np.zeros((len(batch.jobs), len(batch.jobs[0].frames), *shape), np.float32)

        tracemalloc.start()
        folder = LatentFolder(tmp_path / str(keys), plan, {})
        list(
            run_chain(
                chain,
                [
                    Stage(
                        lambda x, t, fps: x[:, :2],
                        Noising(SCHEDULE, "x0"),
                        Rule(pin="final"),
                        SampleOptions(steps=1),
                    )
                ],
                make,
                folder,
                shape,
                fps=8,
            )
        )
        assert sum(len(part) for part in finished(folder)) == chain.total
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 3e6 and peaks[0] < 2e7  # all latents of the longer one are 24 MB


def test_rules_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="pin is 'always'"):
        Rule(pin="always")
    with pytest.raises(ConfigError, match="2 stages were given"):
        chain_of(Chain(5, (4,)), [stage()] * 2)
    with pytest.raises(ConfigError, match="pin must be none for all"):
        chain_of(Chain(5, (4, 4)), [stage(), stage(pin="final")])
