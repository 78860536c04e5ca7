"""Adam, AdamW, clipping and learning rates: the numbers of torch.optim."""

from pathlib import Path

import numpy as np
import pytest
from training_toys import Given, GivenGradients, graph_mode, same_bits, toy_options, weights  # noqa: F401

from mindlong.config.train_options import TrainOptions
from mindlong.training import step as step_module
from mindlong.training.optim import learning_rate
from mindlong.training.step import Stepper

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "optim.npz"))
NAMES = ("first", "second", "third")
CASES = {
    "adam": {},
    "adam_decay": {"weight_decay": 0.1, "betas": [0.8, 0.95], "eps": 1e-6},
    "adamw": {"optimizer": "adamw"},
    "adamw_decay": {"optimizer": "adamw", "weight_decay": 0.3, "betas": [0.9, 0.99]},
    "clipped": {"optimizer": "adamw", "weight_decay": 0.01, "clip_norm": 10.0},
}


def scripted(**options):
    network = Given({name: GOLDEN[f"start/{name}"] for name in NAMES})
    return network, Stepper(
        GivenGradients(network), network.trainable_params(), TrainOptions(batch_size=1, **options)
    )


def gradients(step):
    return [GOLDEN[f"gradient/{name}"][step][None] for name in NAMES]


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_torch(case, monkeypatch):
    monkeypatch.setattr(
        step_module, "learning_rate", lambda options, step: float(GOLDEN["lr"][step])
    )
    network, stepper = scripted(**CASES[case])
    norms = []
    for step in range(len(GOLDEN["lr"])):
        norms.append(stepper(step, gradients(step)).norm)
        if f"{case}/{step + 1}/first" in GOLDEN:
            for name, value in weights(network).items():
                np.testing.assert_allclose(
                    value, GOLDEN[f"{case}/{step + 1}/{name}"], rtol=1e-6, atol=1e-6
                )
    if case == "clipped":
        np.testing.assert_allclose(norms, GOLDEN["clipped/norm"], rtol=1e-6)
        assert (
            sum(n > 10 for n in norms) > 3 and sum(n < 10 for n in norms) > 3
        )  # both sides of the limit were met


def test_no_decay_patterns_spare_their_parameters():
    zero = [np.zeros_like(g) for g in gradients(0)]
    for optimizer in ("adam", "adamw"):
        network, stepper = scripted(
            optimizer=optimizer, lr=0.01, weight_decay=0.5, no_decay=["sec*", "third"]
        )
        before = weights(network)
        stepper(0, zero)
        after = weights(network)
        assert same_bits(
            {k: before[k] for k in ("second", "third")}, {k: after[k] for k in ("second", "third")}
        )
        assert np.all(np.abs(after["first"]) < np.abs(before["first"]))


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 0.8, 0.6, 0.4]),
        (
            "cosine",
            [0.25, 0.5, 0.75, 1.0, 1.0, 0.2 + 0.4 * (1 + 2**-0.5), 0.6, 0.2 + 0.4 * (1 - 2**-0.5)],
        ),
    ],
)
def test_learning_rate_by_step(schedule, expected):
    options = toy_options(steps=8, warmup=4, lr=3.0, schedule=schedule, lr_end=0.2)
    np.testing.assert_allclose(
        [learning_rate(options, s) for s in range(8)], np.multiply(3.0, expected), rtol=1e-12
    )
    if schedule != "constant":
        assert learning_rate(options, 8) == pytest.approx(
            0.6
        )  # trained on past the plan: stays at the end
