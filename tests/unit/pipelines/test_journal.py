"""The journal of a long video: what is done stays done, what is torn is made again, nothing depends
on who did it.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rank_threads import on_ranks

from mindlong.pipelines.jobs import count_batches, level_batches, run_plan
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.plans.hierarchy import (
    jobs_for,
    plan_between,
    plan_hierarchical,
    plan_interpolation,
)
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError, InputFileError, UserError

SHAPE = (2, 3, 3)
IDENTITY = {"seed": 1, "lengths": [5, 4]}


def halfway(batch, known_BFCHW):
    """A run that mixes its known frames with noise of its own; rows must not see each other."""
    out = []
    for job, known in zip(batch.jobs, known_BFCHW, strict=True):
        noise = rng.normal(known.shape, 3, "toy", job.name)
        out.append(noise + known.mean(axis=0, keepdims=True))
    return np.stack(out)


def finished(folder, plan, rows=2, **more):
    store = LatentFolder(folder, plan, IDENTITY)
    for _ in run_plan(plan, store, halfway, SHAPE, rows, **more):
        pass
    return store


def video(store):
    return store.frames(range(store.plan.frames))


def test_end_frames_are_the_parents_bits(tmp_path):
    plan = plan_hierarchical((5, 4))
    store = finished(tmp_path, plan)
    keys = np.load(tmp_path / "latents" / "level0-node000000.npy")
    assert np.array_equal(store.frames(plan.jobs[0].frames), keys)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_the_size_of_a_batch_changes_nothing(tmp_path, rows):
    plan = plan_hierarchical((5, 4, 3), 21)
    assert np.array_equal(
        video(finished(tmp_path / "a", plan)), video(finished(tmp_path / "b", plan, rows))
    )


def test_a_second_run_does_nothing_again(tmp_path):
    plan, calls = plan_hierarchical((5, 4, 3)), []
    before = video(finished(tmp_path, plan, notice=lambda batch, fresh: calls.append(fresh)))
    assert all(calls) and len(calls) == count_batches(plan, 2)
    calls.clear()
    again = finished(tmp_path, plan, notice=lambda batch, fresh: calls.append(fresh))
    assert not any(calls) and np.array_equal(video(again), before)


@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path, stop):
    plan, done = plan_hierarchical((5, 4, 3)), []

    def breaks(batch, known):
        if len(done) == stop:
            raise UserError("power cut")
        done.append(batch.number)
        return halfway(batch, known)

    store = LatentFolder(tmp_path / "a", plan, IDENTITY)
    with pytest.raises(UserError, match="power cut"):
        list(run_plan(plan, store, breaks, SHAPE, 2))
    fresh = []
    again = finished(tmp_path / "a", plan, notice=lambda batch, new: fresh.append(new))
    assert fresh.count(False) == stop
    assert np.array_equal(video(again), video(finished(tmp_path / "b", plan)))


@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_file_is_made_again(tmp_path, harm):
    plan = plan_hierarchical((5, 4))
    before = video(finished(tmp_path, plan))
    path = tmp_path / "latents" / "level1-node000002.npy"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.unlink()
    if harm != "remove":
        path.write_bytes(data if harm == "flip" else data[:-7])
    fresh = []
    again = finished(tmp_path, plan, rows=1, notice=lambda batch, new: fresh.append(new))
    assert fresh.count(True) == 1 and np.array_equal(video(again), before)


def test_damage_while_running_names_the_file(tmp_path):
    plan = plan_hierarchical((5, 4))
    store = finished(tmp_path, plan)
    (tmp_path / "latents" / "level1-node000001.npy").write_bytes(b"no array")
    with pytest.raises(InputFileError, match="level1-node000001.npy"):
        LatentFolder.frames(store, range(13))


def test_a_torn_line_is_no_line_and_the_next_stands_by_itself(tmp_path):
    journal = Journal(tmp_path, IDENTITY)
    journal.add("one", crc=1)
    with journal.own.open("a") as file:
        file.write('{"job": "tw')
    again = Journal(tmp_path, IDENTITY)
    again.add("three", crc=3)
    assert sorted(Journal(tmp_path, IDENTITY).done) == ["one", "three"]


def test_the_folder_of_another_video_is_refused(tmp_path):
    Journal(tmp_path, IDENTITY)
    with pytest.raises(ConfigError, match=r"another video: seed is 1 there and 2 here"):
        Journal(tmp_path, {**IDENTITY, "seed": 2})
    with pytest.raises(ConfigError, match=r"steps is null there and 5 here"):
        Journal(tmp_path, {**IDENTITY, "steps": 5})


@pytest.mark.parametrize("damage", ["{", "", "[]", "\x00\x01"])
def test_a_damaged_work_json_costs_nothing_and_mixes_nothing(tmp_path, caplog, damage):
    Journal(tmp_path, IDENTITY).add("mine", crc=1)
    with (tmp_path / "journal-0001.jsonl").open("w") as file:
        file.write('{"job": "nobody knows whose", "crc": 2}\n')
        file.write('{"job": "of another video", "crc": 3, "work": "0123456789abcdef"}\n')
    assert sorted(Journal(tmp_path, IDENTITY).done) == ["mine", "nobody knows whose"]
    (tmp_path / "work.json").write_text(damage)
    assert sorted(Journal(tmp_path, IDENTITY).done) == ["mine"]
    assert "work.json is damaged" in caplog.text
    assert json.loads((tmp_path / "work.json").read_text()) == IDENTITY


def test_any_range_equals_its_part_of_the_whole(tmp_path):
    plan = plan_hierarchical((5, 4, 3))
    whole = video(finished(tmp_path / "whole", plan, rows=3))
    for first, last in ((0, 0), (5, 7), (11, 20), (24, 24)):
        names = jobs_for(plan, first, last)
        part = finished(tmp_path / f"{first}", plan, rows=3, only=names)
        assert np.array_equal(part.frames(range(first, last + 1)), whole[first : last + 1])
        assert set(part.journal.done) == names
    assert len(jobs_for(plan, 5, 5)) <= 3 and not LatentFolder(
        tmp_path / "5", plan, IDENTITY
    ).has_frame(23)
    with pytest.raises(ConfigError, match="range"):
        jobs_for(plan, 3, 25)


def test_given_frames_are_there_before_the_first_job(tmp_path):
    plan = plan_between((4, 3), (0, -1))
    store = LatentFolder(tmp_path, plan, IDENTITY)
    given = rng.normal((2, *SHAPE), 5, "given")
    store.give(given)
    list(run_plan(plan, store, halfway, SHAPE, 2))
    assert np.array_equal(store.frames([0, 6]), given)
    with pytest.raises(ConfigError, match="3 frames were given"):
        store.give(rng.normal((3, *SHAPE), 5, "given"))


def test_batches_hold_equal_runs_and_the_last_is_filled_up():
    plan = plan_interpolation(8, (2, 3), window=7)
    for _, jobs in plan.levels():
        batches = level_batches(jobs, 2)
        assert [
            job
            for batch in batches
            for job, real in zip(batch.jobs, batch.wanted, strict=True)
            if real
        ] == jobs
        assert all(len({len(job.frames) for job in batch.jobs}) == 1 for batch in batches)
        assert all(
            batch.known.shape == (len(batch.jobs), len(batch.jobs[0].frames)) for batch in batches
        )
    with pytest.raises(ConfigError, match="batch is 0"):
        level_batches(plan.jobs, 0)


def test_only_a_few_files_are_held(tmp_path):
    store = finished(tmp_path, plan_hierarchical((9, 5)))
    video(store)
    assert len(store._files) == store.held


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_make_the_same_bits_and_each_job_once(tmp_path, size):
    plan = plan_hierarchical((5, 4, 3))

    Journal(tmp_path / "many", IDENTITY)

    def run(rank, comm):
        store = LatentFolder(tmp_path / "many", plan, IDENTITY, rank)
        list(run_plan(plan, store, halfway, SHAPE, 2, comm))

    assert on_ranks(size, run) == [None] * size
    lines = [
        line
        for path in (tmp_path / "many").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    names = [json.loads(line)["job"] for line in lines]
    assert sorted(names) == sorted(job.name for job in plan.jobs)
    one = finished(tmp_path / "one", plan)
    assert np.array_equal(video(one), video(LatentFolder(tmp_path / "many", plan, IDENTITY)))


def test_when_one_process_fails_all_stop_and_say_why(tmp_path):
    plan = plan_hierarchical((5, 4, 3))
    Journal(tmp_path, IDENTITY)

    def run(rank, comm):
        def work(batch, known):
            if rank == 1:
                raise UserError("out of memory")
            return halfway(batch, known)

        list(run_plan(plan, LatentFolder(tmp_path, plan, IDENTITY, rank), work, SHAPE, 2, comm))

    first, second = on_ranks(2, run)
    assert (
        isinstance(second, UserError) and isinstance(first, UserError) and "process 1" in str(first)
    )


CHILD = """
import os, sys
sys.path[:0] = {tests!r}
import test_journal as t
plan = t.plan_hierarchical((5, 4, 3))
left = [5]
def work(batch, known):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    return t.halfway(batch, known)
list(t.run_plan(plan, t.LatentFolder({folder!r}, plan, t.IDENTITY), work, t.SHAPE, 2))
"""


def test_kill_9_in_the_middle_then_the_same_bits(tmp_path):
    code = CHILD.format(
        tests=[str(p) for p in Path(__file__).parents[:2]], folder=str(tmp_path / "killed")
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    plan, fresh = plan_hierarchical((5, 4, 3)), []
    again = finished(tmp_path / "killed", plan, notice=lambda batch, new: fresh.append(new))
    assert fresh.count(False) == 4
    assert np.array_equal(video(again), video(finished(tmp_path / "whole", plan)))


@pytest.mark.parametrize("place", range(0, 128, 5))
def test_any_bit_of_a_file_may_flip_and_the_job_is_made_again(tmp_path, caplog, place):
    plan = plan_hierarchical((5, 4))
    before = video(finished(tmp_path, plan))
    path = tmp_path / "latents" / "level1-node000002.npy"
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << place % 8
    path.write_bytes(data)
    again = finished(tmp_path, plan, rows=1)
    assert np.array_equal(video(again), before)
    assert path.name in caplog.text or place in (124, 125), "said, unless it was the padding"


def test_a_journal_can_remove_nothing_but_jobs_of_its_plan(tmp_path):
    plan = plan_hierarchical((5, 4))
    finished(tmp_path / "run", plan)
    (tmp_path / "precious.npy").write_bytes(b"mine")
    with (tmp_path / "run/journal-0000.jsonl").open("a") as file:
        file.write('{"job": "../../precious", "crc": 1}\n')
    LatentFolder(tmp_path / "run", plan, IDENTITY)
    assert (tmp_path / "precious.npy").read_bytes() == b"mine"
