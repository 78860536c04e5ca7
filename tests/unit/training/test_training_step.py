"""One update: accumulation, loss scale, precision, recomputation, frozen parameters, modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from training_toys import (
    SquareLoss,
    ToyTask,
    graph_mode,  # noqa: F401  (a fixture that every test uses)
    same_bits,
    toy_options,
    toy_trainer,
    weights,
)

from mindlong.training.fetch import share
from mindlong.training.step import Stepper
from mindlong.training.task import select
from mindlong.utils.errors import ConfigError


def trained(tmp_path, name, steps=3, task=None, **options):
    """The updates and the weights after `steps` steps of a toy."""
    task = task or ToyTask()
    stepper = toy_trainer(tmp_path / name, task, **options).stepper
    size = options.get("batch_size", 6)
    updates = [stepper(step, task.inputs(step, share(step, size, 0, 1))) for step in range(steps)]
    return updates, weights(task.network)


@pytest.mark.parametrize(  # 7 samples: parts of 4 and 3; of 2, 2, 2 and 1
    "parts", [pytest.param(2, marks=pytest.mark.slow), 4]
)
def test_accumulation_equals_the_big_batch(tmp_path, parts):
    whole, expected = trained(tmp_path, "whole", batch_size=7, clip_norm=0.5)
    cut, got = trained(tmp_path, "cut", batch_size=7, clip_norm=0.5, accumulate=parts)
    for a, b in zip(whole, cut, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=1e-6) and b.norm == pytest.approx(
            a.norm, rel=1e-6
        )
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=2e-6)


def test_operator_by_operator_gives_the_graphs_numbers(tmp_path):
    options = {"clip_norm": 0.5, "optimizer": "adamw", "weight_decay": 0.1}
    graph, expected = trained(tmp_path, "graph", **options)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        eager, got = trained(tmp_path, "eager", **options)
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    assert [u.loss for u in eager] == pytest.approx([u.loss for u in graph], rel=1e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=2e-6)


class Steep(nn.Cell):
    """Its gradient in half precision is the loss scale times 16, and no longer a number from a
    scale of 4096 on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.w = Parameter(Tensor([1.0], ms.float32), name="w")

    def construct(self, x):
        return (x * self.w.astype(ms.float16)).astype(ms.float32)


class MeanLoss(SquareLoss):
    def construct(self, x):
        return self.network(x).mean()


def test_overflowing_updates_are_skipped_counted_and_change_nothing():
    network = Steep()
    options = toy_options(
        batch_size=1, precision="fp16", loss_scale=16384.0, loss_scale_every=3, lr=0.1
    )
    stepper = Stepper(MeanLoss(network), network.trainable_params(), options)
    x = [np.full((1, 1), 16.0, np.float16)]
    start = weights(network)
    first = [stepper(step, x) for step in range(3)]  # scales 16384, 8192, 4096
    assert (
        [u.skipped for u in first] == [True] * 3 and stepper.skipped == 3 and stepper.updates == 0
    )
    assert same_bits(weights(network), start) and not any(
        m.any() for m in stepper.adam.state().values()
    )
    later = [stepper(step, x) for step in range(3, 7)]  # 2048 three times, then 4096 again
    assert [u.skipped for u in later] == [False] * 3 + [True] and stepper.updates == 3
    assert stepper.scale == 2048.0 and stepper.skipped == 4
    assert [u.norm for u in later[:3]] == [16.0] * 3  # unscaled
    assert network.w.asnumpy()[0] == pytest.approx(
        0.7, abs=1e-5
    )  # three full steps of Adam, none of the skipped ones


def test_counters_survive_a_checkpoint():
    network = Steep()
    stepper = Stepper(
        MeanLoss(network), network.trainable_params(), toy_options(batch_size=1, precision="fp16")
    )
    stepper(0, [np.full((1, 1), 16.0, np.float16)])
    other = Stepper(
        MeanLoss(network), network.trainable_params(), toy_options(batch_size=1, precision="fp16")
    )
    other.restore(stepper.state())
    assert (
        other.state()
        == stepper.state()
        == {"updates": 0, "skipped": 1, "clean": 0, "scale": 32768.0, "scaled": 1}
    )


def test_half_precision_reaches_the_network_and_not_the_weights(tmp_path):
    (full, *_), _ = trained(tmp_path, "fp32", steps=1)
    (half, *_), after = trained(tmp_path, "fp16", steps=1, precision="fp16", loss_scale=1.0)
    assert 1e-6 < abs(half.loss / full.loss - 1) < 5e-3
    assert all(v.dtype == np.float32 for v in after.values())


def test_recomputation_keeps_the_bits(tmp_path):
    plain, expected = trained(tmp_path, "plain")
    again, got = trained(tmp_path, "again", recompute=True)
    assert [u.loss for u in plain] == [u.loss for u in again] and same_bits(expected, got)


def test_recomputation_wants_blocks(tmp_path):
    task = ToyTask()
    task.network = nn.Dense(4, 2)
    with pytest.raises(ConfigError, match="no list of blocks"):
        toy_trainer(tmp_path, task, recompute=True)


def test_frozen_parameters_keep_their_bits_and_the_rest_learns(tmp_path):
    task = ToyTask()
    before = weights(task.network)
    only, not_these = ["blocks.*", "last.*"], ["*.bias", "blocks.1.*"]
    _, after = trained(tmp_path, "frozen", task=task, train_only=only, freeze=not_these)
    moved = {name for name in after if not np.array_equal(before[name], after[name])}
    assert moved == {"blocks.0.weight", "blocks.2.weight", "last.weight"}


def test_selection_counts_by_group():
    lines = select(ToyTask().network, toy_options(freeze=["first.*", "blocks.0.bias"])).describe()
    assert lines == [
        "parameters: 226 trainable, 48 frozen",
        "  blocks: 208 trainable, 8 frozen",
        "  last: 18 trainable, 0 frozen",
        "  first: 0 trainable, 40 frozen",
    ]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"freeze": ["*"]}, ["train.freeze", "none of the 10 parameters"]),
        ({"train_only": ["frist.*"]}, ["train.train_only", "'frist.*'", "first.*"]),
        ({"no_decay": ["*.gamma"]}, ["train.no_decay", "matches no parameter"]),
    ],
)
def test_patterns_that_mean_nothing_are_refused(options, words):
    with pytest.raises(ConfigError) as caught:
        select(ToyTask().network, toy_options(**options))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_parameter_names_survive_the_training_cells(tmp_path):
    task = ToyTask()
    names = [p.name for p in task.network.get_parameters()]
    trained(tmp_path, "named", steps=1, task=task)
    assert [p.name for p in task.network.get_parameters()] == names == [*weights(ToyTask().network)]


def test_world_size_keeps_the_global_sample_order():
    for size in (1, 2, 3, 4, 5, 7):
        order = [i for step in range(4) for rank in range(size) for i in share(step, 7, rank, size)]
        assert order == list(range(28))
        counts = [len(share(3, 7, rank, size)) for rank in range(size)]
        assert max(counts) - min(counts) <= 1
    with pytest.raises(ConfigError, match="train.batch_size is 2, but there are 3 processes"):
        share(0, 2, 0, 3)
