"""The work of a hierarchy's runs (NUWA-XL, arXiv 2303.12346, section 3.3), and of others that know
some of their frames.

Level 0 makes key frames as the base does. Each run below knows its ends, which are the frames of
the level above to the last bit, and makes what lies between; runs of a level need nothing of one
another.

Legend: B runs of a batch, C channels, F frames of a run, h w latent pixels, S tokens, D their
width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mindlong.diffusion import hints
from mindlong.diffusion.finite import Row
from mindlong.diffusion.sample import sample
from mindlong.diffusion.samplers.loop import Held
from mindlong.networks.unet.control_spec import ControlSpec, condition
from mindlong.pipelines.hierarchical.seams import SEAMS
from mindlong.pipelines.image_model import guided_model
from mindlong.pipelines.wording import states_of_rows
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.pipelines.jobs import Batch
    from mindlong.pipelines.one_prompt import Shown
    from mindlong.pipelines.prompts import Prompts

BLEND = ControlSpec(fill="blend")


class Network(Protocol):
    """What a run asks: `mindlong.pipelines.hierarchical.controlled_model.ControlledModel`, or a
    stand-in of a test.
    """

    def denoiser(
        self,
        context: np.ndarray,
        fps: float,
        clean_BCFHW: np.ndarray,
        known_BF: np.ndarray,
        depth: int,
        image: bool = True,
    ) -> Model:
        """A model for the samplers; `image` is false for the unconditional call."""


@dataclass(frozen=True)
class Runs:
    """The work of a hierarchy; call it with a batch (see `mindlong.pipelines.jobs`).

    Attributes:
        network: what is asked, or one for each level (the last for all below it); `encode` and
            `noising` likewise.
        encode: prompts -> (number of prompts, S, D) float32.
        sample: the `sample` section of a configuration, or one for each level likewise.
        prompts: of every run.
        fps: of the finished video; a network that takes it is conditioned on that of its own run.
        pin: "each_step" or "final".
        strength: of each level (the last for all below it), what share of the timesteps runs go
            through that know frames;
            below 1 they begin from a blend of these. Empty: all of them, from noise alone.
        number: of the video among those of one seed.
        null: (negative prompt, states of prompts) -> what the unconditional call reads in their
            place, or one for each level likewise; None: the states of the negative prompt.
        seams: what is done against them, of SEAMS, on each level likewise.
        image_guidance: the scale towards the image apart from that towards the text; 0: both are
            one (see `mindlong.pipelines.image_model.guided_model`).
    """

    network: Network | Sequence[Network]
    encode: Callable[[list[str]], np.ndarray] | Sequence[Callable[[list[str]], np.ndarray]]
    sample: Any
    noising: Noising | Sequence[Noising]
    prompts: Prompts | Shown
    fps: float = 8.0
    negative: str = ""
    pin: str = "each_step"
    seams: Sequence[str] = ("free",)
    strength: Sequence[float] = ()
    seed: int = 0
    number: int = 0
    callback: Callable[..., Any] | None = None
    image_guidance: float = 0.0
    null: Any = None

    def __call__(self, batch: Batch, known_BFCHW: np.ndarray) -> np.ndarray:
        """All frames of every run (B, F, C, h, w); known ones are returned as they came."""
        known, clean = batch.known, known_BFCHW.transpose(0, 2, 1, 3, 4)
        model, noising = self._model(batch, clean, known), self._noising(batch.level, known)
        whole = noising is of_level(self.noising, batch.level)
        places = np.flatnonzero(known[0])
        start = self._noise(batch, clean.shape[1:2] + clean.shape[3:], "start")
        if not whole:
            start = hints.pinned_start(
                start, condition(clean, known, BLEND)[0], range(known.shape[1]), noising.schedule
            )
        elif len(places) and self.pin == "each_step":
            start = hints.pinned_start(start, clean[:, :, places], places, noising.schedule)
        held = None
        if len(places) and self.pin == "each_step":
            held = Held(clean[:, :, places], places)
        made = sample(
            of_level(self.sample, batch.level),
            model,
            start,
            noising,
            callback=self.callback,
            noise=lambda step: self._noise(batch, clean.shape[1:2] + clean.shape[3:], "step", step),
            held=held,
            rows=[Row(job.name, job.frames) for job in batch.jobs],
            pure_noise=held is None and whole,
        )
        made = SEAMS[of_level(self.seams, batch.level)](made, clean, known)
        out = np.where(known[:, None, :, None, None], clean, made)
        return out.transpose(0, 2, 1, 3, 4).astype(np.float32)

    def _model(self, batch: Batch, clean: np.ndarray, known: np.ndarray) -> Model:
        rate, sample = self.fps / self._stride(batch), of_level(self.sample, batch.level)
        network = of_level(self.network, batch.level)

        def conditioned(context: np.ndarray, image: bool) -> Model:
            return network.denoiser(context, rate, clean, known, batch.level, image)

        context = self._context(batch)

        def null() -> np.ndarray:
            rule = of_level(self.null, batch.level)
            if rule is not None:
                return rule(self.negative, context)
            empty = of_level(self.encode, batch.level)([self.negative])[0]
            return np.broadcast_to(empty, context.shape)

        guidance = self.image_guidance if hasattr(network, "images") else 0.0
        return guided_model(conditioned, context, null, sample, guidance)

    def _noising(self, level: int, known: np.ndarray) -> Noising:
        share = of_level(self.strength, level) if len(self.strength) and known.any() else 1
        return of_level(self.noising, level).below(share)

    def _stride(self, batch: Batch) -> int:
        frames = batch.jobs[0].frames
        return frames[1] - frames[0] if len(frames) > 1 else 1

    def _context(self, batch: Batch) -> np.ndarray:
        """(B, S, D), or (B, F, S, D) where prompts change with time."""
        lists = [self.prompts.rows(job) for job in batch.jobs]
        encode = of_level(self.encode, batch.level)
        if not self.prompts.changing():
            return encode([rows[0][0][0] for rows in lists])
        return np.stack([states_of_rows(rows, encode) for rows in lists])

    def _noise(self, batch: Batch, shape: tuple[int, ...], *stream: str | int) -> np.ndarray:
        """float32 (B, C, F, h, w), each image of its own level and frame, whatever run and batch
        it stands in.
        """
        return np.stack(
            [
                np.stack(
                    [self._picture(batch.level, frame, shape, *stream) for frame in job.frames], 1
                )
                for job in batch.jobs
            ]
        )

    def _picture(
        self, level: int, frame: int, shape: tuple[int, ...], *stream: str | int
    ) -> np.ndarray:
        return rng.normal(
            shape, self.seed, f"hierarchical-{stream[0]}", *stream[1:], self.number, level, frame
        )


def of_level(given: Any, level: int) -> Any:
    """What a level has of a list, of which the last entry is for all levels below; anything else is
    for all levels.
    """
    return given[min(level, len(given) - 1)] if isinstance(given, Sequence) else given
