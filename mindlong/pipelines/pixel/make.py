"""Text to video with the pixel-space Unet3D: prompts in, uint8 frames out.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn

from mindlong.data.source import to_frames
from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.scheduler_config import Noising
from mindlong.diffusion.schedules import Schedule
from mindlong.diffusion.thresholding import dynamic_threshold, static_threshold
from mindlong.pipelines.denoise import count_steps, denoise
from mindlong.utils import rng


@dataclass(frozen=True)
class Request:
    """One video to make: what it shows and which noise it starts from."""

    prompt: str
    seed: int
    number: int = 0


@dataclass(frozen=True)
class Plan:
    """How the videos are made. `shape` is (C, F, H, W)."""

    shape: tuple[int, int, int, int]
    sampler: str = "ddim"
    steps: int = 50
    eta: float = 0.0
    guidance: float = 1.0
    dynamic_threshold: float = 0.0
    prediction: str = "eps"
    flavour: str = ""
    spacing: str = ""
    rescale: float = 0.0


Callback = Callable[[int, int, np.ndarray], object]


class PixelVideo:
    """A network with its schedule, ready to make videos.

    Args:
        network: the network, conditioned as it was trained.
        schedule: the noising process it was trained on.
    """

    def __init__(self, network: nn.Cell, schedule: Schedule) -> None:
        self.network = network.set_train(False)
        self.schedule = schedule

    def batches(
        self, requests: Sequence[Request], plan: Plan, size: int, callback: Callback | None = None
    ) -> Iterator[tuple[Sequence[Request], np.ndarray]]:
        """Yield (requests, frames uint8 (B, F, H, W, C)) for `size` requests at a time, in
        order.
        """
        for start in range(0, len(requests), size):
            part = list(requests[start : start + size])
            padded = part + [part[-1]] * (size - len(part))  # one compiled shape
            yield part, self.run(padded, plan, callback)[: len(part)]

    def run(
        self, requests: Sequence[Request], plan: Plan, callback: Callback | None = None
    ) -> np.ndarray:
        """The videos of `requests` as one batch: uint8 (B, F, H, W, C)."""
        model = self._model([r.prompt for r in requests], plan)
        start = _noise(requests, plan.shape, "sample", 0)

        def noise(step: int) -> np.ndarray:
            return _noise(requests, plan.shape, "sample-step", step)

        clip = (
            dynamic_threshold(plan.dynamic_threshold)
            if plan.dynamic_threshold
            else static_threshold()
        )
        noising = Noising(self.schedule, plan.prediction)
        return to_frames(
            denoise(plan, model, start, noising, noise=noise, callback=callback, clip=clip)
        )

    def count_steps(self, plan: Plan) -> int:
        """Steps that a video takes."""
        return count_steps(plan, Noising(self.schedule, plan.prediction))

    def _model(self, prompts: list[str], plan: Plan) -> Model:
        wanted = self.network.conditions(prompts)
        absent = self.network.conditions(prompts, dropped=True)
        return guided(
            self._with(wanted), self._with(absent) if wanted else None, plan.guidance, plan.rescale
        )

    def _with(self, conditions: tuple[np.ndarray, ...]) -> Model:
        tensors = [Tensor(c) for c in conditions]
        return lambda x, t: self.network(Tensor(x), Tensor(t), *tensors).asnumpy()


def _noise(
    requests: Sequence[Request], shape: tuple[int, ...], stream: str, step: int
) -> np.ndarray:
    return np.stack([rng.normal(shape, r.seed, stream, step, r.number) for r in requests])
