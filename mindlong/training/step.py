"""One update of the weights: loss, gradients, their sum over the processes, clipping, Adam -
compiled as one graph.

With accumulation the gradients of the parts are computed and added by graphs of their own, and the
update by a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindlong.ops.exact import sum_of_squares
from mindlong.ops.own_graph import OwnGraph
from mindlong.training.gradient_shards import NormOfShares, Scatter
from mindlong.training.offload import HostAdam
from mindlong.training.optim import Adam, Rates, learning_rate
from mindlong.training.reduce import SumOverRanks
from mindlong.training.shards import Publish, Shares

if TYPE_CHECKING:
    from mindlong.config.train_options import TrainOptions


class Gradients(OwnGraph):
    """construct(weight, *arrays) -> loss, gradients of `weight * loss`; both float32."""

    def __init__(self, loss: nn.Cell, parameters: Sequence[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.differentiate = ms.value_and_grad(
            self._weighted, None, ParameterTuple(parameters), has_aux=True
        )

    def _weighted(self, weight, *arrays):
        loss = self.loss(*arrays)
        return loss * weight, loss

    def construct(self, weight, *arrays):
        (_, loss), gradients = self.differentiate(weight, *arrays)
        return loss, gradients


class Add(nn.Cell):
    """construct(*a, *b) -> a + b, for two equally long lists of gradients."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.each = ops.HyperMap()

    def construct(self, *both):
        half = len(both) // 2
        return self.each(ops.add, both[:half], both[half:])


class Apply(OwnGraph):
    """construct(loss, stop, numbers..., *gradients) -> (loss, stop), gradient norm; changes the
    weights.

    Args:
        adam: the update rule; None: what it would be given is given back behind the norm.
        clip_norm: largest norm of the whole gradient, 0 for none; the factor is torch's, clip /
            (norm + 1e-6).
        scaled: gradients arrive multiplied by a loss scale, and an update whose gradients
            overflowed is left out.
        reduce: cell summing (extras, gradients) over the processes, or None.
        mine: which of the gradients are of the parameters that `adam` updates; None: all.
    """

    def __init__(
        self,
        adam: Adam | None,
        clip_norm: float,
        scaled: bool,
        reduce: nn.Cell | None,
        mine: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.adam, self.clip_norm, self.scaled, self.reduce = adam, clip_norm, scaled, reduce
        self.mine = mine
        self.each = ops.HyperMap()
        self.one = Tensor(1.0, ms.float32)

    def construct(self, loss, stop, step_size, eps, shrink, scale, *gradients):
        totals = ops.stack((loss, stop))
        if self.reduce is not None:
            totals, gradients = self.reduce(totals, gradients)
        norm = ops.sqrt(ops.concat(self.each(sum_of_squares, gradients)).sum()) / scale
        if self.mine is not None:
            gradients = self._own(gradients)
        return self.update(totals, norm, step_size, eps, shrink, scale, gradients)

    def update(self, totals, norm, step_size, eps, shrink, scale, gradients):
        keep = self.one
        if self.scaled:
            finite = ops.isfinite(norm)
            keep = finite.astype(ms.float32)
            gradients = self.each(ops.partial(self._clean, finite), gradients)
        if self.scaled or self.clip_norm > 0:
            gradients = self.each(ops.partial(self._times, self._factor(norm) / scale), gradients)
        if self.adam is None:
            return (totals, norm, *gradients)
        done = self.adam(gradients, step_size, eps, shrink, keep)
        return ops.depend(totals, done), norm

    def _own(self, gradients):
        own = ()
        for i in self.mine:
            own = own + (gradients[i],)
        return own

    def _factor(self, norm):
        return (
            ops.minimum(self.one, self.clip_norm / (norm + 1e-6))
            if self.clip_norm > 0
            else self.one
        )

    def _times(self, factor, gradient):
        return gradient * factor

    def _clean(self, finite, gradient):
        return ops.select(finite, gradient, ops.zeros_like(gradient))


class ApplyShare(Apply):
    """construct(totals, norm, numbers..., *gradients): the same with this process's share of the
    gradients, summed already, and their norm.
    """

    def construct(self, totals, norm, step_size, eps, shrink, scale, *gradients):
        return self.update(totals, norm, step_size, eps, shrink, scale, gradients)


class Fused(OwnGraph):
    """`Gradients` and `Apply` as one graph: construct(weight, stop, step_size, eps, shrink, scale,
    *arrays).
    """

    def __init__(self, gradients: Gradients, apply: Apply) -> None:
        super().__init__(auto_prefix=False)
        self.gradients, self.apply_gradients = gradients, apply

    def construct(self, weight, stop, step_size, eps, shrink, scale, *arrays):
        loss, gradients = self.gradients(weight * scale, *arrays)
        return self.apply_gradients(loss * weight, stop, step_size, eps, shrink, scale, *gradients)


@dataclass(frozen=True)
class Update:
    """What one update reports. `loss` is the mean over the whole batch, `norm` that of the
    unclipped gradient.
    """

    loss: float
    norm: float
    lr: float
    skipped: bool
    stop: bool


class Stepper:
    """The host's side of the update: parts, rates and the loss scale.

    Args:
        loss: cell with construct(*arrays) -> scalar mean.
        parameters: what is trained.
        reduce: sums over the processes; None for a single one.
        shares: this process updates only its share of the parameters, the others theirs.
    """

    def __init__(
        self,
        loss: nn.Cell,
        parameters: Sequence[Parameter],
        options: TrainOptions,
        reduce: SumOverRanks | None = None,
        shares: Shares | None = None,
    ) -> None:
        self.options, self.scaled = options, options.precision == "fp16"
        mine = shares.mine if shares else None
        held = [parameters[i] for i in mine] if mine is not None else parameters
        self.host = options.offload != "none"
        self.adam = HostAdam(held, options) if self.host else Adam(held, options)
        on_device = None if self.host else self.adam
        self.publish = Publish(parameters, shares) if shares else None
        self.gradients, self.add = Gradients(loss, parameters), Add()
        clip = (options.clip_norm, self.scaled)
        self.apply = Apply(on_device, *clip, reduce, mine)
        self.scatter = None
        if shares and options.shard == "gradients" and options.accumulate > 1:
            self.scatter, self.norm = Scatter(reduce, shares), NormOfShares(shares)
            self.apply_share = ApplyShare(on_device, *clip, None)
        self.fused = Fused(self.gradients, self.apply)
        self.scale = options.loss_scale if self.scaled else 1.0
        self.updates = self.skipped = self.clean = (
            0  # clean: updates since the loss scale last changed
        )
        self.in_a_row = 0  # steps skipped since the last update, or since the start
        for cell in (self.gradients, self.apply, self.fused):
            cell.set_train()

    def __call__(self, step: int, arrays: Sequence[np.ndarray], stop: bool = False) -> Update:
        """Update the weights with this process's rows of the batch; `stop` asks all processes to
        stop after it.
        """
        lr = learning_rate(self.options, step)
        rates = Rates.at(self.options, self.updates, lr)
        numbers = [_scalar(n) for n in (stop, rates.step_size, rates.eps, rates.shrink, self.scale)]
        count = min(self.options.accumulate, len(arrays[0]))
        parts = list(zip(*(np.array_split(a, count) for a in arrays), strict=True))
        scatters = self.scatter is not None and len(parts) > 1
        run = self._scattered if scatters else self._run
        totals, norm, *gradients = run(parts, numbers)
        loss, wish = totals.asnumpy().tolist()
        norm = float(norm.asnumpy())
        skipped = self.scaled and not np.isfinite(norm)
        if self.host and not skipped:
            self.adam.update(gradients, rates)
        del gradients
        if self.publish is not None:
            self.publish()
        self._count(skipped)
        return Update(loss, norm, lr, skipped, wish > 0)

    def _run(
        self, parts: list[tuple[np.ndarray, ...]], numbers: list[Tensor]
    ) -> tuple[Tensor, ...]:
        weights = [len(part[0]) / self.options.batch_size for part in parts]
        if len(parts) == 1:
            return self.fused(_scalar(weights[0]), *numbers, *map(Tensor, parts[0]))
        total, loss = None, 0.0
        for weight, part in zip(weights, parts, strict=True):
            part_loss, gradients = self.gradients(_scalar(weight * self.scale), *map(Tensor, part))
            loss += weight * float(part_loss.asnumpy())
            total = gradients if total is None else self.add(*total, *gradients)
        return self.apply(_scalar(loss), *numbers, *total)

    def _scattered(
        self, parts: list[tuple[np.ndarray, ...]], numbers: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """The same where each process keeps its share of the gradients: all are there only for one
        part, until they are sent. Of a single part nothing is kept: `fused` lets each go.
        """
        stop, *rates = numbers
        total, loss, totals = None, np.float32(0), stop
        for i, part in enumerate(parts):
            weight = len(part[0]) / self.options.batch_size
            scaled = _scalar(weight * self.scale)
            part_loss, gradients = self.gradients(scaled, *map(Tensor, part))
            loss = loss + np.float32(weight) * part_loss.asnumpy()
            last = i == len(parts) - 1
            extras = Tensor(np.array([loss, stop.asnumpy()] if last else [0, 0], np.float32))
            held = list(gradients)
            del gradients
            totals, own = self.scatter(extras, held)
            total = own if total is None else self.add(*total, *own)
        norm = self.norm(total, numbers[-1])
        return self.apply_share(totals, norm, *rates, *total)

    def _count(self, skipped: bool) -> None:
        if skipped:
            self.skipped, self.clean, self.scale = self.skipped + 1, 0, max(self.scale / 2, 1.0)
            self.in_a_row += 1
            return
        self.in_a_row = 0
        self.updates, self.clean = self.updates + 1, self.clean + 1
        if self.scaled and self.clean >= self.options.loss_scale_every:
            self.clean, self.scale = 0, min(self.scale * 2, 2.0**24)

    def state(self) -> dict[str, float]:
        """The counters, for a checkpoint's state.json."""
        return {
            "updates": self.updates,
            "skipped": self.skipped,
            "clean": self.clean,
            "scale": self.scale,
            "scaled": int(self.scaled),
        }

    def restore(self, state: dict[str, float]) -> None:
        """Take over the counters of a checkpoint."""
        self.updates, self.skipped, self.clean = (
            int(state[k]) for k in ("updates", "skipped", "clean")
        )
        if self.scaled == bool(state.get("scaled", self.scaled)):  # else the precision was changed
            self.scale = float(state["scale"])


def _scalar(value: float) -> Tensor:
    return Tensor(float(value), ms.float32)
