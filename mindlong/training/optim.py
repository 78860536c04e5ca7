"""Adam (arXiv 1412.6980) and AdamW (arXiv 1711.05101) with the numbers of torch.optim, and their
learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.ops import operations as primitives

from mindlong.training.patterns import matches

if TYPE_CHECKING:
    from mindlong.config.train_options import TrainOptions


def learning_rate(options: TrainOptions, step: int) -> float:
    """The learning rate of update `step` (the first is 0): linear warm-up, then constant, linear or
    half a cosine.
    """
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    done = min((step - options.warmup) / max(options.steps - options.warmup, 1), 1.0)
    if options.schedule == "constant":
        return options.lr
    falling = 1.0 - done if options.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return options.lr * (options.lr_end + (1.0 - options.lr_end) * falling)


@dataclass(frozen=True)
class Rates:
    """What one update needs besides the gradient, computed on the host in float64.

    The fused primitive divides m by sqrt(v) + eps. Taking v's correction c = sqrt(1 - beta2^t) out
    of the root, this is Adam when the step is lr * c / (1 - beta1^t) and eps becomes eps * c.
    """

    step_size: float
    eps: float
    shrink: float  # AdamW: the factor 1 - lr * weight_decay

    @classmethod
    def at(cls, options: TrainOptions, updates: int, lr: float) -> Rates:
        """Rates of an update after `updates` earlier ones."""
        # rounded as the primitive holds them: in float32, 1 - beta2 is off by 1e-5, and the
        # correction must match
        beta1, beta2 = (float(np.float32(b)) for b in options.betas)
        correction = math.sqrt(1.0 - beta2 ** (updates + 1))
        step_size = lr * correction / (1.0 - beta1 ** (updates + 1))
        return cls(step_size, options.eps * correction, 1.0 - lr * options.weight_decay)


def decayed_by(parameters: Sequence[Parameter], options: TrainOptions) -> tuple[bool, ...]:
    """Which of the parameters weight decay is for."""
    return tuple(not matches(p.name, options.no_decay) for p in parameters)


class Adam(nn.Cell):
    """One update of `parameters`: construct(gradients, step_size, eps, shrink, keep), the rest as
    `Rates`.

    `keep` (float32 scalar) is 1, or 0 to leave parameters and moments exactly as they are (with
    finite gradients). One fused primitive a parameter: on a CPU every further operator would cost
    more than its arithmetic.

    Args:
        decayed: which of them decay; None: as `decayed_by` says.
        host: the processor of the host runs the primitive, whatever the device.

    Attributes:
        m, v: first and second moments, named `m.NAME` and `v.NAME`.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        options: TrainOptions,
        decayed: tuple[bool, ...] | None = None,
        host: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.m = self.parameters.clone("m", init="zeros")
        self.v = self.parameters.clone("v", init="zeros")
        for p in (*self.m, *self.v):
            p.requires_grad = False
        self.decay = options.weight_decay
        self.decoupled = options.optimizer == "adamw" and self.decay > 0
        self.joined = options.optimizer == "adam" and self.decay > 0
        self.decayed = decayed_by(parameters, options) if decayed is None else decayed
        self.shrunk = ParameterTuple(
            [p for p, yes in zip(parameters, self.decayed, strict=True) if yes]
        )
        self.beta1, self.beta2 = (Tensor(b, ms.float32) for b in options.betas)
        self.zero = Tensor(0.0, ms.float32)
        self.adam = primitives.Adam()
        if host:
            self.adam.set_device("CPU")
        self.each = ops.HyperMap()

    def construct(self, gradients, step_size, eps, shrink, keep):
        beta1, beta2 = 1.0 - (1.0 - self.beta1) * keep, 1.0 - (1.0 - self.beta2) * keep
        if self.joined:
            gradients = self.each(self._join, self.decayed, self.parameters, gradients)
        if self.decoupled:
            shrunk = self.each(ops.partial(self._shrink, 1.0 - (1.0 - shrink) * keep), self.shrunk)
            gradients = ops.depend(gradients, shrunk)
        update = ops.partial(self._update, step_size * keep, eps, beta1, beta2)
        return self.each(update, self.parameters, self.m, self.v, gradients)

    def _join(self, decayed, parameter, gradient):
        return gradient + self.decay * parameter if decayed else gradient

    def _shrink(self, factor, parameter):
        return ops.depend(True, ops.assign(parameter, parameter * factor))

    def _update(self, step_size, eps, beta1, beta2, parameter, m, v, gradient):
        done = self.adam(
            parameter, m, v, self.zero, self.zero, step_size, beta1, beta2, eps, gradient
        )
        return ops.depend(True, done)

    def state(self) -> dict[str, np.ndarray]:
        """The moments by name, as checkpoints hold them."""
        return {p.name: p.asnumpy() for p in (*self.m, *self.v)}
