"""Running the stages of an interpolation chain, and of an extension, with a network that reads
hints.

A stage's network reads latents, a mask and hints (see `mindlong.diffusion.hints`); a network
of latents alone can serve too, if the given frames are pinned at each step. The noise of a frame is
keyed by the frame's place, so how a stage is cut into windows, batches and processes changes no
noise.

Legend: B videos or windows, F frames of a run, K given frames, C channels, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.config.sample import SampleOptions
from mindlong.diffusion import hints
from mindlong.diffusion.finite import Row
from mindlong.diffusion.hints import Rule
from mindlong.diffusion.sample import sample
from mindlong.diffusion.samplers.loop import Callback, Held
from mindlong.parallel.comm import Comm
from mindlong.pipelines.interpolate.gaps import one_by_one
from mindlong.pipelines.interpolate.images import GapRuns, ImageStage
from mindlong.pipelines.jobs import Batch, Work, run_plan
from mindlong.pipelines.latent_model import LatentModel
from mindlong.plans.chain import Chain, place, plan_chain
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.parallel.comm import Comm
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.latents import Latents
    from mindlong.plans.hierarchy import Job, LongPlan

Predict = Callable[..., np.ndarray]
# (x_BCFhw, t_B, frames per second) -> prediction; a stage that is `by_frame` gives the numbers of
# the frames, (B, F), too


@dataclass(frozen=True)
class Stage:
    """A network with its noising process and the way it is sampled.

    Attributes:
        predict: the network, guided already.
        noising: what it was trained on.
        sample: the `sample` section of a configuration.
        hinted: it reads mask and hints behind the latents; else latents alone.
        callback: called at each denoising step.
        by_frame: `predict` is told which frames of the finished video it makes.
    """

    predict: Predict
    noising: Noising
    rule: Rule = Rule()
    sample: SampleOptions = field(default_factory=SampleOptions)
    hinted: bool = True
    callback: Callback | None = None
    by_frame: bool = False

    def __post_init__(self) -> None:
        if not self.hinted and self.rule.pin != "each_step":
            raise ConfigError(
                f"pin is {self.rule.pin!r}, but the network reads no hints; it learns of the given frames only "
                "with pin=each_step"
            )

    def model(
        self,
        given_BCKhw: np.ndarray,
        given: Sequence[int],
        run: Sequence[int],
        fps: float,
        noise: np.ndarray | None = None,
        frames_BF: Sequence[Sequence[int]] = (),
    ) -> Model:
        """The network on the latents of the run `run` alone; `noise` is that of the hints, where
        there is any, `frames_BF` the numbers of the frames of each row.
        """

        def plain(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            if self.by_frame:
                return self.predict(x, t, fps, frames_BF)
            return self.predict(x, t, fps)

        model = plain
        if self.hinted:
            noisy = hints.augment(given_BCKhw, noise, self.rule.hint_noise)
            spread = hints.fill(given, run, self.rule.hint).spread(noisy)
            model = hints.with_hints(
                plain, hints.mask(given, run, spread.shape[-2:], self.rule.mask), spread
            )
        return model

    def held(
        self, given_BCKhw: np.ndarray, given: Sequence[int], run: Sequence[int]
    ) -> Held | None:
        """The given frames inside the run, if they are held at each step."""
        if self.rule.pin != "each_step":
            return None
        inside = [(row, run.index(f)) for row, f in enumerate(given) if f in run]
        rows, places = [row for row, _ in inside], [at for _, at in inside]
        return Held(given_BCKhw[:, :, rows], places)


@dataclass(frozen=True)
class HintedRuns:
    """The work of a plan's hinted runs; call it with a batch (see `mindlong.pipelines.jobs`).

    Attributes:
        stage_of: the stage of a level.
        total: frames of the chain, which tell the versions of a frame apart.
        fps_of: frames per second of a level's runs.
        inside: the frames given are part of the run (held to); else the run is what the job makes.
    """

    stage_of: Callable[[int], Stage]
    total: int
    fps_of: Callable[[int], float]
    inside: bool
    seed: int = 0
    number: int = 0

    def __call__(self, batch: Batch, known_BFCHW: np.ndarray) -> np.ndarray:
        """The frames of every job, (B, frames of a job, C, h, w); zero where they are given and not
        part of the run.
        """
        stage, is_given = self.stage_of(batch.level), batch.known[0]
        rows = np.arange(len(is_given)) if self.inside else np.flatnonzero(~is_given)
        given, run = (
            [place(batch.jobs[0].frames[i], self.total) for i in some]
            for some in (np.flatnonzero(is_given), rows)
        )
        given_BCKhw = known_BFCHW[:, is_given].transpose(0, 2, 1, 3, 4)
        shape = given_BCKhw.shape[1], *given_BCKhw.shape[3:]
        told_noise = (
            self._noise(batch, np.flatnonzero(is_given), shape, "hint")
            if stage.rule.hint_noise
            else None
        )
        frames = [[place(job.frames[i], self.total) for i in rows] for job in batch.jobs]
        model = stage.model(given_BCKhw, given, run, self.fps_of(batch.level), told_noise, frames)
        start = self._noise(batch, rows, shape, "start")
        held = stage.held(given_BCKhw, given, run)
        if held is not None:
            start = hints.pinned_start(start, held.given, held.where, stage.noising.schedule)
        made = sample(
            stage.sample,
            model,
            start,
            stage.noising,
            callback=stage.callback,
            noise=lambda step: self._step_noise(stage, batch, rows, shape, step),
            held=held,
            rows=[Row(job.name, run) for job in batch.jobs],
            pure_noise=held is None,
        )
        out = np.array(known_BFCHW, np.float32)
        out[:, rows] = made.transpose(0, 2, 1, 3, 4)
        return out

    def _noise(
        self, batch: Batch, rows: np.ndarray, shape: tuple[int, ...], *stream: str | int
    ) -> np.ndarray:
        """float32 (B, C, rows, h, w), each image of its own frame and level."""
        return np.stack(
            [
                np.stack([self._picture(batch.level, job, i, shape, *stream) for i in rows], 1)
                for job in batch.jobs
            ]
        )

    def _picture(
        self, level: int, job: Job, row: int, shape: tuple[int, ...], *stream: str | int
    ) -> np.ndarray:
        frame = place(job.frames[row], self.total)
        return rng.normal(
            shape, self.seed, f"interpolate-{stream[0]}", *stream[1:], self.number, level, frame
        )

    def _step_noise(
        self, stage: Stage, batch: Batch, rows: np.ndarray, shape: tuple[int, ...], step: int
    ) -> np.ndarray:
        if not stage.rule.shared_noise:
            return self._noise(batch, rows, shape, "step", step)
        one = rng.normal(shape, self.seed, "interpolate-shared", step, self.number, batch.level)
        return np.broadcast_to(one[None, :, None], (len(batch.jobs), shape[0], 1, *shape[1:]))


def chain_of(chain: Chain, stages: Sequence[Stage]) -> tuple[Chain, LongPlan]:
    """The chain with `redo` as the stages' rules say, and its plan.

    Raises:
        ConfigError: not one stage a factor, or stages of which some hold on to given frames and
            some do not.
    """
    if len(stages) != len(chain.factors):
        raise ConfigError(
            f"{len(stages)} stages were given; factors {list(chain.factors)} need {len(chain.factors)}"
        )
    again = {stage.rule.pin == "none" for stage in stages}
    if len(again) > 1:
        raise ConfigError(
            "pin must be none for all stages of a chain or for no one; a frame cannot be held to and made again"
        )
    chain = replace(chain, redo=again == {True})
    if any(isinstance(stage, ImageStage) for stage in stages):
        chain = one_by_one(chain)
    return chain, plan_chain(chain)


def run_chain(
    chain: Chain,
    stages: Sequence[Stage],
    keys: Work,
    folder: Latents,
    shape_CHW: Sequence[int],
    *,
    fps: float,
    seed: int = 0,
    number: int = 0,
    rows: int = 1,
    comm: Comm | None = None,
    notice: Callable[[Batch, bool], Any] = lambda batch, fresh: None,
) -> Iterator[int]:
    """Do what is not done yet of a chain; yields the number of each level when it is there.

    Args:
        chain: as `chain_of` returned it.
        stages: one for each factor; the same one several times where weights are shared.
        keys: makes the key frames: (batch of level 0, _) -> (B, F, C, h, w). Their places are
            `place(frame, chain.total)`.
        folder: of the plan that `chain_of` returned.
        fps: frames per second of the finished video.
        rows: windows that share a call of the network.
    """
    runs = HintedRuns(
        lambda level: stages[level - 1],
        chain.total,
        lambda level: fps / chain.step(level),
        not chain.redo,
        seed,
        number,
    )

    def work(batch: Batch, known: np.ndarray) -> np.ndarray:
        if not batch.level:
            return keys(batch, known)
        stage = stages[batch.level - 1]
        if isinstance(stage, ImageStage):
            return GapRuns(stage, fps, seed, number)(batch, known)
        return runs(batch, known)

    return run_plan(folder.plan, folder, work, shape_CHW, rows, comm, notice=notice)


def finished(folder: Latents, chunk: int = 16) -> Iterator[np.ndarray]:
    """The finished video's latents, `chunk` frames (F, C, h, w) at a time."""
    for start in range(0, folder.plan.frames, chunk):
        yield folder.frames(range(start, min(start + chunk, folder.plan.frames)))


def decoded(model: LatentModel, folder: Latents) -> Iterator[np.ndarray]:
    """The finished video's frames, a few latents in memory at a time."""
    for latents in finished(folder, model.chunk):
        yield from model.decode(latents.transpose(1, 0, 2, 3))
