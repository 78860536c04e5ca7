"""Interpolation by a network that is conditioned on the two ends of a run: each gap between two key
frames is a run of its trained length, of which a stage keeps what its factor asks for.

Legend: B windows, F frames of a window, C channels, H W of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.pipelines.hierarchical.runs import Runs
from mindlong.pipelines.interpolate.gaps import stretch_of
from mindlong.pipelines.one_prompt import OnePrompt, Shown
from mindlong.plans.hierarchy import Job

if TYPE_CHECKING:
    from mindlong.diffusion.hints import Rule
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.image_model import ImageModel
    from mindlong.pipelines.jobs import Batch


@dataclass(frozen=True)
class ImageStage:
    """A network that makes frames between two, and the way it is sampled.

    Attributes:
        rule: its `pin` is read; the network knows the ends whatever it says.
        image_guidance: see `mindlong.pipelines.image_model.guided_model`.
    """

    model: ImageModel
    shown: Shown
    sample: Any
    noising: Noising
    rule: Rule
    callback: Callback | None = None
    image_guidance: float = 0.0
    negative: str = ""


@dataclass(frozen=True)
class GapRuns:
    """The work of such a stage; call it with a batch (see `mindlong.pipelines.jobs`).

    Attributes:
        fps: of the finished video.
    """

    stage: ImageStage
    fps: float
    seed: int = 0
    number: int = 0

    def __call__(self, batch: Batch, known_BFCHW: np.ndarray) -> np.ndarray:
        """All frames of every window (B, F, C, H, W); key frames are returned as they came."""
        length = self.stage.model.images.frames
        runs, keys = self._runs(length), np.flatnonzero(batch.known[0])
        out = np.array(known_BFCHW, np.float32)
        for a, b in zip(keys, keys[1:], strict=False):
            fine = replace(batch, jobs=tuple(_gap(job, a, b, length) for job in batch.jobs))
            ends = np.zeros((len(out), length, *out.shape[2:]), np.float32)
            ends[:, 0], ends[:, -1] = out[:, a], out[:, b]
            out[:, a : b + 1] = runs(fine, ends)[:, :: stretch_of(int(b - a), length)]
        return out

    def _runs(self, length: int) -> Runs:
        stage, shown = self.stage, self.stage.shown
        return Runs(
            stage.model,
            stage.model.latent.encode_text,
            stage.sample,
            stage.noising,
            shown if isinstance(shown, OnePrompt) else shown.finer(length - 1),
            self.fps * (length - 1),  # frames of a gap are numbered so many times as finely
            negative=stage.negative,
            null=stage.model.latent.null_text,
            pin=stage.rule.pin,
            seed=self.seed,
            number=self.number,
            callback=stage.callback,
            image_guidance=stage.image_guidance,
        )


def _gap(job: Job, a: int, b: int, length: int) -> Job:
    """The gap between a window's frames a and b as a run of `length` frames."""
    first, last = job.frames[a], job.frames[b]
    frames = tuple(range(first * (length - 1), last * (length - 1) + 1, last - first))
    return Job(job.name, job.level, job.node, frames, (frames[0], frames[-1]))
