"""Which process keeps which moments, what travels, and what a process then needs."""

from dataclasses import replace

import pytest

from mindlong.config.cost import training_cost
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.config.train_options import TrainOptions
from mindlong.training.reduce import buckets
from mindlong.training.shards import deal
from mindlong.utils.errors import ConfigError

SIZES = [7, 100, 3, 40, 41, 9, 60]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_parameters_are_dealt_out_evenly_and_alike_everywhere(processes):
    shares = [deal(SIZES, processes, rank) for rank in range(processes)]
    assert len({share.owners for share in shares}) == 1
    assert sorted(i for share in shares for i in share.mine) == list(range(len(SIZES)))
    held = [sum(SIZES[i] for i in share.mine) for share in shares]
    assert all(held) and max(held) <= max(SIZES[1], sum(SIZES) / processes + max(SIZES) / 2)


def test_messages_hold_every_parameter_once_and_are_not_too_large():
    share = deal(SIZES, 2, 1)
    runs = share.runs(SIZES, 50)
    assert sorted(i for _, held in runs for i in held) == list(range(len(SIZES)))
    for owner, held in runs:
        assert all(share.owners[i] == owner for i in held)
        assert len(held) == 1 or sum(SIZES[i] for i in held) <= 50


def test_fewer_parameters_than_processes_are_refused():
    with pytest.raises(ConfigError, match="7 trained parameters .* over 8 processes"):
        deal(SIZES, 8, 0)


def test_large_arrays_travel_by_themselves():
    assert buckets([1, 2, 50, 3, 4, 60, 5], 100, 50) == [(0, 2), (2, 3), (3, 5), (5, 6), (6, 7)]
    assert buckets([40, 50, 20], 100, 1000) == [(0, 2), (2, 3)]
    assert buckets([200], 100) == [(0, 1)]


def needs(processes, *pairs):
    model = ["model.family=vdm", "model.dim=64", "model.dim_mults=[1,2]", "data.frames=2"]
    config = load(None, [*model, "data.size=[16,16]", *pairs], TrainConfig).values
    cost = training_cost(config, processes=processes)
    return cost.memory, cost.groups["unet"]


def test_the_estimate_takes_off_what_others_keep():
    one, parameters = needs(1, "train.batch_size=4", "train.shard=optimizer")
    assert one == needs(1, "train.batch_size=4")[0]
    whole, _ = needs(4, "train.batch_size=4")
    spread, _ = needs(4, "train.batch_size=4", "train.shard=optimizer")
    assert whole - spread == pytest.approx((12 * 3 / 4 - 4) * parameters)  # 4: while saving
    without = needs(4, "train.batch_size=4", "train.shard=optimizer", "train.ema_decay=0")[0]
    assert needs(4, "train.batch_size=4", "train.ema_decay=0")[0] - without == pytest.approx(
        8 * parameters * 3 / 4
    )
    assert spread - without == pytest.approx(4 * parameters / 4 + 4 * parameters)


def test_what_stays_in_host_memory_is_counted_apart_on_a_device():
    usual = ("train.batch_size=4", "train.shard=gradients")
    kept, parameters = needs(4, *usual)
    assert needs(4, *usual, "train.offload=all")[0] == kept  # a CPU has one memory
    on_device = needs(4, *usual, "train.offload=all", "env.device_target=Ascend")[0]
    assert kept - on_device == pytest.approx(12 / 4 * parameters)
    moments = needs(1, "train.offload=moments", "env.device_target=Ascend")[0]
    assert needs(1)[0] - moments == pytest.approx(8 * parameters)


def test_processes_that_would_have_unequally_many_parts_are_refused():
    options = TrainOptions(batch_size=7, accumulate=4, shard="gradients")
    assert "has 3 samples" in options.problem_of(2)
    assert "take train.accumulate=3 or train.shard=optimizer" in options.problem_of(2)
    assert not options.problem_of(1)
    for changed in ({"accumulate": 3}, {"batch_size": 8}, {"shard": "optimizer"}):
        assert not replace(options, **changed).problem_of(2)
