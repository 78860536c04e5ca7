"""Videos of the pixel model in PyTorch, by mindlong's own sampler, to choose a guidance by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mindlong.data.source import to_frames
from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.sample import Plain, sample
from mindlong.networks.caption.spec import caption_ids
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

SEED = 77  # of the noise; other than in any evaluation


def predictor(network: torch.nn.Module, ids: torch.Tensor, dropped: float) -> Model:
    """(x, t) -> prediction, numpy; the condition is dropped of all rows (1) or of none (0)."""

    @torch.no_grad()
    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(x).to(ids.device), torch.from_numpy(np.asarray(t)).to(ids.device)
        return network(*rows, ids, dropped).float().cpu().numpy()

    return model


def videos(
    network: torch.nn.Module,
    config: TrainConfig,
    captions: Sequence[str],
    guidance: float,
    until: float,
    steps: int = 50,
) -> np.ndarray | None:
    """uint8 (B, F, H, W, 3) for captions; None where the clock passed `until` (time.monotonic)."""
    device = next(network.parameters()).device
    ids = np.stack([caption_ids(caption, config.model.text.length) for caption in captions])
    held = torch.from_numpy(ids).long().to(device)
    shape = (3, config.data.frames, *config.data.size)
    noise = rng.normal_rows(list(range(len(captions))), shape, SEED, "sample", 0)
    made = sample(
        Plain(steps=steps),
        guided(predictor(network, held, 0.0), predictor(network, held, 1.0), guidance),
        noise,
        of_options(config.diffusion, bound=1.0),
        noise=None,
        callback=lambda *_: time.monotonic() > until,
    )
    return None if time.monotonic() > until else to_frames(made)


def compare(
    network: torch.nn.Module,
    config: TrainConfig,
    captions: Sequence[str],
    folder: Path,
    until: float,
    scales: Sequence[float] = (2.0, 1.5, 3.0, 1.0),
) -> None:
    """Write samples.npz, the videos of each guidance that there was time for."""
    made: dict[str, np.ndarray] = {"captions": np.array(captions)}
    for scale in scales:
        found = videos(network, config, captions, scale, until)
        if found is None:
            break
        made[f"guidance_{scale:g}"] = found
        np.savez_compressed(folder / "samples.npz", **made)
