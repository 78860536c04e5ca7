"""What of Tune-A-Video's training, inversion and sampling is compared; networks and weights are
those of unet_cases.py.
"""

from __future__ import annotations

import numpy as np
from unet_cases import SEED, TOKENS, Case

from mindlong.utils import rng

TRAININGS = (("tuned_sd15", "epsilon"), ("tuned_sd20", "v_prediction"))
SAMPLING = "tuned_sd15"
STEPS, GUIDANCE = 10, 7.5
LR, CLIP = (
    1e-3,
    0.5,
)  # the gradient of tuned_sd20 has a larger norm and is cut, those of the others have not


def batch(case: Case) -> dict[str, np.ndarray]:
    """Latents, noise, timesteps, vectors of the prompt and of the empty one."""
    videos, *rest = case.shape

    def draw(shape: tuple[int, ...], what: str) -> np.ndarray:
        return rng.normal(shape, SEED, "tune", what, case.name)

    latents, texts = (videos, 4, *rest), (videos, TOKENS, case.spec().context_dim)
    return {
        "x0": draw(latents, "x0"),
        "noise": draw(latents, "noise"),
        "t": np.array([981, 0][:videos], np.int32),
        "context": draw(texts, "context"),
        "null": draw(texts, "null"),
    }
