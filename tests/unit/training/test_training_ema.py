"""Averaged weights: the configured numbers, at the configured steps, under the network's names."""

import numpy as np
import pytest
from mindspore import Tensor
from training_toys import Given, ToyTask, same_bits, toy_trainer, weights

from mindlong.config.train_options import TrainOptions
from mindlong.training.ema import Ema

MODE = "pynative"


def scripted(every, start, decay=0.9, steps=9):
    """The averages after each step while the weight walks 1, 2, 4, 7, 11, ..."""
    network = Given({"w": np.array([1.0, -1.0], np.float32)})
    ema = Ema(
        network.trainable_params(), TrainOptions(ema_decay=decay, ema_every=every, ema_start=start)
    )
    seen, walk = [], np.array([1.0, -1.0], np.float32)
    for step in range(1, steps + 1):
        walk = walk + np.float32(step)
        network.held[0].set_data(Tensor(walk))
        ema.update(step)
        seen.append(np.array(ema.state()["w"]))
    return seen


@pytest.mark.parametrize("every, start", [(1, 0), (3, 0), (1, 4), (2, 5)])
def test_averages_follow_the_formula(every, start):
    expected, average, walk = [], np.array([1.0, -1.0]), np.array([1.0, -1.0])
    for step in range(1, 10):
        walk = walk + step
        if step % every == 0:
            average = walk if step <= start else 0.9 * average + 0.1 * walk
        expected.append(average)
    np.testing.assert_allclose(scripted(every, start), expected, rtol=1e-6)


def test_the_copies_before_the_start_are_exact():
    seen = scripted(every=1, start=4)
    assert [float(a[0]) for a in seen[:4]] == [2.0, 4.0, 7.0, 11.0]
    assert seen[4][0] == pytest.approx(0.9 * 11 + 0.1 * 16)


@pytest.mark.slow
def test_previews_see_the_averages_and_training_does_not(tmp_path):
    task, alone = ToyTask(), ToyTask()
    with_previews = toy_trainer(tmp_path / "a", task, preview_every=4)
    with_previews.run()
    toy_trainer(tmp_path / "b", alone).run()
    assert same_bits(weights(task.network), weights(alone.network))
    assert sorted(task.previewed) == [4, 8, 12]
    assert (tmp_path / "a" / "previews" / "12.txt").read_text() == "seen"
    assert np.array_equal(task.previewed[12], with_previews.ema.state()["last.weight"])
    assert not np.array_equal(task.previewed[12], weights(task.network)["last.weight"])


def test_without_averages_none_are_kept(tmp_path):
    task = ToyTask()
    trainer = toy_trainer(tmp_path, task, steps=1, ema_decay=0.0, preview_every=1)
    folder = trainer.run().checkpoint
    assert not (folder / "ema.safetensors").exists() and (folder / "network.safetensors").exists()
    assert np.array_equal(task.previewed[1], weights(task.network)["last.weight"])
