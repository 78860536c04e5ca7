"""Kept frames of short clips filled in by networks, in memory: what evaluations ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.sample import SampleOptions
from mindlong.pipelines.interpolate.hinted import is_hinted
from mindlong.pipelines.interpolate.make import Rule, Stage, chain_of, finished, run_chain
from mindlong.pipelines.interpolate.networks import predictor
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.pipelines.latents import LatentMemory
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.one_prompt import OnePrompt
from mindlong.plans.chain import Chain, place

if TYPE_CHECKING:
    from mindlong.pipelines.jobs import Batch
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.plans.hierarchy import LongPlan

FPS = 8.0  # for networks conditioned on it, at the finest stage


@lru_cache(maxsize=1)
def _model(weights: str, reads: str) -> LatentModel:
    return load_latent_model(weights, LatentModelOptions(reads={"time": reads} if reads else {}))


def clip_filler(
    weights: str,
    stages: Sequence[int],
    *,
    hint: str = "",
    mask: str = "",
    pin: str = "each_step",
    steps: int = 25,
    guidance: float = 1.0,
    seed: int = 0,
    reads: str = "",
    window: int = 0,
) -> Callable[[np.ndarray, str, int], Iterator[np.ndarray]]:
    """A function (kept frames (K, H, W, 3), caption, number of the clip) -> all frames, by the
    networks at `weights`.

    Args:
        stages: factors of the chain. hint, mask: "" as trained. reads: key/value policy over time,
            "" as trained.
    """
    model = _model(weights, reads)
    trained, sample = trained_rule(weights), SampleOptions(steps=steps, guidance=guidance)
    rule = Rule(hint or trained.hint, mask or trained.mask, pin)
    hinted = is_hinted(model.spec, model.vae_spec.latent_channels)

    def fill(kept: np.ndarray, caption: str, number: int) -> Iterator[np.ndarray]:
        one = Stage(
            predictor(model, OnePrompt(caption), sample), model.noising, rule, sample, hinted
        )
        chain, plan = chain_of(Chain(len(kept), tuple(stages), window=window), [one] * len(stages))
        latents = model.encode(kept).transpose(1, 0, 2, 3)

        def keys(batch: Batch, known: np.ndarray) -> np.ndarray:
            numbers = [
                [place(f, chain.total) // chain.step(0) for f in job.frames] for job in batch.jobs
            ]
            return np.stack([latents[row] for row in numbers])

        for part in _chained(chain, plan, [one] * len(stages), keys, latents, seed, number):
            yield from model.decode(part.transpose(1, 0, 2, 3))

    return fill


def _chained(
    chain: Chain,
    plan: LongPlan,
    stages: list[Stage],
    keys: Callable[[Batch, np.ndarray], np.ndarray],
    latents: np.ndarray,
    seed: int,
    number: int,
) -> list[np.ndarray]:
    """The latents of all frames."""
    made = LatentMemory(plan)
    settings = {"fps": FPS, "seed": seed, "number": number}
    for _ in run_chain(chain, stages, keys, made, latents.shape[1:], **settings):
        pass
    return list(finished(made))
