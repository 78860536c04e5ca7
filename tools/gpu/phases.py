"""Few-step distillation by phases: the noise levels are cut into as many stretches as there are
steps, and the student says where the teacher's whole solution of a stretch under guidance ends.

As progressive distillation (arXiv 2202.00512) in one round, with phased consistency's stretches
(arXiv 2405.18407). The teacher starts from where the student itself has come to, so that each
stretch also mends what the ones before it left.

Legend: N noises, K stretches, C channels, F frames, h w latent pixels, T tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mindlong.diffusion.samplers.spacing import times_of
from mindlong.diffusion.schedules import make, zero_terminal_snr

Network = Callable[..., torch.Tensor]  # (x, t, context) -> v


class Phases:
    """The stretches, as tensors on `device`: `times` (K,) and within each `substeps` timesteps."""

    def __init__(self, steps: int, substeps: int, device: str):
        schedule = zero_terminal_snr(make("scaled_linear"))
        signal = np.append(np.sqrt(schedule.alphas_cumprod), 1.0)  # the last: no noise
        noise = np.append(np.sqrt(1 - schedule.alphas_cumprod), 0.0)
        times = [*times_of("trailing", schedule.timesteps, steps), -1]
        fine = [
            [round(high + (low - high) * i / substeps) for i in range(substeps + 1)]
            for high, low in zip(times[:-1], times[1:], strict=True)
        ]
        self.steps, self.substeps, self.device = steps, substeps, device
        self.fine = torch.tensor(fine, device=device)  # (K, substeps + 1); -1 is no noise
        self.times = self.fine[:, 0].clone()
        self.signal = torch.tensor(signal, dtype=torch.float32, device=device)
        self.noise = torch.tensor(noise, dtype=torch.float32, device=device)

    def level(self, t_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """alpha and sigma of timesteps, to broadcast against samples."""
        axes = (-1, 1, 1, 1, 1)
        return self.signal[t_B].view(axes), self.noise[t_B].view(axes)

    def clean(self, x: torch.Tensor, v: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """The clean sample that v says."""
        alpha, sigma = self.level(t_B)
        return alpha * x - sigma * v

    def jump(self, x, v, t_B: torch.Tensor, after_B: torch.Tensor) -> torch.Tensor:
        """A step of DDIM."""
        alpha, sigma = self.level(t_B)
        alpha_after, sigma_after = self.level(after_B)
        return alpha_after * (alpha * x - sigma * v) + sigma_after * (alpha * v + sigma * x)

    def implied(self, x, y, t_B: torch.Tensor, after_B: torch.Tensor) -> torch.Tensor:
        """The clean sample with which one step of DDIM leads from `x` to `y`."""
        alpha, sigma = self.level(t_B)
        alpha_after, sigma_after = self.level(after_B)
        ratio = sigma_after / sigma
        return (y - ratio * x) / (alpha_after - ratio * alpha)

    @torch.no_grad()
    def walk(self, student: Network, x: torch.Tensor, context: torch.Tensor) -> list[torch.Tensor]:
        """Where the student comes to from noise `x`: before each step, and at the end."""
        found = [x]
        for k in range(self.steps):
            t_N = self.times[k].expand(len(x))
            v = student(found[-1], t_N, context).float()
            found.append(self.jump(found[-1], v, t_N, self.fine[k, -1].expand(len(x))))
        return found

    @torch.no_grad()
    def solve(self, teacher: Network, x, context, null, fine_BS, guidance: float) -> torch.Tensor:
        """The teacher's solution: through the timesteps `fine_BS` (B, substeps + 1) of each row."""
        both = torch.cat((null.expand_as(context), context))
        for s in range(fine_BS.shape[1] - 1):
            t_B = fine_BS[:, s]
            out = teacher(torch.cat((x, x)), torch.cat((t_B, t_B)), both).float()
            without, asked = out.chunk(2)
            v = without + guidance * (asked - without)
            x = self.jump(x, v, t_B, fine_BS[:, s + 1])
        return x

    @torch.no_grad()
    def lesson(self, student: Network, teacher: Network, noise, context, null, guidance: float):
        """What the student is to learn on its own way from `noise` (N, C, F, h, w).

        Returns:
            the samples it meets, and the clean samples it should say there; both (K N, C, F, h, w),
            stretch by stretch.
        """
        met = torch.cat(self.walk(student, noise, context)[:-1])
        fine = self.fine.repeat_interleave(len(noise), 0)
        context = context.repeat(self.steps, 1, 1)
        end = self.solve(teacher, met, context, null, fine, guidance)
        return met, self.implied(met, end, fine[:, 0], fine[:, -1])
