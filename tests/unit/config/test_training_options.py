"""The `train` section refuses what cannot be trained."""

from pathlib import Path

import pytest

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError

MODEL = Path(__file__).parents[3] / "configs" / "model" / "vdm_tiny.yaml"


@pytest.mark.parametrize(
    "pair, words",
    [
        ("train.betas=[0.9]", "train.betas is [0.9]; it must be two numbers"),
        ("train.betas=[0.9,1.0]", "train.betas is [0.9, 1.0]; it must be two numbers"),
        ("train.ema_decay=1", "train.ema_decay is 1; it must be below 1"),
        ("train.lr_end=2", "train.lr_end is 2; it is a share"),
        ("train.accumulate=9", "train.accumulate is 9, more than the 8 samples"),
        ("train.warmup=2000", "train.warmup is 2000, longer than the 1000 steps"),
        ("train.keep=1", "train.keep is 1; it must be at least 2"),
        ("train.optimizer=adamv", "Did you mean 'adam'?"),
        ("train.precision=fp8", "train.precision is 'fp8'; it must be one of fp32, fp16, bf16"),
        ("train.batch_sise=4", "batch_size"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(pair, words):
    with pytest.raises(ConfigError) as caught:
        load(None, [f"model={MODEL}", pair], TrainConfig)
    assert words in str(caught.value)


def test_the_defaults_are_in_order():
    options = load(None, [f"model={MODEL}"], TrainConfig).values.train
    assert list(options.problems()) == [] and options.betas == [0.9, 0.999]
