"""Two real processes: the numbers of one, one decision together, and nothing left when one dies."""

import json
import os
import signal
import time

import numpy as np
import pytest
from jobs import RANKS, launcher, listening, start, survivors
from training_toys import ToyTask, graph_mode, toy_options, toy_trainer, weights  # noqa: F401

from mindlong.checkpoints import store
from mindlong.training import metrics
from mindlong.training.trainer import Trainer


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """One job that goes through all cases that end by themselves."""
    folder = tmp_path_factory.mktemp("two")
    process, mark = start(
        [*launcher(folder), str(RANKS), "equal,stop,foreign,unsaved", str(folder)], folder
    )
    code = process.wait(timeout=180)
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
    saved = store.load(store.latest(job / "run"))
    assert saved.state["world_size"] == 2
    store.save(tmp_path, 12, saved.files, saved.state)
    assert Trainer(task, options, tmp_path, config_text=text).run().step == 14
    assert task.asked == [(12, list(range(84, 91))), (13, list(range(91, 98)))]
    assert [row["step"] for row in metrics.read(tmp_path / "metrics.csv")] == ["13", "14"]


def read(job, name):
    return [json.loads((job / f"{name}{rank}.json").read_text()) for rank in range(2)]


def test_a_signal_to_one_rank_stops_both_after_the_same_step(job):
    (step0, why0), (step1, why1) = read(job, "stopped")
    assert step0 == step1 < 100 and (why0, why1) == ("another process", "SIGUSR1")
    assert store.latest(job / "stop").name == f"step-{step0:08d}"


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
