"""Clip-parallel sampling in two real processes: bit for bit what simulated ranks give, and what is
sent is what was planned.
"""

import functools
import json
import os
import signal
import time

import cogvideox_clip_toys as joint_toys
import numpy as np
import pytest
from clip_toys import eager, inputs, layout, run, tiny_unet  # noqa: F401
from jobs import launcher, listening, start, survivors

from mindlong.diffusion.samplers import sampler
from mindlong.diffusion.schedules import scaled_linear
from mindlong.networks.cogvideox.sharded_cell import ShardedCogVideoX
from mindlong.networks.cogvideox.traffic import sites as joint_sites
from mindlong.networks.unet.sharded_cell import ShardedUNet
from mindlong.networks.unet.traffic import sites
from mindlong.parallel import halo
from mindlong.parallel.volume import rank_bytes
from mindlong.pipelines.clip_parallel.make import ClipParallel
from mindlong.utils import rng

RANKS = __file__.replace("test_clip_parallel", "clip_ranks")
LENGTHS, STEPS = (5, 3, 4), 2


def ended(cases, folder):
    """The folder of a job of two processes that went through `cases`."""
    process, _ = start([*launcher(folder), RANKS, cases, str(folder)], folder)
    assert process.wait(timeout=400) == 0, (folder / "output.txt").read_text()
    return folder


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """By the way to swap that is taken on one machine."""
    return ended("shared", tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def other_job(tmp_path_factory):
    """By the ways between machines, and by all of them what is timed and what is one sequence."""
    return ended("others,messages,joint", tmp_path_factory.mktemp("others"))


@functools.cache
def simulated(ranks, lengths=LENGTHS):
    """The same sampling run with simulated ranks."""
    network, clips = ShardedUNet(tiny_unet()), layout(lengths)
    _, _, context, fps = inputs()

    def rows(*key):
        return rng.normal_rows(list(range(12)), (4, 4, 6), 3, *key).transpose(1, 0, 2, 3)[None]

    return sampler("dpm_solver_sde")(
        lambda x, t: run(network, clips, ranks, x, t, context, fps),
        rows("x"),
        scaled_linear(),
        STEPS,
        noise=lambda step: rows("n", step),
    )


@pytest.fixture
def want(eager):  # noqa: F811
    return simulated(2)


def read(job, swaps):
    return [np.load(job / f"{swaps}{rank}.npz") for rank in range(2)]


def same(ranks, want):
    assert [list(r["frames"]) for r in ranks] == [[0, 8], [8, 12]]
    assert np.array_equal(np.concatenate([r["out"] for r in ranks], 2), want)


def test_two_processes_give_simulated_ranks_bits(job, want):
    same(read(job, "shared"), want)


@pytest.mark.slow
@pytest.mark.parametrize("swaps", ["gather", "pairs"])
def test_so_they_do_by_every_way_to_swap(other_job, want, swaps):
    same(read(other_job, swaps), want)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("lengths", [(12,), pytest.param((2,) * 6, marks=pytest.mark.slow)])
def test_a_whole_run_is_that_of_one_clip(want, lengths):
    out = simulated(len(lengths), lengths)
    assert np.abs(out - want).max() <= 1e-5 * want.std()


def test_bytes_sent_are_those_of_the_plan(job):
    sent_as_planned(read(job, "shared"))


@pytest.mark.slow
def test_they_are_by_a_gathering_too(other_job):
    sent_as_planned(read(other_job, "gather"))


def sent_as_planned(ranks):
    spec, held = tiny_unet().spec, halo.deal(3, 2)
    for rank, found in enumerate(ranks):
        assert int(found["sent"]) == STEPS * rank_bytes(
            sites(spec, (4, 6)), layout(LENGTHS), held, rank
        )


@pytest.mark.slow
def test_text_and_video_in_one_sequence_over_two_processes(other_job, eager):  # noqa: F811
    network, clips = ShardedCogVideoX(joint_toys.tiny()), joint_toys.layout_of([2, 3, 2])
    x, t, context = joint_toys.inputs()
    want = ClipParallel(network, clips).predict(x, t, context)
    places, held = list(joint_sites(joint_toys.SPEC, joint_toys.SIZE)), halo.deal(3, 2)
    for swaps in ("shared", "gather", "pairs"):
        ranks = [np.load(other_job / f"joint-{swaps}{rank}.npz") for rank in range(2)]
        assert np.array_equal(np.concatenate([r["out"] for r in ranks], 2), want), swaps
        for rank, found in enumerate(ranks):
            assert int(found["sent"]) == rank_bytes(places, clips, held, rank)


@pytest.mark.slow
def test_all_ways_to_swap_were_timed(other_job):
    found = json.loads((other_job / "messages0.json").read_text())
    assert len(found) == 6 and all(seconds > 0 for seconds in found.values())


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_and_leaves_nothing(tmp_path):
    process, mark = start([*launcher(tmp_path), RANKS, "endless", str(tmp_path)], tmp_path)
    files = [tmp_path / f"pid{rank}" for rank in range(2)]
    deadline = time.monotonic() + 300
    while not all(f.exists() and f.read_text() for f in files):
        assert process.poll() is None and time.monotonic() < deadline, (
            tmp_path / "output.txt"
        ).read_text()
        time.sleep(0.1)
    pid, port = map(int, files[1].read_text().split())
    os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    assert process.wait(timeout=60) != 0 and time.monotonic() - begun < 30
    while (survivors(mark) or listening(port)) and time.monotonic() - begun < 30:
        time.sleep(0.1)
    assert survivors(mark) == [] and not listening(port)
