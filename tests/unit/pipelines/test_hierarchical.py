"""Diffusion over diffusion: what a run knows it keeps to the last bit, and nothing depends on who
made what when.
"""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rank_threads import on_ranks

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.sample import SampleOptions
from mindlong.diffusion import schedules
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.parameterise import target
from mindlong.pipelines.hierarchical.make import samples_of
from mindlong.pipelines.hierarchical.plan import work_of
from mindlong.pipelines.hierarchical.runs import Runs
from mindlong.pipelines.jobs import run_plan
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.prompts import Prompts
from mindlong.plans.hierarchy import jobs_for, plan_given, plan_hierarchical
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

SHAPE = (2, 3, 3)
NOISING = Noising(schedules.make("scaled_linear", 1000, start=0.00085, end=0.012), "v")
SAMPLE = SampleOptions(steps=4)


class Oracle:
    """Knows the truth: a straight line between the known frames; without any, an image that the
    prompt names.
    """

    def __init__(self):
        self.calls = []

    def denoiser(self, context, fps, clean, known, depth, image=True):
        self.calls.append(
            SimpleNamespace(context=context, fps=fps, known=known.copy(), depth=depth)
        )
        frames = known.shape[1]
        if known.any():
            places = np.flatnonzero(known[0])
            line = [
                np.interp(np.arange(frames), places, np.eye(len(places))[i])
                for i in range(len(places))
            ]
            truth = np.einsum("kf,bckhw->bcfhw", np.array(line), clean[:, :, places])
        else:
            steps = np.sin(np.arange(frames))[None, None, :, None, None]
            truth = np.broadcast_to(
                context.reshape(len(context), -1).mean(1)[:, None, None, None, None] + steps,
                clean.shape,
            )

        def model(x, t):
            level = NOISING.schedule.level(int(t[0]))
            alpha, sigma = np.float32(level.alpha), np.float32(level.sigma)
            return target("v", truth, (x - alpha * truth) / sigma, alpha, sigma).astype(np.float32)

        return model


class Noisy(Oracle):
    """No truth: an answer that depends on every input, row by row."""

    def denoiser(self, context, fps, clean, known, depth, image=True):
        self.calls.append(SimpleNamespace(context=context))
        told = (
            (clean * known[:, None, :, None, None]).mean((1, 2), keepdims=True)
            + context.mean() * 0
            + depth
        )
        return lambda x, t: (0.3 * x + 0.1 * told + 0.05 * np.float32(t[0]) / 1000).astype(
            np.float32
        )


class Unsure(Oracle):
    """Level 0 as the oracle; below it takes what it sees for the truth."""

    def denoiser(self, context, fps, clean, known, depth, image=True):
        return super().denoiser(context, fps, clean, known, depth) if not known.any() else self.same

    def same(self, x, t):
        level = NOISING.schedule.level(int(t[0]))
        return target("v", x * level.alpha, x * level.sigma, level.alpha, level.sigma).astype(
            np.float32
        )


def encode(prompts):
    return np.stack([np.full((3, 4), sum(map(ord, p)) % 7, np.float32) for p in prompts])


def made(folder, plan, network=None, rows=2, comm=None, rank=0, only=None, given=None, **more):
    store = LatentFolder(folder, plan, {"toy": 1}, rank)
    if given is not None:
        store.give(given)
    options = {"prompts": Prompts(plan, "a circle"), "seed": 5, **more}
    runs = Runs(network or Noisy(), encode, SAMPLE, NOISING, **options)
    for _ in run_plan(plan, store, runs, SHAPE, rows, comm, only):
        pass
    return store


def video(store):
    return store.frames(range(store.plan.frames))


@pytest.mark.parametrize("pin", ["each_step", "final"])
def test_an_oracle_makes_a_video_that_is_straight_between_key_frames(tmp_path, pin):
    plan = plan_hierarchical((5, 4, 3))
    film = video(made(tmp_path, plan, Oracle(), pin=pin))
    keys = film[list(plan.jobs[0].frames)]
    straight = np.stack(
        [np.interp(np.arange(25), plan.jobs[0].frames, k) for k in keys.reshape(5, -1).T], 1
    )
    assert np.abs(film - straight.reshape(film.shape)).max() < 1e-4
    assert np.abs(np.diff(keys[:, 0, 0, 0])).min() > 1e-2


def test_every_run_is_told_the_frames_of_the_level_above_and_keeps_their_bits(tmp_path):
    plan, network = plan_hierarchical((5, 4, 3)), Oracle()
    store = made(tmp_path, plan, network)
    for job in plan.jobs:
        if job.known:
            mine = np.load(tmp_path / "latents" / f"{job.name}.npy")
            assert len(mine) == len(job.frames) - 2
    assert not network.calls[0].known.any() and network.calls[0].depth == 0
    assert (
        network.calls[-1].known.tolist() == [[True, False, True]] * 2
        and network.calls[-1].depth == 2
    )
    known = store.known(plan.jobs[-1], SHAPE)
    assert np.array_equal(known[[0, 2]], store.frames([22, 24]))


def test_a_network_is_told_the_frame_rate_of_its_own_run(tmp_path):
    network = Oracle()
    made(tmp_path, plan_hierarchical((5, 4, 3)), network, fps=12.0)
    assert {call.depth: call.fps for call in network.calls} == {0: 2.0, 1: 6.0, 2: 12.0}


@pytest.mark.parametrize("rows", [1, 3, 5, 16])
def test_batches_change_nothing(tmp_path, rows):
    plan = plan_hierarchical((5, 4, 3))
    assert np.array_equal(
        video(made(tmp_path / "a", plan, rows=rows)), video(made(tmp_path / "b", plan))
    )


def test_two_processes_make_the_same_bits(tmp_path):
    plan = plan_hierarchical((5, 4, 3))
    Journal(tmp_path / "two", {"toy": 1})
    assert on_ranks(2, lambda rank, comm: made(tmp_path / "two", plan, comm=comm, rank=rank)) == [
        None,
        None,
    ]
    both = LatentFolder(tmp_path / "two", plan, {"toy": 1})
    assert np.array_equal(video(both), video(made(tmp_path / "one", plan)))
    assert all((tmp_path / "two" / f"journal-{rank:04d}.jsonl").stat().st_size for rank in range(2))


def test_a_truncated_video_is_the_beginning_of_the_whole(tmp_path):
    whole = video(made(tmp_path / "whole", plan_hierarchical((5, 4, 3))))
    for frames in (2, 11, 24):
        plan = plan_hierarchical((5, 4, 3), frames)
        plan.check()
        assert np.array_equal(video(made(tmp_path / str(frames), plan)), whole[:frames])


def test_a_part_is_a_slice_of_the_whole(tmp_path):
    plan = plan_hierarchical((5, 4, 3))
    whole = video(made(tmp_path / "whole", plan))
    part = made(tmp_path / "part", plan, only=jobs_for(plan, 7, 9))
    assert np.array_equal(part.frames([7, 8, 9]), whole[7:10]) and len(part.journal.done) < 8


@pytest.mark.parametrize(
    "given", [[0], [24], [0, 24], [0, 1, 2, 3, 4, 5, 6], [3], list(range(12, 25))]
)
def test_given_frames_are_returned_bit_by_bit_and_what_they_cover_is_not_made(tmp_path, given):
    plan = plan_given((5, 4, 3), given)
    plan.check()
    pictures = rng.normal((len(given), *SHAPE), 9, "given")
    network = Oracle()
    store = made(tmp_path, plan, network, given=pictures)
    assert np.array_equal(store.frames(given), pictures) and np.isfinite(video(store)).all()
    assert all(set(job.frames) - set(given) for job in plan.jobs)
    if 0 in given or 24 in given:
        assert network.calls[0].known.any()


def test_continuing_needs_fewer_runs_the_more_is_given():
    whole, some = plan_hierarchical((5, 4, 3)), plan_given((5, 4, 3), range(13))
    assert len(whole.jobs) == 17 and len(some.jobs) == 1 + 2 + 6
    with pytest.raises(ConfigError, match="frame 25 is given"):
        plan_given((5, 4, 3), [25])


def test_prompts_by_level_node_and_time(tmp_path):
    plan = plan_hierarchical((3, 3, 3))
    by = Prompts(plan, "all", {"1": "fine"}, {"1/1": "special", "2/0": "own"})
    said = {f"{j.level}/{j.node}": by.of(j)[0] for j in plan.jobs}
    assert said == {
        "0/0": "all",
        "1/0": "fine",
        "1/1": "special",
        "2/0": "own",
        "2/1": "all",
        "2/2": "special",
        "2/3": "special",
    }
    timed = Prompts(plan, scenes={"0-4": "day", "5-6": "night"})
    assert timed.of(plan.jobs[0]) == ["day", "day", "night"] and timed.changing()
    assert timed.of(plan.jobs[-1]) == ["night"] * 3
    network = Oracle()
    made(tmp_path, plan, network, prompts=timed)
    assert network.calls[0].context.shape == (1, 3, 3, 4)
    assert np.array_equal(network.calls[0].context[0], encode(["day", "day", "night"]))
    with pytest.raises(ConfigError, match="levels 0 to 2"):
        Prompts(plan, levels={"3": "x"})
    with pytest.raises(ConfigError, match="2 runs"):
        Prompts(plan, nodes={"1/2": "x"})


def test_guidance_leads_from_the_negative_prompt_and_keeps_what_is_known(tmp_path):
    plan, network = plan_hierarchical((3, 3)), Oracle()
    sample = replace(SAMPLE, guidance=3.0)
    store = LatentFolder(tmp_path, plan, {"toy": 1})
    runs = Runs(network, encode, sample, NOISING, Prompts(plan, "b"), negative="a")
    list(run_plan(plan, store, runs, SHAPE, 4))
    assert len(network.calls) == 4 and network.calls[2].known.any() and network.calls[3].known.any()
    assert np.array_equal(network.calls[1].context, encode(["a"]))


@pytest.mark.parametrize(
    ("keys", "frames", "runs"),
    [
        (["hierarchical.lengths=[16,16]"], 226, 16),
        (["hierarchical.lengths=[16,16,16]"], 3376, 241),
        (["hierarchical.lengths=[6,6,6,6,6]"], 3126, 781),
        (["frames=7776"], 7776, None),
        ([], 226, 16),
        (["frames=100"], 100, None),
    ],
)
def test_configurations_of_the_published_lengths_make_each_frame_once_in_under_a_second(
    keys, frames, runs
):
    config = load(None, ["pipeline=hierarchical", *keys], InferConfig).values
    start = time.process_time()
    work = work_of(config)
    work.plan.check()
    assert work.frames == frames and (runs is None or len(work.plan.jobs) == runs)
    assert time.process_time() - start < 1


def test_levels_have_their_own_steps_and_guidance(tmp_path):
    config = load(
        None,
        [
            "pipeline=hierarchical",
            "hierarchical.level_guidance=[2,1]",
            "hierarchical.level_steps=[5]",
        ],
        InferConfig,
    ).values
    samples = samples_of(config)
    assert [(s.steps, s.guidance) for s in samples] == [(5, 2), (5, 1)]
    alike = samples_of(load(None, ["sample.steps=3", "pipeline=hierarchical"], InferConfig).values)
    assert [(s.steps, s.guidance) for s in alike] == [(3, 1)]
    plan, network, steps = plan_hierarchical((3, 3, 3)), Noisy(), []
    store = LatentFolder(tmp_path, plan, {"toy": 1})
    runs = Runs(
        network,
        encode,
        samples,
        NOISING,
        Prompts(plan, "a"),
        callback=lambda step, total, x0: steps.append(total),
    )
    for _ in run_plan(plan, store, runs, SHAPE, 4):
        pass
    assert len(network.calls) == 4 and set(steps) == {
        5
    }  # guided, then twice unguided: one model each


def test_runs_of_little_strength_stay_near_the_blend_of_what_they_know(tmp_path):
    plan = plan_hierarchical((3, 5))
    level = NOISING.schedule.level(9)
    for name, strength, near in (("weak", [1, 0.01], True), ("full", [1], False)):
        store = made(tmp_path / name, plan, Unsure(), strength=strength)
        found = video(store)
        line = found[0] + (found[4] - found[0]) * (np.arange(5) / 4)[:, None, None, None]
        assert (np.abs(found[:5] - line).max() < 5 * float(level.sigma)) == near
        assert np.array_equal(
            found[[0, 4, 8]], video(made(tmp_path / "keys", plan, Unsure()))[[0, 4, 8]]
        )


@pytest.mark.parametrize(
    ("order", "known"), [("autoregressive", [(), (3, 4), (6, 7)]), ("independent", [(), ()])]
)
def test_orders_to_compare_with_make_every_frame_once(tmp_path, order, known):
    work = work_of(
        load(
            None,
            [
                "pipeline=hierarchical",
                "hierarchical.lengths=[5]",
                "frames=9",
                f"hierarchical.order={order}",
            ],
            InferConfig,
        ).values
    )
    work.plan.check()
    assert work.frames == 9 and [job.known for job in work.plan.jobs] == known
    assert video(made(tmp_path, work.plan)).shape == (9, *SHAPE)


def test_a_video_is_continued_at_either_end(tmp_path):
    from mindlong.media.write import write_video

    film = np.random.default_rng(0).integers(0, 255, (9, 16, 16, 3)).astype(np.uint8)
    write_video(tmp_path / "film.mp4", film, 8)
    keys = [
        "pipeline=hierarchical",
        "hierarchical.lengths=[5,4]",
        f"hierarchical.video={tmp_path / 'film.mp4'}",
    ]
    after = work_of(load(None, keys, InferConfig).values)
    assert after.plan.given == (0, 1, 2, 3) and after.source_frames() == [5, 6, 7, 8]
    assert (after.first, after.last, after.frames) == (4, 12, 18)
    before = work_of(
        load(
            None, [*keys, "hierarchical.extend=before", "hierarchical.overlap=1"], InferConfig
        ).values
    )
    assert (
        before.plan.given == (12,)
        and before.source_frames() == [0]
        and (before.first, before.last) == (0, 11)
    )
    with pytest.raises(ConfigError, match="leave out frames"):
        work_of(load(None, [*keys, "frames=5"], InferConfig).values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("level_steps", "[2, 2, 9]"),
        ("level_guidance", "[3.0, 1.0, 1.0, 1.0, 1.0]"),
        ("level_strength", "[1.0, 0.5, 0.5]"),
        ("level_seams", "['free', 'free', 'fade']"),
    ],
)
def test_lists_of_more_levels_than_there_are_are_refused(key, value):
    config = ["pipeline=hierarchical", f"hierarchical.{key}={value}"]
    with pytest.raises(ConfigError, match=f"{key} is .*; the plan has 2, so it takes at most 2"):
        work_of(load(None, [*config, "lengths=[4,4]"], InferConfig).values)
    assert work_of(load(None, [*config, "lengths=[4,4,4,4,4]"], InferConfig).values)
    assert work_of(load(None, [*config, "frames=16"], InferConfig).values), "a list for any length"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("hierarchical.part=[5,2]", "first, last"),
        ("hierarchical.node_prompts={a: b}", "level/number"),
        ("hierarchical.level_prompts={x: b}", "keys are levels"),
        ("hierarchical.scenes={1-3: b}", "frame 0"),
        ("hierarchical.lengths=[16,1]", "at least 2"),
        ("hierarchical.order=independent", "needs one length"),
        ("hierarchical.level_strength=[1,2]", "at most 1"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(key, said):
    with pytest.raises(ConfigError, match=said):
        load(None, ["pipeline=hierarchical", key], InferConfig)
