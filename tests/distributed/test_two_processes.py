"""Two real processes: the numbers of one, one decision together, and nothing left when one dies."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
from jobs import RANKS, launcher, listening, start, survivors
from training_toys import (
    ToyTask,
    graph_mode,  # noqa: F401
    same_bits,
    toy_options,
    toy_trainer,
    weights,
)

from mindlong.checkpoints import saved_steps, store
from mindlong.training import metrics
from mindlong.training.trainer import Trainer

SHARDED = {
    "batch_size": 7,
    "clip_norm": 0.5,
    "save_every": 6,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "no_decay": ["*.bias"],
}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """One job that goes through all cases that end by themselves."""
    folder = tmp_path_factory.mktemp("two")
    return ended("equal,stop,foreign,unsaved,unsaved_part,sharded", folder)


def ended(cases, folder):
    """The folder of a job that went through `cases`."""
    process, mark = start([*launcher(folder), str(RANKS), cases, str(folder)], folder)
    code = process.wait(timeout=300)
    output = (folder / "output.txt").read_text()
    assert code == 0, output
    time.sleep(0.5)
    assert survivors(mark) == []
    return folder


@pytest.fixture(scope="module")
def ranks(job):
    return [dict(np.load(job / f"rank{r}.npz")) for r in range(2)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same run by one process."""
    folder, task = tmp_path_factory.mktemp("one"), ToyTask()
    trainer = toy_trainer(folder, task, batch_size=7, clip_norm=0.5, save_every=6)
    trainer.run()
    moments = {f"optimizer/{k}": v for k, v in trainer.stepper.adam.state().items()}
    averages = {f"ema/{k}": v for k, v in trainer.ema.state().items()}
    return folder, weights(task.network) | moments | averages


def test_ranks_are_bit_equal(ranks):
    assert ranks[0].keys() == ranks[1].keys() and len(ranks[0]) == 41
    for name, value in ranks[0].items():
        assert name == "samples" or np.array_equal(
            value.view(np.int32), ranks[1][name].view(np.int32)
        ), name


def test_two_processes_equal_one_with_the_whole_batch(ranks, alone):
    for name, value in alone[1].items():
        np.testing.assert_allclose(ranks[0][name], value, rtol=0, atol=2e-6, err_msg=name)


def test_every_sample_is_trained_on_once(ranks):
    assert sorted([*ranks[0]["samples"], *ranks[1]["samples"]]) == list(range(12 * 7))
    assert [len(r["samples"]) for r in ranks] == [12 * 3, 12 * 4]


def test_metrics_are_those_of_one_process(job, alone):
    ours, theirs = (metrics.read(f / "metrics.csv") for f in (job / "run", alone[0]))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for column in ("loss", "grad_norm", "lr", "skipped"):
        np.testing.assert_allclose(
            [float(r[column]) for r in ours], [float(r[column]) for r in theirs], rtol=2e-6
        )


def test_one_process_goes_on_from_a_checkpoint_of_two(job, tmp_path):
    text = (job / "run" / "config.yaml").read_text()
    task, options = ToyTask(), toy_options(batch_size=7, clip_norm=0.5, save_every=6, steps=14)
    (tmp_path / "config.yaml").write_text(text)
    saved = store.load(saved_steps.latest(job / "run"))
    assert saved.state["world_size"] == 2
    store.save(tmp_path, 12, saved.files, saved.state)
    assert Trainer(task, options, tmp_path, config_text=text).run().step == 14
    assert task.asked == [(12, list(range(84, 91))), (13, list(range(91, 98)))]
    assert [row["step"] for row in metrics.read(tmp_path / "metrics.csv")] == ["13", "14"]


def test_sharded_moments_give_the_bits_of_whole_ones(job):
    for rank in range(2):
        whole, parts = (np.load(job / f"{name}{rank}.npz") for name in ("whole", "parts"))
        assert same_bits(dict(whole), dict(parts))
    kept = [read(job, f"kept_{name}") for name in ("whole", "parts")]
    assert [k["moments"] for k in kept[0]] == [10, 10] == [k["averages"] for k in kept[0]]
    assert sum(k["moments"] for k in kept[1]) == 10 == sum(k["averages"] for k in kept[1])
    assert all(k["moments"] for k in kept[1])
    seen = read(job, "previewed")[0]
    assert set(seen["whole"]) == {"6", "12"} and seen["whole"] == seen["parts"]
    assert read(job, "previewed")[1]["parts"] == {}


@pytest.mark.slow
def test_each_way_goes_on_from_the_others_checkpoint(tmp_path):
    folder = ended("sharded,exchanged", tmp_path)
    for rank in range(2):
        whole, on, back = (
            dict(np.load(folder / f"{name}{rank}.npz"))
            for name in ("whole", "whole then optimizer", "parts then none")
        )
        assert same_bits(on, back)
        assert not any(np.array_equal(on[key], whole[key]) for key in whole)


@pytest.mark.slow
def test_scattered_gradients_give_the_bits_of_whole_ones(tmp_path):
    """Also with moments and averages in host memory, and part by part of an accumulated batch."""
    pairs = [
        ("whole", "share"),
        ("whole", "share, host"),
        ("parts, whole", "parts, share"),
        ("whole, on", "share, host, on"),
    ]
    job = ended("scattered", tmp_path) / "scattered"
    for rank in range(2):
        found = {n: np.load(job / f"{n}{rank}.npz") for pair in pairs for n in pair}
        for one, other in pairs:
            for key in found[one]:
                assert np.array_equal(found[one][key], found[other][key]), (one, other, key)
        assert not np.array_equal(found["whole"]["last.weight"], found["whole, on"]["last.weight"])
    kept = [read(job, f"scattered_{name}") for name in ("whole", "share", "parts, share")]
    assert [k[0] for k in kept[0]] == [10, 10]
    for shares in kept[1:]:
        assert sum(k[0] for k in shares) == 10 and all(k[0] for k in shares)
    assert kept[0][0][1] == kept[1][0][1] and len(kept[0][0][1]) > 1


def test_each_process_writes_its_share_and_one_process_goes_on_from_them(job, tmp_path):
    whole, parts = (job / name / "checkpoints/step-00000012" for name in ("whole", "parts"))
    assert sorted(p.name for p in parts.glob("opt*")) == [
        "optimizer.part1of2.safetensors",
        "optimizer.part2of2.safetensors",
    ]
    one, two = store.load(whole).files, store.load(parts).files
    for name in ("network", "ema"):
        assert same_bits(one[name], two[name])
    halves = two["optimizer.part1of2"], two["optimizer.part2of2"]
    assert not set(halves[0]) & set(halves[1])
    assert same_bits(one["optimizer"], halves[0] | halves[1])
    ends = []
    for name, source in (("a", whole), ("b", parts)):
        shutil.copytree(source, tmp_path / name / "checkpoints" / source.name)
        task = ToyTask()
        toy_trainer(tmp_path / name, task, **SHARDED, steps=14, shard="optimizer").run()
        ends.append(weights(task.network))
    assert same_bits(*ends)


def test_a_share_that_one_process_cannot_write_fails_on_all(job):
    first, second = read(job, "unsaved_part")
    assert second.startswith("the disk is full")
    assert first.startswith("process 1 failed with saving the checkpoint of step 2: UserError: the")
    assert saved_steps.latest(job / "unsaved_part") is None


def read(job, name):
    return [json.loads((job / f"{name}{rank}.json").read_text()) for rank in range(2)]


def test_a_signal_to_one_rank_stops_both_after_the_same_step(job):
    (step0, why0), (step1, why1) = read(job, "stopped")
    assert step0 == step1 < 100 and (why0, why1) == ("another process", "SIGUSR1")
    assert saved_steps.latest(job / "stop").name == f"step-{step0:08d}"


def test_ranks_with_different_configurations_are_refused(job):
    for sentence in read(job, "foreign"):
        assert (
            "different configurations: train.lr (0.01 on process 0, 0.02 on process 1)" in sentence
        )


def test_a_save_that_fails_on_one_rank_fails_on_all(job):
    first, second = read(job, "unsaved")
    assert first.startswith("the disk is full")
    assert second.startswith(
        "process 0 failed with saving the checkpoint of step 2: UserError: the disk is full"
    )


def test_texts_are_gathered_by_rank(job):
    assert read(job, "gathered") == [["rank 0 says ü", "rank 1 says ü" * 2]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1])
def test_a_killed_rank_ends_the_job_and_leaves_nothing(tmp_path, victim):
    process, mark = start([*launcher(tmp_path), str(RANKS), "endless", str(tmp_path)], tmp_path)
    files = [tmp_path / f"pid{rank}" for rank in range(2)]
    deadline = time.monotonic() + 120
    while not all(f.exists() and f.read_text() for f in files):
        assert process.poll() is None and time.monotonic() < deadline, (
            tmp_path / "output.txt"
        ).read_text()
        time.sleep(0.1)
    pid, port = map(int, files[victim].read_text().split())
    assert listening(port)
    os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    code = process.wait(timeout=60)
    assert code != 0 and time.monotonic() - begun < 30
    while (survivors(mark) or listening(port)) and time.monotonic() - begun < 30:
        time.sleep(0.1)
    assert survivors(mark) == [] and not listening(port)
