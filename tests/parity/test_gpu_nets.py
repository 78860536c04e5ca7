"""The twins that trainings in PyTorch use, diffusers' and transformers' classes with the shipped
weights, compute what our networks compute; and their phases step as our sampler does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mindlong.diffusion.samplers.ddim import ddim
from mindlong.diffusion.schedules import make, zero_terminal_snr

pytestmark = pytest.mark.torch
TOOLS = Path(__file__).parents[2] / "tools"
CAPTIONS = ["a red circle moving right", "", "a yellow triangle moving up"]


@pytest.fixture(scope="module")
def tools():
    """What stands in tools/gpu, importable."""
    pytest.importorskip("diffusers")
    sys.path.insert(0, str(TOOLS / "gpu"))
    import phases
    import shapes_nets

    return phases, shapes_nets


def video(number: int = 1) -> np.ndarray:
    draw = np.random.default_rng(number)
    return draw.standard_normal((1, 4, 16, 12, 12)).astype(np.float32)


@pytest.mark.slow
def test_the_shipped_networks_are_those_of_diffusers_and_transformers(tools):
    import mindspore as ms
    import torch

    from mindlong.pipelines.load_model import load_latent_model

    model, (_, nets) = load_latent_model("shipped:latent_shapes"), tools
    states = nets.text_states(CAPTIONS)
    own = model.text_encoder(ms.Tensor(model.tokenizer(CAPTIONS))).asnumpy()
    np.testing.assert_allclose(own, states.numpy(), atol=1e-5 * np.abs(own).max())
    net, _ = nets.unet()
    x, t = video(), np.array([499], np.int32)
    with torch.no_grad():
        theirs = net.eval()(torch.from_numpy(x), torch.from_numpy(t).long(), states[:1]).numpy()
    ours = model.network(ms.Tensor(x), ms.Tensor(t), ms.Tensor(own[:1])).asnumpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_a_walk_through_the_phases_is_ddim_in_four_steps(tools):
    import torch

    phases = tools[0].Phases(4, 3, "cpu")

    def network(x, t, context):
        return 0.3 * x + t.reshape(-1, 1, 1, 1, 1) / 2000

    theirs = phases.walk(network, torch.from_numpy(video()), None)
    schedule = zero_terminal_snr(make("scaled_linear"))
    rule, x = ddim(schedule, 4), video()
    assert list(rule.times) == phases.times.tolist() == [999, 749, 499, 249]
    for step, t in enumerate(rule.times):
        level = schedule.level(t)
        v = network(x, np.array([t]), None)
        x0, eps = level.alpha * x - level.sigma * v, level.alpha * v + level.sigma * x
        x = rule.update(step, x, x0, eps, None).mean
        np.testing.assert_allclose(theirs[step + 1].numpy(), x, atol=2e-5)


def test_the_teachers_solution_implies_a_clean_sample_that_leads_there(tools):
    import torch

    phases = tools[0].Phases(4, 3, "cpu")

    def student(x, t, context):
        return 0.2 * x

    def teacher(x, t, context):
        return 0.1 * x + context.mean()

    noise = torch.from_numpy(video(2))
    null, context = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    met, goal = phases.lesson(student, teacher, noise, context, null, 1.5)
    for k in range(4):
        t, after = phases.fine[k, :1], phases.fine[k, -1:]
        alpha, sigma = phases.level(t)
        v = (alpha * met[k : k + 1] - goal[k : k + 1]) / sigma
        there = phases.jump(met[k : k + 1], v, t, after)
        row = phases.fine[k : k + 1]
        wanted = phases.solve(teacher, met[k : k + 1], context, null, row, 1.5)
        torch.testing.assert_close(there, wanted, atol=2e-5, rtol=1e-5)
