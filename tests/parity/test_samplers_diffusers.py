"""Every sampler against diffusers' scheduler of the same name, step by step on a noise tape;
inversion against DDIMInverseScheduler.
"""

from pathlib import Path

import numpy as np
import pytest

from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.samplers import DdimFlavour, sampler
from mindlong.diffusion.schedules import scaled_linear, zero_terminal_snr
from mindlong.diffusion.thresholding import static_threshold

SCHEDULE = scaled_linear()
SPACED = {
    name: DdimFlavour(name, 0, "stride", "first", rederive_eps=False)
    for name in ("trailing", "linspace")
}
CLIP = static_threshold()
OFFSET = {"spacing": "leading", "offset": 1}
CASES = {
    "ddim20": ("ddim", 20, {"flavour": "diffusers"}),
    "ddim7": ("ddim", 7, {"flavour": "diffusers"}),
    "ddim20_eta1": ("ddim", 20, {"flavour": "diffusers", "eta": 1.0}),
    "ddim20_v": ("ddim", 20, {"flavour": "diffusers", "eta": 0.5, "prediction": "v"}),
    "ddim20_x0": ("ddim", 20, {"flavour": "diffusers", "eta": 0.5, "prediction": "x0"}),
    "ddim20_clip": ("ddim", 20, {"flavour": "diffusers", "clip": CLIP}),
    "ddim20_trailing": ("ddim", 20, {"flavour": SPACED["trailing"]}),
    "ddim20_linspace": ("ddim", 20, {"flavour": SPACED["linspace"]}),
    "ddim20_zero_snr_v": ("ddim", 20, {"flavour": SPACED["trailing"], "prediction": "v"}),
    "dpm20": ("dpm_solver", 20, {}),
    "dpm9": ("dpm_solver", 9, {}),
    "dpm20_v": ("dpm_solver", 20, {"prediction": "v"}),
    "dpm20_leading": ("dpm_solver", 20, OFFSET),
    "dpm20_trailing": ("dpm_solver", 20, {"spacing": "trailing"}),
    "dpm20_order1": ("dpm_solver", 20, {"order": 1}),
    "dpm_sde20": ("dpm_solver_sde", 20, {}),
    "dpm_sde20_v": ("dpm_solver_sde", 20, {"prediction": "v"}),
    "euler20": ("euler", 20, OFFSET),
    "euler20_linspace": ("euler", 20, {"spacing": "linspace"}),
    "euler20_trailing": ("euler", 20, {"spacing": "trailing"}),
    "euler20_v": ("euler", 20, {**OFFSET, "prediction": "v"}),
    "euler_ancestral20": ("euler_ancestral", 20, OFFSET),
    "ddpm20": ("ddpm", 20, {}),
    "ddpm20_large": ("ddpm", 20, {"variance": "large"}),
    "ddpm20_v_clip": ("ddpm", 20, {"prediction": "v", "clip": CLIP}),
}


def toy(x, t):
    """The closed form that tools/golden/diffusion.py put in place of a network."""
    t = np.asarray(t, np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return (0.6 * np.tanh(x) + 0.2 * np.sin(t / 150.0)).astype(np.float32)


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parents[1] / "golden" / "diffusion_samplers.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", CASES)
def test_sampler_equals_diffusers(name, golden):
    word, steps, options = CASES[name]
    visited = []

    def model(x, t):
        visited.append(float(t[0]))
        return toy(x, t)

    schedule = zero_terminal_snr(SCHEDULE) if "zero_snr" in name else SCHEDULE
    if word == "ddpm":
        options = {**options, "times": golden[f"{name}/times"]}
    out = sampler(word)(
        model, golden["x_T"], schedule, steps, noise=lambda i: golden["tape"][i], **options
    )
    want = golden[f"{name}/out"]
    np.testing.assert_allclose(visited, golden[f"{name}/times"], rtol=1e-6)
    np.testing.assert_allclose(out, want, rtol=0, atol=1e-4 * np.abs(want).max())
    assert out.dtype == np.float32


@pytest.mark.parametrize("kind, prediction", [("epsilon", "eps"), ("v_prediction", "v")])
def test_inversion_equals_diffusers(kind, prediction, golden):
    visited = []
    path = invert_ddim(
        lambda x, t: (visited.append(int(t[0])), toy(x, t))[1],
        golden["x_T"],
        SCHEDULE,
        20,
        prediction=prediction,
    )
    want = golden[f"inverse_{kind}/out"]
    assert visited == golden[f"inverse_{kind}/times"].tolist()
    assert len(path) == 21
    np.testing.assert_allclose(path[-1], want, rtol=0, atol=1e-4 * np.abs(want).max())
