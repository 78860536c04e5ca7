"""Latent consistency distillation against the published training script's own functions, on a
closed-form network (tools/golden/distil.py).
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindlong.diffusion.schedules import scaled_linear
from mindlong.networks.unet.blocks import GuidanceEmbedding
from mindlong.training.tasks.distil import Consistency, ConsistencyLoss, Goal, Huber

GAINS = {"student": 0.5, "teacher": 0.6, "target": 0.55}
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


class Toy(nn.Cell):
    """gain * tanh(x) + 0.2 sin(t / 150) + context; notes what else it was given."""

    def __init__(self, gain):
        super().__init__()
        self.gain = Parameter(Tensor(gain, ms.float32), name=f"gain{gain}")
        self.more = ()

    def construct(self, x, t, context, *more):
        self.more = more
        axes = (-1, 1, 1, 1)
        clock = 0.2 * ops.sin(t.astype(ms.float32) / 150.0).reshape(axes)
        return self.gain * ops.tanh(x) + clock + context.reshape(axes)


class Same(nn.Cell):
    def construct(self, ids):
        return ids


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "distil.npz") as arrays:
        return dict(arrays)


@pytest.fixture(autouse=True)
def pynative():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=before)


def close(ours, want, tolerance=2e-6):
    want = np.asarray(want)
    assert np.abs(np.asarray(ours) - want).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_training_step_equals_the_published_one(kind, golden):
    want = {n.split("/")[1]: a for n, a in golden.items() if n.startswith(f"{kind}/")}
    consistency = Consistency(scaled_linear(), PREDICTIONS[kind])
    student, teacher, target = (Toy(GAINS[name]) for name in ("student", "teacher", "target"))
    goal = Goal(teacher, target, Same(), consistency, told=True, zeros=False)
    t, before = (Tensor(want[name].astype(np.int32)) for name in ("t", "before"))
    given = [golden[name] for name in ("x0", "noise")]
    w = golden["w"]  # the script adds w times the difference to the conditional prediction
    rest = [w + 1, w, golden["context"], golden["null"]]
    z, goal_BCHW = goal(*map(Tensor, given), t, before, *map(Tensor, rest))
    close(z.asnumpy(), want["z"])
    close(goal_BCHW.asnumpy(), want["goal"], 2e-5 if kind == "epsilon" else 2e-6)
    np.testing.assert_array_equal(target.more[0].asnumpy(), w)
    assert not teacher.more
    for name, c in (("huber", 0.001), ("l2", None)):
        loss = ConsistencyLoss(student, consistency, Huber(c))
        value = ms.value_and_grad(loss, None, student.trainable_params())
        found, (gradient,) = value(z, goal_BCHW, t, Tensor(golden["context"]))
        close(found.asnumpy(), want[name], 1e-5)
        if c:
            close(gradient.asnumpy(), want["gradient"], 1e-5)


def test_the_unconditional_call_may_have_zeros(golden):
    consistency = Consistency(scaled_linear(), "v")
    goals = []
    for zeros, null in ((True, golden["null"] + 1), (False, golden["null"])):
        goal = Goal(Toy(0.6), Toy(0.55), Same(), consistency, told=False, zeros=zeros)
        t = Tensor(np.int32([19, 39, 619, 999]))
        w = Tensor(golden["w"])
        arrays = (Tensor(golden[name]) for name in ("x0", "noise"))
        goals.append(
            goal(*arrays, t, t, w, w, Tensor(golden["context"]), Tensor(null))[1].asnumpy()
        )
    np.testing.assert_array_equal(*goals)


@pytest.mark.parametrize("width", [256, 512, 7])
def test_what_a_network_is_told_of_guidance(width, golden):
    cell = GuidanceEmbedding(width, width)
    cell.proj.weight.set_data(Tensor(np.eye(width, dtype=np.float32)))
    w, want = golden["waves_w"], golden[f"waves_{width}"]
    got = cell(Tensor(w)).asnumpy()
    bound = 2e-4 * np.maximum(w, 0.01)[:, None]  # angles reach 1000 w in float32
    assert (np.abs(got - want) <= bound + 1e-6).all()
    assert not width % 2 or not got[:, -1].any()
