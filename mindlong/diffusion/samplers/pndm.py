"""Pseudo numerical methods (PNDM, arXiv 2202.09778): Adams-Bashforth steps on the manifold of noisy
samples, begun with Runge-Kutta steps or (PLMS) with a step that is taken twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mindlong.diffusion.parameterise import to_eps, v_of
from mindlong.diffusion.samplers.ddim import move
from mindlong.diffusion.samplers.loop import Move, Rule
from mindlong.diffusion.samplers.spacing import times_of
from mindlong.diffusion.schedules import CLEAN, Level, Schedule
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.file_keys import Keys

ADAMS = ((1.0,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
WARM_UP = 4  # timesteps that the Runge-Kutta steps visit
HISTORY = 3  # outputs kept


class Call(NamedTuple):
    """One call of the model and the move behind it.

    Attributes:
        t: timestep asked at.
        start, end: timesteps that the move goes from and to; below 0: the end.
        weights: of the outputs: of this one, then of those kept, the newest first.
        share: of this output in the sum of a Runge-Kutta step; the sum is added to what moves
            where `ends`.
        saves: the move starts at x, which is kept; else at the x that was kept.
        keeps: the output joins those kept.
    """

    t: int
    start: int
    end: int
    weights: tuple[float, ...] = (1.0,)
    share: float = 0.0
    ends: bool = False
    saves: bool = True
    keeps: bool = True


def pndm(
    schedule: Schedule,
    steps: int = 50,
    *,
    spacing: str = "leading",
    offset: int = 1,
    skip_prk: bool = True,
    final: str = "first",
    prediction: str = "eps",
) -> Rule:
    """PNDM as a rule.

    Args:
        schedule: the noise levels.
        steps: entries of the list of timesteps; the model is asked once more, or 9 times more with
            Runge-Kutta steps.
        spacing, offset: which timesteps are visited.
        skip_prk: PLMS: no Runge-Kutta steps, the first step is taken twice instead.
        final: the last step ends in the clean sample ("clean") or at timestep 0 ("first").
        prediction: of the network; with v it is v that is extrapolated, as published.

    Raises:
        ConfigError: an argument out of its range.
    """
    times = times_of(spacing, schedule.timesteps, steps, offset if spacing == "leading" else 0)
    if final not in ("clean", "first"):
        raise ConfigError(f"final is {final!r}; it must be clean or first.")
    stride = schedule.timesteps // steps
    if not skip_prk and steps < WARM_UP:
        raise ConfigError(
            f"steps is {steps}; pndm with Runge-Kutta steps (skip_prk_steps false) needs at least {WARM_UP}"
        )
    calls = list(_plms(times, stride) if skip_prk else _prk(times, stride))
    last = CLEAN if final == "clean" else schedule.level(0)

    def level(t: int) -> Level:
        return schedule.level(min(t, schedule.timesteps - 1)) if t >= 0 else last

    moves = [(level(call.t), level(call.start), level(call.end)) for call in calls]
    update = _Pndm(calls, moves, prediction).update
    return Rule([call.t for call in calls], [now for now, _, _ in moves], update)


def from_file(keys: Keys) -> dict[str, Any]:
    """What a scheduler_config.json says of this sampler, in the place of `pndm`'s arguments."""
    return {
        "spacing": keys.spacing("leading"),
        "offset": keys.offset(),
        "skip_prk": keys.flag("skip_prk_steps", False),
        "final": "clean" if keys.flag("set_alpha_to_one", False) else "first",
    }


def _plms(times: Sequence[int], stride: int) -> Iterator[Call]:
    first, *rest = times
    yield Call(first, first, first - stride)
    if not rest:
        return
    again = rest[0]
    yield Call(again, again + stride, again, (0.5, 0.5), saves=False, keeps=False)
    for number, t in enumerate(rest):
        yield Call(t, t, t - stride, ADAMS[min(number + 1, HISTORY)])


def _prk(times: Sequence[int], stride: int) -> Iterator[Call]:
    half = stride // 2
    for here, below in zip(times[: WARM_UP - 1], times[1:WARM_UP], strict=True):
        between = below + half
        ends = (here - half, between, between - half, below)
        for i, (t, end) in enumerate(zip((here, between, between, below), ends, strict=True)):
            share, last = RUNGE_KUTTA[i], i == 3
            weights = (0.0,) if last else (1.0,)
            yield Call(t, here, end, weights, share, last, saves=i == 0, keeps=i == 0)
    for t in times[WARM_UP - 1 :]:
        yield Call(t, t, t - stride, ADAMS[HISTORY])


@dataclass(frozen=True)
class _Pndm:
    """The update. Memory: the x that was kept, the sum of a Runge-Kutta step, then outputs, the
    newest first.
    """

    calls: Sequence[Call]
    moves: Sequence[tuple[Level, Level, Level]]
    prediction: str

    def update(
        self, step: int, x: np.ndarray, x0: np.ndarray, eps: np.ndarray, memory: np.ndarray | None
    ) -> Move:
        call, (now, start, end) = self.calls[step], self.moves[step]
        parts = [] if memory is None else np.split(memory, memory.shape[1] // x.shape[1], axis=1)
        kept, total, *past = parts or [x, np.zeros_like(x)]
        out = v_of(x0 * now.signal_scale, eps, now.alpha, now.sigma) if self._v else eps
        total = total + call.share * out
        weighted = [w * o for w, o in zip(call.weights, [out, *past], strict=False)]
        moved = np.asarray(sum(weighted))
        if call.ends:
            moved, total = total, np.zeros_like(x)
        kept = x if call.saves else kept
        past = [out, *past][:HISTORY] if call.keeps else past
        mean = self._moved(kept, moved, start, end).astype(x.dtype)
        held = np.concatenate([kept, total, *past], axis=1).astype(x.dtype)
        return Move(mean, 0.0, held)

    @property
    def _v(self) -> bool:
        return self.prediction == "v"

    def _moved(self, x: np.ndarray, out: np.ndarray, start: Level, end: Level) -> np.ndarray:
        eps = to_eps("v" if self._v else "eps", x, out, start.alpha, start.sigma)
        return move((x - start.sigma * eps) / start.signal, eps, end)
