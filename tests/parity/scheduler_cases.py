"""Configurations of diffusers' schedulers that a scheduler_config.json can hold, one line each.

A case: the file's table, the class of diffusers that samples (`Class.from_config(table)`), our word
for `sample.sampler` ("" leaves it to the file), steps and eta. tools/golden/schedulers.py makes the
arrays, test_scheduler_files.py compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHAPE, LONGEST = (2, 2, 2, 3, 3), 61
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
LINSPACE = {"timestep_spacing": "linspace"}
SPACED = {"leading": LEADING, "trailing": TRAILING, "linspace": LINSPACE}
V = {"prediction_type": "v_prediction"}
X0 = {"prediction_type": "sample"}
ZERO = {**TRAILING, **V, "rescale_betas_zero_snr": True}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
SD14 = {**SD, "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True}
UNIPC = {"solver_order": 2, "solver_type": "bh2", "predict_x0": True, "lower_order_final": True}
NOISY = ("EulerAncestralDiscrete", "DDPM")


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    kind: str
    table: dict[str, Any] = field(default_factory=dict)
    steps: int = 10
    eta: float = 0.0
    sampler: str = ""
    by: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The content of scheduler_config.json."""
        return {"_class_name": f"{self.kind}Scheduler", **SD, **self.table}

    @property
    def original(self) -> str:
        """The class of diffusers that samples."""
        return f"{self.by or self.kind}Scheduler"


def toy(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A stand-in for a network."""
    t = np.asarray(t, np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return (0.6 * np.tanh(x) + 0.2 * np.sin(t / 150.0)).astype(np.float32)


def cases() -> list[Case]:
    """All, each name once."""
    made = [*_spacings(), *_ddim(), *_ddpm(), *_euler(), *_dpm(), *_other_files()]
    made += [*_unipc(), *_heun(), *_pndm(), *_few_steps(), *_deis()]
    assert len({case.name for case in made}) == len(made)
    return made


def _spacings() -> Iterator[Case]:
    """Every class with every spacing and prediction, and with no signal at the end."""
    for word, kind, extra in (
        ("ddim", "DDIM", {"clip_sample": False}),
        ("ddpm", "DDPM", {"clip_sample": False}),
        ("euler", "EulerDiscrete", {}),
        ("ancestral", "EulerAncestralDiscrete", {}),
        ("dpm", "DPMSolverMultistep", {}),
        ("sde", "DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}),
        ("unipc", "UniPCMultistep", {}),
        ("unipc3", "UniPCMultistep", {"solver_order": 3}),
        ("heun", "HeunDiscrete", {}),
        ("lms", "LMSDiscrete", {}),
        ("kdpm2", "KDPM2Discrete", {}),
        ("kdpm2_ancestral", "KDPM2AncestralDiscrete", {}),
        ("deis", "DEISMultistep", {}),
        ("deis3", "DEISMultistep", {"solver_order": 3}),
    ):
        for spacing, keys in SPACED.items():
            yield Case(f"{word}_{spacing}", kind, {**extra, **keys})
            yield Case(f"{word}_{spacing}_v", kind, {**extra, **keys, **V}, 7)
        if not word.startswith(("heun", "lms", "kdpm2", "deis")):  # classes without such a key
            yield Case(f"{word}_zero_snr_v", kind, {**extra, **ZERO}, 16)
        yield Case(f"{word}_defaults", kind, extra, 10)
        if word not in ("ancestral", "ddpm", "kdpm2", "kdpm2_ancestral"):
            yield Case(f"{word}_x0", kind, {**extra, **TRAILING, **X0})


def _ddim() -> Iterator[Case]:
    plain = {"clip_sample": False}
    yield Case("ddim_first_eta", "DDIM", {**plain, **LEADING, "set_alpha_to_one": False}, 7, 0.5)
    yield Case("ddim_rounding", "DDIM", {**plain, **TRAILING}, 48)
    yield Case("ddim_clip", "DDIM", {**TRAILING, "clip_sample": True, "clip_sample_range": 0.7})
    yield Case("ddim_threshold", "DDIM", {**plain, **TRAILING, **_threshold(1.5)})
    yield Case("ddim_cosine", "DDIM", {**plain, **TRAILING, **COSINE})
    yield Case("ddim_cosine_v", "DDIM", {**plain, **TRAILING, **COSINE, **V})
    yield Case("ddim_linear", "DDIM", {**plain, **LEADING, "beta_schedule": "linear"})
    yield Case("ddim_betas", "DDIM", {**plain, **TRAILING, "trained_betas": _betas()})
    yield Case("ddim_short", "DDIM", {**plain, **LEADING, "num_train_timesteps": 50})
    yield Case("cogvideox", "CogVideoXDDIM", {**ZERO, "snr_shift_scale": 3.0, "clip_sample": False})
    yield Case("cogvideox_2", "CogVideoXDDIM", {**TRAILING, **V, "snr_shift_scale": 1.5})
    yield Case("cogvideox_unsaid", "CogVideoXDDIM", {**TRAILING, **V})


def _ddpm() -> Iterator[Case]:
    plain = {"clip_sample": False, **TRAILING}
    yield Case("ddpm_log", "DDPM", {**plain, "variance_type": "fixed_small_log"})
    large = {"clip_sample": False, "timestep_spacing": "leading", "variance_type": "fixed_large"}
    yield Case("ddpm_large", "DDPM", large)
    yield Case("ddpm_clip_v", "DDPM", {**TRAILING, **V, "clip_sample": True})
    yield Case("ddpm_threshold", "DDPM", {**plain, **_threshold(1.2)})
    yield Case("ddpm_sigmoid", "DDPM", {**plain, "beta_schedule": "sigmoid"})
    yield Case("ddpm_laplace", "DDPM", {**plain, **V, "beta_schedule": "laplace"})


def _euler() -> Iterator[Case]:
    for name in ("karras", "exponential", "beta"):
        for spacing, keys in SPACED.items():
            table = {**keys, f"use_{name}_sigmas": True}
            yield Case(f"euler_{name}_{spacing}", "EulerDiscrete", table)
    ends = {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 9.0}
    yield Case("euler_karras_ends", "EulerDiscrete", ends)
    yield Case("euler_karras_cosine", "EulerDiscrete", {**COSINE, **V, "use_karras_sigmas": True})
    yield Case("euler_zero_snr_eps", "EulerDiscrete", {**TRAILING, "rescale_betas_zero_snr": True})
    yield Case("euler_zero_snr_linspace", "EulerDiscrete", {**ZERO, **LINSPACE}, 7)
    yield Case("euler_sigma_min", "EulerDiscrete", {**TRAILING, "final_sigmas_type": "sigma_min"})
    yield Case("euler_log_linear", "EulerDiscrete", {"interpolation_type": "log_linear"})
    yield Case("euler_cosine_v", "EulerDiscrete", {**TRAILING, **COSINE, **V})
    yield Case("euler_rounding", "EulerDiscrete", {**TRAILING}, 48)


def _dpm() -> Iterator[Case]:
    kind, sde = "DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}
    for spread in ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas"):
        yield Case(f"dpm_{spread}", kind, {f"use_{spread}": True})
    yield Case("dpm_karras_leading", kind, {**LEADING, "use_karras_sigmas": True}, 20)
    yield Case("dpm_karras_cosine", kind, {**COSINE, **V, "use_karras_sigmas": True})
    yield Case("sde_karras", kind, {**sde, "use_karras_sigmas": True})
    for steps in (1, 2, 3, 7, 20):
        yield Case(f"dpm_order3_{steps}", kind, {"solver_order": 3}, steps)
        yield Case(f"sde_order3_{steps}", kind, {**sde, "solver_order": 3}, steps)
    yield Case("dpm_order1", kind, {"solver_order": 1})
    yield Case("dpm_heun", kind, {"solver_type": "heun"})
    yield Case("sde_heun", kind, {**sde, "solver_type": "heun"})
    end = {"final_sigmas_type": "sigma_min"}
    yield Case("dpm_sigma_min", kind, end)
    yield Case("dpm_sigma_min_20", kind, {**end, "solver_order": 3}, 20)
    yield Case("dpm_sigma_min_euler", kind, {**end, "euler_at_final": True}, 20)
    yield Case("dpm_sigma_min_full", kind, {**end, "lower_order_final": False})
    yield Case("dpm_full_order3", kind, {"solver_order": 3, "lower_order_final": False})
    yield Case("dpm_clipped", kind, {**COSINE, **V, "lambda_min_clipped": -5.1})
    yield Case("dpm_clipped_trailing", kind, {**COSINE, **TRAILING, "lambda_min_clipped": -3.0})
    yield Case("dpm_threshold", kind, {**TRAILING, **_threshold(1.4)})
    yield Case("dpm_zero_snr_eps", kind, {**TRAILING, "rescale_betas_zero_snr": True})
    yield Case("dpm_deis", kind, {**end, "algorithm_type": "deis", "solver_type": "logrho"})


def _other_files() -> Iterator[Case]:
    """A file of one class, sampled by another: the file's words, the other class's defaults."""
    by = {
        "ddim": ("DDIM", {"clip_sample": False}),
        "euler": ("EulerDiscrete", {}),
        "euler_ancestral": ("EulerAncestralDiscrete", {}),
        "dpm_solver": ("DPMSolverMultistep", {}),
    }
    files = {
        "sd14": ("PNDM", {**SD14, "steps_offset": 1}),
        "zero": ("DDIM", {**ZERO, "clip_sample": False}),
        "unipc": ("UniPCMultistep", {**LINSPACE, **UNIPC}),
        "karras": ("DPMSolverMultistep", {**LEADING, "use_karras_sigmas": True}),
        "fresh": ("EulerDiscrete", {**LINSPACE}),
    }
    for word, (kind, table) in files.items():
        for name, (original, extra) in by.items():
            yield Case(f"{word}_by_{name}", kind, {**table, **extra}, 10, 0.0, name, original)
    yield Case("sd14_unnamed", "PNDM", {**SD14, **LEADING, "clip_sample": False}, 20)
    yield Case(
        "pndm_by_unipc", "PNDM", {**SD14, "steps_offset": 1}, 10, 0.0, "unipc", "UniPCMultistep"
    )
    yield Case("ddim_by_lcm", "DDIM", {"clip_sample": False}, 4, 0.0, "lcm", "LCM")


def _unipc() -> Iterator[Case]:
    kind = "UniPCMultistep"
    for steps in (1, 2, 3, 7, 20):
        for order in (1, 2, 3):
            yield Case(f"unipc_order{order}_{steps}", kind, {"solver_order": order}, steps)
    yield Case("unipc_order4", kind, {"solver_order": 4})
    end = {"final_sigmas_type": "sigma_min"}
    yield Case("unipc_bh1", kind, {**end, "solver_type": "bh1"})
    yield Case("unipc_bh1_order3", kind, {**end, "solver_type": "bh1", "solver_order": 3})
    yield Case("unipc_midpoint", kind, {"solver_type": "midpoint"})
    for form in ("bh1", "bh2"):
        noise = {**end, "predict_x0": False, "solver_type": form}
        yield Case(f"unipc_noise_{form}", kind, noise)
        yield Case(f"unipc_noise_{form}_order3_v", kind, {**noise, **V, "solver_order": 3}, 7)
    yield Case("unipc_uncorrected", kind, {"disable_corrector": [0, 3]})
    yield Case("unipc_sigma_min", kind, end)
    yield Case("unipc_full", kind, {**end, "solver_order": 3, "lower_order_final": False})
    for spread in ("karras", "exponential", "beta"):
        yield Case(f"unipc_{spread}", kind, {f"use_{spread}_sigmas": True})
    yield Case("unipc_karras_v", kind, {**V, "use_karras_sigmas": True, "solver_order": 3}, 20)
    yield Case("unipc_threshold", kind, {**TRAILING, **_threshold(1.4)})
    yield Case("unipc_zero_snr_eps", kind, {**TRAILING, "rescale_betas_zero_snr": True})


def _heun() -> Iterator[Case]:
    for word, kind in (
        ("heun", "HeunDiscrete"),
        ("lms", "LMSDiscrete"),
        ("kdpm2", "KDPM2Discrete"),
        ("kdpm2_ancestral", "KDPM2AncestralDiscrete"),
    ):
        for spread in ("karras", "exponential", "beta"):
            table = {f"use_{spread}_sigmas": True}
            yield Case(f"{word}_{spread}", kind, table)
            yield Case(f"{word}_{spread}_leading", kind, {**LEADING, **table}, 7)
        for steps in (1, 2, 3, 20):
            yield Case(f"{word}_{steps}", kind, {}, steps)
        if "kdpm2" not in word:  # its two slopes cancel to 1e-4 of s = 6e4 in float32
            yield Case(f"{word}_cosine_v", kind, {**TRAILING, **COSINE, **V})
    clip = {**TRAILING, "clip_sample": True, "clip_sample_range": 0.7}
    yield Case("heun_clip", "HeunDiscrete", clip)


def _deis() -> Iterator[Case]:
    kind = "DEISMultistep"
    for steps in (1, 2, 3, 7, 20):
        for order in (1, 2, 3):
            yield Case(f"deis_order{order}_{steps}", kind, {"solver_order": order}, steps)
    for spread in ("karras", "exponential", "beta"):
        yield Case(f"deis_{spread}", kind, {f"use_{spread}_sigmas": True})
    yield Case("deis_full", kind, {"solver_order": 3, "lower_order_final": False})
    yield Case("deis_threshold", kind, {**TRAILING, **_threshold(1.4)})
    yield Case("deis_cosine_v", kind, {**TRAILING, **COSINE, **V})


def _pndm() -> Iterator[Case]:
    for spacing, keys in SPACED.items():
        for final in (False, True):
            more = {**keys, "set_alpha_to_one": final}
            yield Case(f"pndm_{spacing}_{final}", "PNDM", {**more, "skip_prk_steps": True})
            yield Case(
                f"pndm_{spacing}_{final}_v", "PNDM", {**more, **V, "skip_prk_steps": True}, 7
            )
            yield Case(f"pndm_prk_{spacing}_{final}", "PNDM", more)
            yield Case(f"pndm_prk_{spacing}_{final}_v", "PNDM", {**more, **V}, 8)
    for steps in (1, 2, 3, 4, 50):
        yield Case(f"pndm_{steps}", "PNDM", {"skip_prk_steps": True}, steps)
    yield Case("pndm_prk_4", "PNDM", {}, 4)
    yield Case("pndm_prk_50", "PNDM", {**LEADING}, 50)


def _few_steps() -> Iterator[Case]:
    linear = {"beta_schedule": "linear"}
    for steps in (1, 2, 4, 6, 8):
        yield Case(f"lcm_{steps}", "LCM", {}, steps)
        yield Case(f"lcm_v_{steps}", "LCM", V, steps)
        yield Case(
            f"lcm_100_linear_{steps}", "LCM", {**linear, "original_inference_steps": 100}, steps
        )
    yield Case("lcm_x0", "LCM", X0, 4)
    yield Case("lcm_scaling", "LCM", {"timestep_scaling": 0.01}, 4)
    yield Case("lcm_zero_snr_v", "LCM", {**V, "rescale_betas_zero_snr": True}, 4)
    yield Case("lcm_clip", "LCM", {"clip_sample": True, "clip_sample_range": 0.7}, 4)
    yield Case("lcm_threshold", "LCM", _threshold(1.2), 4)
    for eta in (0.0, 0.3, 1.0):
        yield Case(f"tcd_{eta:g}", "TCD", {}, 4, eta)
        yield Case(f"tcd_{eta:g}_v", "TCD", V, 8, eta)
    yield Case("tcd_1_step", "TCD", {}, 1, 0.3)


def _threshold(largest: float) -> dict[str, Any]:
    return {"thresholding": True, "dynamic_thresholding_ratio": 0.8, "sample_max_value": largest}


def _betas() -> list[float]:
    return [round(0.0005 + 0.00002 * i, 7) for i in range(1000)]
