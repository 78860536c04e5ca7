"""Moments and averages in host memory: the bits of an update on the device."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from training_toys import ToyTask, toy_options, toy_trainer, weights

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.training.ema import Ema
from mindlong.training.offload import CHUNK, HostAdam, HostEma
from mindlong.training.optim import Adam, Rates
from mindlong.utils.errors import ConfigError

SHAPES = [(3, 5), (7,), (1,), (31, 33), (CHUNK + 5,)]


def parameters():
    r = np.random.default_rng(1)
    return [
        Parameter(Tensor(r.normal(size=shape).astype(np.float32)), name=f"p{i}.{'bias' * (i == 1)}")
        for i, shape in enumerate(SHAPES)
    ]


def updates(options, host):
    """Three updates of both kinds on the same gradients."""
    held = parameters()
    adam, r = (HostAdam if host else Adam)(held, options), np.random.default_rng(2)
    ema = (HostEma if host else Ema)(held, options)
    for step in range(3):
        scale = 10.0 ** -(12 * step)  # the last ones' squares leave the normal numbers
        drawn = [(scale * r.normal(size=s)).astype(np.float32) for s in SHAPES]
        gradients = tuple(map(Tensor, drawn))
        rates = Rates.at(options, step, options.lr)
        if host:
            adam.update(gradients, rates)
        else:
            numbers = (rates.step_size, rates.eps, rates.shrink, 1.0)
            adam(gradients, *(Tensor(np.float32(n)) for n in numbers))
        ema.update(step + 1)
    averages = {f"ema.{k}": v for k, v in ema.state().items()}
    return {p.name: p.asnumpy() for p in held} | adam.state() | averages


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=pytest.mark.slow), "adamw"])
def test_updates_in_host_memory_have_the_bits_of_compiled_ones(optimizer):
    options = toy_options(optimizer=optimizer, weight_decay=0.1, no_decay=["*bias"], lr=1e-3)
    compiled, host = (updates(options, on_host) for on_host in (False, True))
    assert same(compiled, host)


@pytest.mark.slow
def test_a_training_goes_on_from_either_way(tmp_path):
    """Three steps and three by another way; averages, clipping, accumulation and previews."""
    usual = {"clip_norm": 0.5, "accumulate": 2, "save_every": 3, "preview_every": 3}
    ends = {}
    for ways in (("none",), ("none", "all"), ("all", "moments")):
        seen = {}
        for steps, offload in zip((6,) if len(ways) == 1 else (3, 6), ways, strict=True):
            task = ToyTask()
            folder = tmp_path / " ".join(ways)
            toy_trainer(folder, task, steps=steps, offload=offload, **usual).run()
            seen |= {f"seen {step}": values for step, values in task.previewed.items()}
        ends[ways] = weights(task.network) | seen
    for way, found in ends.items():
        assert same(found, ends["none",]), way


@pytest.mark.slow
def test_halves_that_overflow_skip_an_update_in_host_memory_too(tmp_path):
    ends = []
    for offload in ("none", "all"):
        task = ToyTask()
        trainer = toy_trainer(
            tmp_path / offload, task, steps=8, precision="fp16", loss_scale=2.0**18, offload=offload
        )
        trainer.run()
        assert trainer.stepper.skipped
        ends.append(weights(task.network))
    assert same(*ends)


def test_averages_that_are_not_kept_cannot_be_in_host_memory():
    with pytest.raises(ConfigError, match="keeps no averages; take train.offload=moments"):
        load(None, ["model.family=vdm", "train.offload=all", "train.ema_decay=0"], TrainConfig)


def test_averages_that_a_task_computes_with_stay_on_the_device(tmp_path):
    class Distilling(ToyTask):
        def averaged(self, trained):
            return list(trained)

    with pytest.raises(ConfigError, match="computes with its averages"):
        toy_trainer(tmp_path, Distilling(), offload="all")
