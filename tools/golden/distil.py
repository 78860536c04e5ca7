"""Golden losses of latent consistency distillation (developers only: needs torch).

The functions are those of diffusers' examples/consistency_distillation/train_lcm_distill_sd_wds.py
at 58eb52c0, read out of the file; the networks are a closed form. The folder `diffusers` under the
current one is a checkout:

    git clone https://github.com/huggingface/diffusers
    python tools/golden/distil.py tests/golden
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

SCRIPT = "examples/consistency_distillation/train_lcm_distill_sd_wds.py"
WANTED = (
    "scalings_for_boundary_conditions",
    "get_predicted_original_sample",
    "get_predicted_noise",
    "extract_into_tensor",
    "append_dims",
    "DDIMSolver",
    "guidance_scale_embedding",
)
SHAPE = (4, 2, 3, 3)
GAINS = {"student": 0.5, "teacher": 0.6, "target": 0.55}
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def functions(script: Path) -> dict[str, Any]:
    """The wanted functions of the script, without what it imports for its data."""
    tree = ast.parse(script.read_text())
    tree.body = [node for node in tree.body if getattr(node, "name", "") in WANTED]
    held: dict[str, Any] = {"np": np, "torch": torch}
    exec(compile(tree, str(script), "exec"), held)  # noqa: S102  the original's own code
    return held


def network(
    x: torch.Tensor, t: torch.Tensor, context: torch.Tensor, gain: torch.Tensor
) -> torch.Tensor:
    """A stand-in for a UNet."""
    clock = 0.2 * torch.sin(t.double() / 150.0).reshape(-1, 1, 1, 1)
    return gain * torch.tanh(x) + clock + context.reshape(-1, 1, 1, 1)


def step(its: dict[str, Any], given: dict[str, torch.Tensor], kind: str) -> dict[str, np.ndarray]:
    """One step of the training: noisy sample, target, losses, gradient by the student's gain."""
    squared = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000).double() ** 2, 0)
    tables = squared.sqrt(), (1 - squared).sqrt()
    solver = its["DDIMSolver"](squared.numpy(), timesteps=1000, ddim_timesteps=50)
    start = solver.ddim_timesteps[given["index"]]
    end = (start - 20).clamp(min=0)
    alpha, sigma = (its["extract_into_tensor"](each, start, SHAPE) for each in tables)
    z = alpha * given["x0"] + sigma * given["noise"]
    w = given["w"].reshape(-1, 1, 1, 1)

    def read(which: str, out: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return its[which](out, t, x, kind, *tables)

    def consistent(out: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        skip, keep = (
            its["append_dims"](each, 4) for each in its["scalings_for_boundary_conditions"](t)
        )
        return skip * x + keep * read("get_predicted_original_sample", out, t, x)

    gain = torch.tensor(GAINS["student"]).double().requires_grad_()
    said = consistent(network(z, start, given["context"], gain), start, z)
    both = [network(z, start, given[c], GAINS["teacher"]) for c in ("context", "null")]
    x0, eps = (
        _guided([read(which, out, start, z) for out in both], w)
        for which in ("get_predicted_original_sample", "get_predicted_noise")
    )
    before = solver.ddim_step(x0, eps, given["index"])
    goal = consistent(network(before, end, given["context"], GAINS["target"]), end, before)
    huber = (((said - goal) ** 2 + 0.001**2).sqrt() - 0.001).mean()
    huber.backward()
    l2 = ((said - goal) ** 2).mean()
    found = {"z": z, "goal": goal, "huber": huber, "l2": l2, "gradient": gain.grad, "t": start}
    return {name: each.detach().numpy() for name, each in found.items()} | {"before": end.numpy()}


def _guided(both: list[torch.Tensor], w: torch.Tensor) -> torch.Tensor:
    return both[0] + w * (both[0] - both[1])


def embeddings(its: Callable[..., torch.Tensor]) -> dict[str, np.ndarray]:
    """What networks are told of guidance, at three widths."""
    w = torch.tensor([0.0, 0.5, 4.0, 7.0, 14.0])
    return {f"waves_{width}": its(w, width).numpy() for width in (256, 512, 7)} | {
        "waves_w": w.numpy()
    }


def make(folder: Path, original: Path = Path("diffusers")) -> list[Path]:
    """Write distil.npz into `folder`."""
    its, random = functions(original / SCRIPT), np.random.default_rng(7)
    drawn = {name: random.standard_normal(SHAPE).astype(np.float32) for name in ("x0", "noise")}
    drawn |= {"context": np.float32([0.1, -0.2, 0.3, 0.0]), "null": np.zeros(4, np.float32)}
    drawn |= {"index": np.int64([0, 1, 30, 49]), "w": np.float32([0.5, 5.0, 7.5, 14.0])}
    arrays = dict(drawn)
    given = {
        n: torch.from_numpy(a) if n == "index" else torch.from_numpy(a).double()
        for n, a in drawn.items()
    }
    for kind in PREDICTIONS:
        arrays |= {f"{kind}/{name}": each for name, each in step(its, given, kind).items()}
    arrays |= embeddings(its["guidance_scale_embedding"])
    path = Path(folder) / "distil.npz"
    np.savez_compressed(path, **arrays)
    return [path]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
