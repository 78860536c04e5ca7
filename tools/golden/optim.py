"""Golden numbers of Adam, AdamW and gradient clipping, from torch.optim on scripted gradients
(needs torch).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

STEPS = 20
SHAPES = {"first": (7, 5), "second": (3,), "third": (2, 3, 2)}
CASES = {
    "adam": (torch.optim.Adam, {}),
    "adam_decay": (torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "adamw_decay": (torch.optim.AdamW, {"weight_decay": 0.3, "betas": (0.9, 0.99)}),
}


def gradients() -> dict[str, np.ndarray]:
    """(STEPS, ...) float32 a parameter, over nine decades so that eps matters and rounding
    shows.
    """
    rng = np.random.default_rng(5)
    out = {}
    for name, shape in SHAPES.items():
        size = 10.0 ** rng.uniform(-8, 1, shape)
        out[name] = (rng.standard_normal((STEPS, *shape)) * size).astype(np.float32)
    return out


def rates() -> np.ndarray:
    """A learning rate a step: it changes, so that a fixed one would show."""
    return 1e-2 * (1.0 + np.arange(STEPS) % 5)


def make(folder: Path) -> list[Path]:
    """Write optim.npz: gradients, start, and the parameters after 1, 2, 10 and all steps of every
    case.
    """
    rng = np.random.default_rng(6)
    arrays = {f"gradient/{k}": v for k, v in gradients().items()} | {"lr": rates()}
    start = {k: rng.standard_normal(s).astype(np.float32) for k, s in SHAPES.items()}
    arrays |= {f"start/{k}": v for k, v in start.items()}
    for case, (kind, options) in CASES.items():
        arrays |= {
            f"{case}/{key}": value for key, value in _run(kind, options, start, clip=0.0).items()
        }
    arrays |= {
        f"clipped/{key}": value
        for key, value in _run(torch.optim.AdamW, {}, start, clip=10.0).items()
    }
    path = folder / "optim.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def _run(
    kind: type, options: dict, start: dict[str, np.ndarray], clip: float
) -> dict[str, np.ndarray]:
    parameters = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in start.items()}
    optimizer = kind(parameters.values(), lr=1.0, **options)
    tape, out, norms = gradients(), {}, []
    for step, lr in enumerate(rates()):
        optimizer.param_groups[0]["lr"] = float(lr)
        for name, p in parameters.items():
            p.grad = torch.tensor(tape[name][step])
        if clip:
            norms.append(float(torch.nn.utils.clip_grad_norm_(parameters.values(), clip)))
        optimizer.step()
        if step + 1 in (1, 2, 10, STEPS):
            out |= {
                f"{step + 1}/{name}": p.detach().numpy().copy() for name, p in parameters.items()
            }
    return out | ({"norm": np.array(norms)} if clip else {})
