"""Our tuning, inversion and sampling against Tune-A-Video's own code
(tools/golden/tune_a_video.py).
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import tune_a_video_cases as cases
import unet_cases
import unet_measure
from mindspore import Tensor

from mindlong.config.train_options import TrainOptions
from mindlong.config.tune_options import TuneOptions
from mindlong.diffusion.guidance import guided
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.samplers import sampler
from mindlong.diffusion.schedules import scaled_linear
from mindlong.networks.names import Entry
from mindlong.training.prepare import prepare
from mindlong.training.step import Stepper

FOLDER = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"tune_a_video_{name}.npz") as arrays:
        return dict(arrays)


def learning(case: unet_cases.Case, compat: bool) -> dict[str, Entry]:
    """Our name -> entry of what learns."""
    options = TuneOptions(compat="tune_a_video" if compat else "")
    return {e.ours: e for e in case.entries() if options.chooses(f"unet.{e.ours}")}


@pytest.mark.parametrize("name", [name for name, _ in cases.TRAININGS])
def test_the_originals_own_rule_and_its_lost_gradients_give_our_two_lists(name):
    for compat in (False, True):
        want = golden(name + "_compat" * compat)
        case = unet_cases.CASE[name]
        assert sorted(e.source for e in learning(case, False).values()) == want["learns"].tolist()
        assert sorted(e.source for e in learning(case, compat).values()) == want["reached"].tolist()
    assert len(want["reached"]) < len(want["learns"])


DEFAULT = {("tuned_sd15", True)}  # the others take minutes together
STEPS = [
    pytest.param(n, p, c, id=n + "_compat" * c, marks=() if (n, c) in DEFAULT else pytest.mark.slow)
    for n, p in cases.TRAININGS
    for c in (False, True)
]


@pytest.mark.parametrize(("name", "prediction", "compat"), STEPS)
def test_a_step_of_training_equals_the_originals(name, prediction, compat):
    if (name, compat) in DEFAULT:  # operator by operator, which is quicker once
        ms.set_context(mode=ms.PYNATIVE_MODE)
    case, want = unet_cases.CASE[name], golden(name + "_compat" * compat)
    net, chosen, given = unet_measure.network(case), learning(case, compat), cases.batch(case)
    learns = [p for p in net.get_parameters() if p.name in chosen]
    kind = {"epsilon": "eps", "v_prediction": "v"}[prediction]
    loss = DiffusionLoss(net, scaled_linear(), prediction=kind, loss="l2")
    options = TrainOptions(
        batch_size=len(given["t"]),
        lr=cases.LR,
        optimizer="adamw",
        weight_decay=0.01,
        clip_norm=cases.CLIP,
    )
    stepper = Stepper(loss, learns, options)
    before = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
    update = stepper(0, [given[n] for n in ("x0", "noise", "t", "context")])
    after = {p.name: p.asnumpy() for p in net.get_parameters()}
    assert {n for n in before if not np.array_equal(before[n], after[n])} == set(chosen)
    np.testing.assert_allclose([update.loss, update.norm], [want["loss"], want["norm"]], rtol=2e-5)

    source = {n: e.source for n, e in chosen.items()}
    cut = min(1.0, cases.CLIP / (update.norm + 1e-6))
    gradients = {
        source[p.name]: m.asnumpy() / (0.1 * cut)
        for p, m in zip(learns, stepper.adam.m, strict=True)
    }
    errors = unet_cases.gradient_error(gradients, want)
    assert max(errors.values()) <= 1e-3, sorted(errors.items(), key=lambda item: -item[1])[:5]

    moved = unet_cases.summary({source[n]: after[n] - before[n] for n in chosen})
    clear = np.abs(want["grad_entries"]) > 1e-3 * np.median(
        want["grad_peaks"]
    )  # elsewhere Adam turns rounding into full steps
    assert clear.mean() > 0.5
    assert np.abs(moved["grad_entries"] - want["step_grad_entries"])[clear].max() <= 2e-3 * cases.LR


@pytest.mark.slow
def test_recomputation_changes_no_gradient_and_loses_none():
    """Torch's re-entrant checkpointing takes the gradients of the way down; recomputation here must
    not.
    """
    case, found = unet_cases.CASE["tuned_sd15"], {}
    given = cases.batch(case)
    for recompute in (False, True):
        net = unet_measure.network(case)
        options = TrainOptions(
            batch_size=len(given["t"]), lr=cases.LR, optimizer="adamw", recompute=recompute
        )
        prepare(net, options)
        learns = [p for p in net.get_parameters() if p.name in learning(case, False)]
        stepper = Stepper(
            DiffusionLoss(net, scaled_linear(), prediction="eps", loss="l2"), learns, options
        )
        stepper(0, [given[n] for n in ("x0", "noise", "t", "context")])
        found[recompute] = stepper.adam.state()
    assert all(np.array_equal(found[True][name], array) for name, array in found[False].items())


def test_inversion_and_guided_sampling_equal_the_originals():
    case, want = unet_cases.CASE[cases.SAMPLING], golden("sampling")
    net, given = unet_measure.network(case).set_train(False), cases.batch(case)

    def model(context: np.ndarray):
        return lambda x, t: net(Tensor(x), Tensor(t), Tensor(context)).asnumpy()

    text, null = model(given["context"][:1]), model(given["null"][:1])
    path = invert_ddim(null, given["x0"][:1], scaled_linear(), cases.STEPS)
    assert want["times"].tolist() == list(range(901, 0, -100))
    assert unet_cases.relative(np.stack(path), want["path"]) <= 2e-4
    made = sampler("ddim")(
        guided(text, null, cases.GUIDANCE),
        want["path"][-1],
        scaled_linear(),
        cases.STEPS,
        flavour="diffusers",
    )
    assert unet_cases.relative(made, want["made"]) <= 2e-4
