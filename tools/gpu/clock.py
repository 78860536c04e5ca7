"""A training of a given time: learning rate by the clock, averaged weights, losses on disk."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file


class Clock:
    """The learning rate falls as a cosine over `seconds`; `rows` of the losses go to a file."""

    def __init__(self, seconds: float, lr: float, folder: Path, warmup: int = 100):
        folder.mkdir(parents=True, exist_ok=True)
        self.seconds, self.lr, self.warmup = seconds, lr, warmup
        self.folder, self.step, self.sums, self.count = folder, 0, 0.0, 0
        self.file = (folder / "metrics.csv").open("w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerow(["step", "seconds", "loss", "lr"])
        self.started = time.monotonic()

    @property
    def share(self) -> float:
        """How much of the time is gone, in [0, 1]."""
        return min(1.0, (time.monotonic() - self.started) / self.seconds)

    def rate(self) -> float:
        """The learning rate of this step."""
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.share))
        return self.lr * falling * min(1.0, (self.step + 1) / self.warmup)

    def begin(self, optimizer: torch.optim.Optimizer) -> bool:
        """Set the rate of a step; False once the time is over."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate()
        return self.share < 1

    def end(self, loss: torch.Tensor, every: int = 50) -> None:
        """Count a step; every `every` steps the mean loss is written (a NaN ends the run)."""
        self.sums, self.count, self.step = self.sums + loss.detach(), self.count + 1, self.step + 1
        if self.step % every:
            return
        mean = float(self.sums) / self.count
        gone = time.monotonic() - self.started
        self.rows.writerow([self.step, f"{gone:.1f}", f"{mean:.6f}", f"{self.rate():.6g}"])
        self.file.flush()
        print(f"{self.folder.name} step {self.step} {gone:.0f} s loss {mean:.5f}", flush=True)
        if not math.isfinite(mean):
            raise SystemExit(f"{self.folder.name}: the loss is {mean} at step {self.step}")
        self.sums, self.count = 0.0, 0


class Average:
    """Exponential averages of a module's parameters, in float32."""

    def __init__(self, modules: dict[str, torch.nn.Module], decay: float = 0.999):
        self.decay = decay
        self.live = {
            f"{name}.{key}": value
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        self.kept = {key: value.detach().clone() for key, value in self.live.items()}
        moving = [key for key, value in self.live.items() if value.is_floating_point()]
        self.pairs = [self.kept[key] for key in moving], [self.live[key] for key in moving]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the present weights in; the decay grows with the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.pairs[0], self.pairs[1], 1 - decay)

    def state(self, name: str) -> dict[str, torch.Tensor]:
        """The averages of one module, by its own names."""
        start = f"{name}."
        return {k[len(start) :]: v for k, v in self.kept.items() if k.startswith(start)}


def optimizer(parameters, lr: float, device: str) -> torch.optim.Optimizer:
    """AdamW with the settings of the configurations in configs/train."""
    return torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.0, fused=device == "cuda"
    )


def save(state: dict[str, torch.Tensor], path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write tensors aside and rename."""
    kept = {
        k: v.detach().to("cpu", dtype if v.is_floating_point() else v.dtype).contiguous()
        for k, v in state.items()
    }
    aside = path.with_suffix(".part")
    save_file(kept, str(aside))
    aside.rename(path)
