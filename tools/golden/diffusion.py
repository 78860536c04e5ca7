"""Golden arrays of schedules, losses and samplers, from video-diffusion-pytorch 0.7.0 and diffusers
(developers only: needs torch).

The network is a closed form (`toy`), so that only the diffusion arithmetic is compared. Inputs and
noise tapes are stored beside
the results.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch

Arrays = dict[str, np.ndarray]
SHAPE, STEPS = (2, 3, 2, 6, 6), 50  # Video Diffusion Models; (B, C, F, H, W)
LATENT, LATENT_STEPS = (2, 4, 3, 4, 4), 21


def toy(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A stand-in for a network; the parity tests hold the same formula."""
    t = np.asarray(t, np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return (0.6 * np.tanh(x) + 0.2 * np.sin(t / 150.0)).astype(np.float32)


def _drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class _Toy(torch.nn.Module):
    """`toy` behind the interface of Unet3D."""

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor, t: torch.Tensor, **_: object) -> torch.Tensor:
        return torch.from_numpy(toy(x.numpy(), t.numpy()))

    def forward_with_cond_scale(
        self, x: torch.Tensor, t: torch.Tensor, **_: object
    ) -> torch.Tensor:
        return self(x, t)


def original() -> types.ModuleType:
    """The module video_diffusion_pytorch; a stub stands in for torchvision, which only its trainer
    uses.
    """
    stubs = {
        name: mock.MagicMock()
        for name in ("torchvision", "torchvision.transforms", "torchvision.utils")
    }
    sys.modules.update(stubs)
    try:
        import video_diffusion_pytorch.video_diffusion_pytorch as module
    finally:
        for name in stubs:  # diffusers takes the stub for a broken torchvision
            del sys.modules[name]
    module.tqdm = lambda steps, **_: steps
    return module


def _diffusion(**options: object) -> torch.nn.Module:
    return original().GaussianDiffusion(
        _Toy(), image_size=SHAPE[-1], num_frames=SHAPE[2], channels=SHAPE[1], **options
    )


@contextmanager
def _tape(arrays: Iterator[np.ndarray]) -> Iterator[None]:
    """torch.randn and randn_like give these arrays, in order."""

    def draw(*_, **__):
        return torch.from_numpy(next(arrays))

    with mock.patch.object(torch, "randn", draw), mock.patch.object(torch, "randn_like", draw):
        yield


def schedules() -> Arrays:
    """The twelve buffers for several T."""
    names = [n for n, _ in _diffusion(timesteps=1).named_buffers()]
    rows = {T: dict(_diffusion(timesteps=T).named_buffers()) for T in (1, 2, 10, 1000, 4000)}
    return {f"{T}/{n}": rows[T][n].numpy() for T in rows for n in names}


def vdm() -> Arrays:
    """q_sample, posterior, losses and sampling of GaussianDiffusion."""
    x0, x, noise = _drawn(SHAPE, 1) * 0.7, _drawn(SHAPE, 2), _drawn(SHAPE, 3)
    tape, pair = _drawn((STEPS, *SHAPE), 4), _drawn((2, *SHAPE), 5)
    out = {"x0": x0, "x": x, "noise": noise, "tape": tape, "pair": pair}
    tensors = [torch.from_numpy(a) for a in (x0, x, noise)]
    for t in (0, 1, 999):
        out.update({f"{t}/{name}": array for name, array in _pointwise(t, *tensors).items()})
    for kind in ("l1", "l2"):
        loss = _diffusion(loss_type=kind).p_losses(
            tensors[0], torch.tensor([3, 700]), noise=tensors[2]
        )
        out[f"loss/{kind}"] = loss.numpy()
    out.update(_samples(x, x0, tape, pair))
    return out


def _pointwise(t: int, x0: torch.Tensor, x: torch.Tensor, noise: torch.Tensor) -> Arrays:
    times = torch.full((2,), t)
    plain = _diffusion()
    out = {
        "q_sample": plain.q_sample(x0, times, noise),
        "predict_start": plain.predict_start_from_noise(x, times, noise),
    }
    out["q_posterior"], out["posterior_variance"], out["posterior_log_variance"] = (
        plain.q_posterior(x0, x, times)
    )
    out["static"] = plain.p_mean_variance(x, times, True)[0]
    for p in (0.5, 0.9, 1.0):
        dynamic = _diffusion(use_dynamic_thres=True, dynamic_thres_percentile=p)
        out[f"dynamic{p}"] = dynamic.p_mean_variance(x, times, True)[0]
    return {name: value.numpy() for name, value in out.items()}


def _samples(x_T: np.ndarray, other: np.ndarray, tape: np.ndarray, pair: np.ndarray) -> Arrays:
    out = {}
    with _tape(iter([x_T, *tape])):
        out["sample50"] = _diffusion(timesteps=50).sample(batch_size=2).numpy()
    with _tape(iter([x_T, *tape])):
        dynamic = _diffusion(timesteps=10, use_dynamic_thres=True, dynamic_thres_percentile=0.9)
        out["sample10_dynamic"] = dynamic.sample(batch_size=2).numpy()
    with _tape(iter([*pair, *tape])):
        one, two = torch.from_numpy(other), torch.from_numpy(np.tanh(x_T))
        out["interpolated"] = _diffusion(timesteps=20).interpolate(one, two, t=12, lam=0.3).numpy()
    return out


BASE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
DDIM = {**LEADING, "clip_sample": False, "set_alpha_to_one": False}
CASES: dict[str, tuple[str, dict, int, float]] = {  # name: scheduler, its options, steps, eta
    "ddim20": ("DDIM", DDIM, 20, 0.0),
    "ddim7": ("DDIM", DDIM, 7, 0.0),
    "ddim20_eta1": ("DDIM", DDIM, 20, 1.0),
    "ddim20_v": ("DDIM", {**DDIM, "prediction_type": "v_prediction"}, 20, 0.5),
    "ddim20_x0": ("DDIM", {**DDIM, "prediction_type": "sample"}, 20, 0.5),
    "ddim20_clip": ("DDIM", {**DDIM, "clip_sample": True}, 20, 0.0),
    "ddim20_trailing": ("DDIM", {**DDIM, "timestep_spacing": "trailing"}, 20, 0.0),
    "ddim20_linspace": ("DDIM", {**DDIM, "timestep_spacing": "linspace"}, 20, 0.0),
    "ddim20_zero_snr_v": (
        "DDIM",
        {
            **DDIM,
            "timestep_spacing": "trailing",
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
        },
        20,
        0.0,
    ),
    "dpm20": ("DPMSolverMultistep", {}, 20, 0.0),
    "dpm9": ("DPMSolverMultistep", {}, 9, 0.0),
    "dpm20_v": ("DPMSolverMultistep", {"prediction_type": "v_prediction"}, 20, 0.0),
    "dpm20_leading": ("DPMSolverMultistep", LEADING, 20, 0.0),
    "dpm20_trailing": ("DPMSolverMultistep", {"timestep_spacing": "trailing"}, 20, 0.0),
    "dpm20_order1": ("DPMSolverMultistep", {"solver_order": 1}, 20, 0.0),
    "dpm_sde20": ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}, 20, 1.0),
    "dpm_sde20_v": (
        "DPMSolverMultistep",
        {"algorithm_type": "sde-dpmsolver++", "prediction_type": "v_prediction"},
        20,
        1.0,
    ),
    "euler20": ("EulerDiscrete", LEADING, 20, 0.0),
    "euler20_linspace": ("EulerDiscrete", {"timestep_spacing": "linspace"}, 20, 0.0),
    "euler20_trailing": ("EulerDiscrete", {"timestep_spacing": "trailing"}, 20, 0.0),
    "euler20_v": ("EulerDiscrete", {**LEADING, "prediction_type": "v_prediction"}, 20, 0.0),
    "euler_ancestral20": ("EulerAncestralDiscrete", LEADING, 20, 1.0),
    "ddpm20": ("DDPM", {**LEADING, "clip_sample": False}, 20, 1.0),
    "ddpm20_large": (
        "DDPM",
        {"timestep_spacing": "leading", "clip_sample": False, "variance_type": "fixed_large"},
        20,
        1.0,
    ),
    "ddpm20_v_clip": (
        "DDPM",
        {**LEADING, "clip_sample": True, "prediction_type": "v_prediction"},
        20,
        1.0,
    ),
}


def samplers() -> Arrays:
    """diffusers' schedulers: final latents and visited timesteps of each case."""
    x_T, tape = _drawn(LATENT, 10), _drawn((LATENT_STEPS, *LATENT), 11)
    out = {"x_T": x_T, "tape": tape}
    for name, case in CASES.items():
        out[f"{name}/out"], out[f"{name}/times"] = _run(*case, x_T, tape)
    out.update(_inversions(x_T))
    return out


def _run(
    kind: str, options: dict, steps: int, eta: float, x_T: np.ndarray, tape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    import diffusers

    scheduler = getattr(diffusers, f"{kind}Scheduler")(**BASE, **options)
    scheduler.set_timesteps(steps)
    x = torch.from_numpy(x_T) * scheduler.init_noise_sigma
    step = _stepper(scheduler, eta)
    for i, t in enumerate(scheduler.timesteps):
        model_in = scheduler.scale_model_input(x, t)
        out = torch.from_numpy(toy(model_in.numpy(), np.full(len(x_T), t.item())))
        x = step(out, t, x, torch.from_numpy(tape[i]))
    return x.numpy(), scheduler.timesteps.numpy()


def _stepper(scheduler: object, eta: float) -> Callable[..., torch.Tensor]:
    """One way to hand noise to a scheduler: an argument where it has one, else in place of its
    random numbers.
    """
    module = sys.modules[type(scheduler).__module__]

    def step(
        out: torch.Tensor, t: torch.Tensor, x: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        if type(scheduler).__name__ == "DDIMScheduler":
            return scheduler.step(
                out, t, x, eta=eta, variance_noise=noise if eta else None
            ).prev_sample
        with mock.patch.object(module, "randn_tensor", lambda *_, **__: noise):
            return scheduler.step(out, t, x).prev_sample

    return step


def _inversions(x0: np.ndarray) -> Arrays:
    from diffusers import DDIMInverseScheduler

    out = {}
    for kind in ("epsilon", "v_prediction"):
        scheduler = DDIMInverseScheduler(**BASE, **DDIM, prediction_type=kind)
        scheduler.set_timesteps(20)
        x = torch.from_numpy(x0)
        for t in scheduler.timesteps:
            x = scheduler.step(
                torch.from_numpy(toy(x.numpy(), np.full(len(x0), t.item()))), t, x
            ).prev_sample
        out[f"inverse_{kind}/out"], out[f"inverse_{kind}/times"] = (
            x.numpy(),
            scheduler.timesteps.numpy(),
        )
    return out


def make(folder: Path) -> list[Path]:
    """Write diffusion_*.npz into `folder`."""
    written = []
    for name, arrays in (("schedules", schedules()), ("vdm", vdm()), ("samplers", samplers())):
        path = Path(folder) / f"diffusion_{name}.npz"
        np.savez_compressed(path, **arrays)
        written.append(path)
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
