"""What a scheduler_config.json says, followed as diffusers follows it: a table of configurations on
a closed-form network.
"""

from pathlib import Path

import numpy as np
import pytest
from scheduler_cases import cases, toy

from mindlong.diffusion.sample import Plain, sample
from mindlong.diffusion.scheduler_config import read

CASES = {case.name: case for case in cases()}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "scheduler_files.npz") as arrays:
        return dict(arrays)


def ours(case, golden):
    visited = []

    def model(x, t):
        visited.append(float(t[0]))
        return toy(x, t)

    options = Plain(case.sampler, case.steps, case.eta)
    out = sample(
        options,
        model,
        golden["x_T"],
        read(case.config, case.name),
        noise=lambda step: golden["tape"][step],
    )
    return out, visited


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_followed_as_diffusers_does(name, golden):
    out, visited = ours(CASES[name], golden)
    want = golden[f"{name}/out"]
    np.testing.assert_allclose(visited, golden[f"{name}/times"], rtol=0, atol=1e-3)
    assert np.abs(out - want).max() <= 3e-6 * np.abs(want).max()
