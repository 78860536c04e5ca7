"""A queue of blocks of falling noise (the idea of DualParal, arXiv 2505.21070): a block enters as
noise, all blocks in the queue take a step a round, and the first leaves clean; one that enters
later is noisier by a step.

A block is denoised between the last latents of the block before and the first of the block behind.
There these lie a step off its own noise level, and the network is told a wrong one. Here they have
its own: the noisier blocks go first, so the block behind has just arrived at the level, and of the
block before the sample of a step ago is kept. The result is that of a video whose blocks take each
step together, bit for bit; only the order is another.

Legend: B videos, C channels of a latent, F latents of the video, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.finite import Row, check_finite
from mindlong.diffusion.sample import rule_of, sampler_of
from mindlong.diffusion.samplers.loop import Denoiser, Keeper, add
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising
    from mindlong.diffusion.samplers.loop import Callback, Rule

ModelOf = Callable[[range], "Model"]  # latents of a window -> the network asked for them
NoiseOf = Callable[[int, range], np.ndarray]  # step, latents -> fresh noise


def blocks_of(latents: int, window: int, own: int) -> tuple[list[range], int]:
    """The blocks, `own` latents each, and how many latents they see on each side.

    Raises:
        ConfigError: a window that leaves no room beside a block, or reaches over a whole block.
    """
    beside = (window - own) // 2
    if not 1 <= beside <= own:
        low, high = (window + 1) // 3, max(window - 2, 1)
        raise ConfigError(
            f"clip_parallel.stride is {own}; strategy queue denoises so many latents between neighbours "
            f"in a window of {window}, which takes {low} to {high}"
        )
    starts = range(0, latents, own)
    return [range(start, min(start + own, latents)) for start in starts], beside


class Queue:
    """The blocks of one video under way.

    Args:
        model_of: what asks the network for a window of latents; guidance is inside.
        options: the section `sample`. noising: what the network was trained on.
        blocks, beside: as `blocks_of` gives them.
        noise: fresh noise, for samplers that add some.
    """

    def __init__(
        self,
        model_of: ModelOf,
        options: Any,
        noising: Noising,
        blocks: list[range],
        beside: int,
        noise: NoiseOf,
    ) -> None:
        self.model_of, self.blocks, self.beside, self.noise = model_of, blocks, beside, noise
        self.rule: Rule = rule_of(options, noising)
        self.prediction = noising.prediction
        self.clip = noising.clip(sampler_of(options, noising))
        self.latents, self.steps = blocks[-1].stop, len(self.rule.times)
        self.x = self.past = np.zeros(0, np.float32)
        self.memory: dict[int, np.ndarray] = {}  # of a block's last step, by its first latent

    @property
    def rounds(self) -> int:
        """Rounds until the last block is clean."""
        return self.steps + len(self.blocks) - 1

    def sample(self, x_T: np.ndarray, callback: Callback | None = None) -> np.ndarray:
        """Clean latents (1, C, F, h, w) of noise shaped like them. A callback that is a `Keeper`
        counts rounds, and may start in the middle.
        """
        keeper = callback if isinstance(callback, Keeper) else Keeper()
        done, self.x, held = keeper.found or (0, x_T.astype(np.float32) * self.rule.start, None)
        self.past, self.memory = self.x.copy(), {}
        if held is not None:
            self._restore(held)
        for number in range(done, self.rounds):
            x0 = np.array(self.x)
            for block, step in self.under_way(number):
                x0[:, :, block.start : block.stop] = self.stepped(block, step)
            if callback is not None and callback(number + 1, self.rounds, x0):
                return x0
            keeper.after(number + 1, self.rounds, self.x, self._held())
        return self.x

    def under_way(self, number: int) -> Iterator[tuple[range, int]]:
        """The blocks of a round and their steps, the noisiest first."""
        last = min(number, len(self.blocks) - 1)
        for place in range(last, max(number - self.steps, -1), -1):
            yield self.blocks[place], number - place

    def window(self, block: range) -> tuple[range, np.ndarray]:
        """The latents around a block and their samples, all of the block's noise level."""
        frames = range(
            max(block.start - self.beside, 0), min(block.stop + self.beside, self.latents)
        )
        before = self.past[:, :, frames.start : block.start]
        rest = self.x[:, :, block.start : frames.stop]
        return frames, np.ascontiguousarray(np.concatenate([before, rest], 2))

    def stepped(self, block: range, step: int) -> np.ndarray:
        """One step of a block; returns its predicted clean latents."""
        frames, x = self.window(block)
        rows = [Row("block", block)]
        denoiser = Denoiser(
            self.model_of(frames), self.prediction, self.clip, self.rule.rederive_eps, None, rows
        )
        when = f"step {step + 1} of {self.steps}"
        found = denoiser(x, self.rule.times[step], self.rule.levels[step], when)
        own = slice(block.start - frames.start, block.stop - frames.start)
        x0, eps = (np.ascontiguousarray(part[:, :, own]) for part in found)
        mine = slice(block.start, block.stop)
        memory = self.memory.get(block.start)
        mean, spread, memory = self.rule.update(step, self.x[:, :, mine], x0, eps, memory)
        after = add(mean, spread, lambda s: self.noise(s, block), step)
        check_finite(after, "The sample", f"the end of {when}", rows)
        self.past[:, :, mine], self.x[:, :, mine] = self.x[:, :, mine], after
        if memory is not None:
            self.memory[block.start] = memory
        return x0

    def _held(self) -> np.ndarray:
        """What the next round wants to know beside the samples, on channels: the samples of a step
        ago, how wide each block's memory is, the memories.
        """
        wide = max((m.shape[1] for m in self.memory.values()), default=0)
        batch, channels, latents, *area = self.x.shape
        held = np.zeros((batch, channels + 1 + wide, latents, *area), np.float32)
        held[:, :channels] = self.past
        for block in self.blocks:
            found = self.memory.get(block.start)
            if found is not None:
                mine = slice(block.start, block.stop)
                held[:, channels, mine] = found.shape[1]
                held[:, channels + 1 : channels + 1 + found.shape[1], mine] = found
        return held

    def _restore(self, held: np.ndarray) -> None:
        first = self.x.shape[1] + 1
        self.past = held[:, : first - 1].copy()
        for block in self.blocks:
            width = int(held[0, first - 1, block.start].flat[0])
            if width:
                mine = slice(block.start, block.stop)
                self.memory[block.start] = held[:, first : first + width, mine].copy()
