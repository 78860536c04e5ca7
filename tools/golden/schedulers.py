"""Golden samples of diffusers' schedulers, one for each line of tests/parity/scheduler_cases.py
(developers only: needs torch and diffusers).

The network is a closed form, so that only what a scheduler_config.json says is compared. Start and
noise tape are stored beside the results. The schedulers compute in float64: where a schedule ends
without signal, Euler's samples are thousands in size and float32 alone is off by up to 2e-4.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
from scheduler_cases import LONGEST, SHAPE, Case, cases, toy  # noqa: E402


def _drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@contextmanager
def _double() -> Iterator[None]:
    """torch computes in float64, also where a scheduler asks for float32."""
    with mock.patch.object(torch, "float32", torch.float64):
        torch.set_default_dtype(torch.float64)
        yield
    torch.set_default_dtype(torch.float32)


def run(case: Case, x_T: np.ndarray, tape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last sample and the timesteps visited."""
    import diffusers

    scheduler = getattr(diffusers, case.original).from_config(dict(case.config))
    with mock.patch.object(np, "float32", np.float64):
        scheduler.set_timesteps(case.steps)
    x = torch.from_numpy(x_T) * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t)
        out = torch.from_numpy(toy(scaled.numpy(), np.full(len(x_T), t.item()))).double()
        x = _step(scheduler, case, out, t, x, torch.from_numpy(tape[i]))
    return x.numpy().astype(np.float32), scheduler.timesteps.numpy().astype(np.float32)


def _step(
    scheduler: object,
    case: Case,
    out: torch.Tensor,
    t: torch.Tensor,
    x: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """One step, with `noise` in place of the scheduler's random numbers."""
    module = sys.modules[type(scheduler).__module__]
    more = {"eta": case.eta} if case.eta or case.kind == "TCD" else {}
    with mock.patch.object(module, "randn_tensor", lambda *_, **__: noise, create=True):
        return scheduler.step(out, t, x, **more).prev_sample


def make(folder: Path) -> list[Path]:
    """Write scheduler_files.npz into `folder`."""
    warnings.simplefilter("ignore")
    x_T, tape = _drawn(SHAPE, 20), _drawn((LONGEST, *SHAPE), 21)
    arrays = {"x_T": x_T, "tape": tape}
    for case in cases():
        with _double():
            made = run(case, x_T.astype(np.float64), tape.astype(np.float64))
        arrays[f"{case.name}/out"], arrays[f"{case.name}/times"] = made
    path = Path(folder) / "scheduler_files.npz"
    np.savez_compressed(path, **arrays)
    return [path]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
