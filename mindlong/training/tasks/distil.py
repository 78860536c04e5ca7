"""Latent consistency distillation (arXiv 2310.04378): a student learns to say from any timestep
what a frozen teacher under guidance comes to at the end of its solver's way.

Legend: B samples, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindlong.checkpoints import changed
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.load import arrays_of, load_into
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.start import base_of
from mindlong.config.train_options import PRECISIONS
from mindlong.diffusion.parameterise import add_noise, to_eps, to_x0
from mindlong.diffusion.samplers.lcm import boundary
from mindlong.networks import table
from mindlong.training.tasks.latent import LatentTask
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.config.distil_options import DistilOptions
    from mindlong.config.schema import TrainConfig
    from mindlong.data.source import Source
    from mindlong.diffusion.schedules import Schedule
    from mindlong.networks.network import Network


class Consistency(nn.Cell):
    """What a network's prediction means at a timestep: (x, prediction, t) -> the clean sample,
    which at timestep 0 is x itself.
    """

    def __init__(self, schedule: Schedule, prediction: str) -> None:
        super().__init__(auto_prefix=False)
        self.prediction, squared = prediction, schedule.alphas_cumprod
        factors = [boundary(float(t)) for t in range(schedule.timesteps)]
        tables = (squared**0.5, (1.0 - squared) ** 0.5, *zip(*factors, strict=True))
        self.tables = tuple(Tensor(np.asarray(each, np.float32)) for each in tables)

    def level(self, t: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """alpha and sigma of timesteps (B,), to broadcast against samples."""
        return self.tables[0][t].reshape(axes), self.tables[1][t].reshape(axes)

    def construct(self, x: Tensor, out: Tensor, t: Tensor) -> Tensor:
        axes = (-1,) + (1,) * (x.ndim - 1)
        alpha, sigma = self.level(t, axes)
        x0 = to_x0(self.prediction, x, out, alpha, sigma)
        return self.tables[2][t].reshape(axes) * x + self.tables[3][t].reshape(axes) * x0


class Goal(nn.Cell):
    """What the student should say: the target's answer one step of the teacher's solver further.

    construct(x0, noise, t, before, scale, guidance, ids, null_ids, *more) -> (noisy sample,
    goal), both (B, C, F, h, w) float32.

    Args:
        teacher, target: called as construct(x, t, context, *more[, guidance]).
        text_encoder: ids -> context.
        consistency: of the target's predictions.
        told: the target (and not the teacher) is told the guidance.
        zeros: the unconditional call has zeros in place of the empty caption's vectors.
    """

    def __init__(
        self,
        teacher: nn.Cell,
        target: nn.Cell,
        text_encoder: nn.Cell,
        consistency: Consistency,
        told: bool,
        zeros: bool,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.teacher, self.target, self.text_encoder = teacher, target, text_encoder
        self.consistency, self.told, self.zeros = consistency, told, zeros

    def construct(self, x0, noise, t, before, scale, guidance, ids, null_ids, *more):
        axes = (-1,) + (1,) * (x0.ndim - 1)
        alpha, sigma = self.consistency.level(t, axes)
        z = add_noise(x0, noise, alpha, sigma)
        context = self.text_encoder(ids)
        out = self.guided(z, t, context, null_ids, scale.reshape(axes), more)
        prediction = self.consistency.prediction
        x0_hat = to_x0(prediction, z, out, alpha, sigma)
        eps_hat = to_eps(prediction, z, out, alpha, sigma)
        alpha, sigma = self.consistency.level(before, axes)
        z_before = add_noise(x0_hat, eps_hat, alpha, sigma)
        own = more + (guidance,) if self.told else more
        said = self.target(z_before, before, context, *own).astype(mstype.float32)
        return z, self.consistency(z_before, said, before)

    def guided(self, z, t, context, null_ids, scale, more):
        """The teacher's prediction under guidance, asked once with twice the rows."""
        null = ops.zeros_like(context) if self.zeros else self.text_encoder(null_ids)
        twice = ()
        for each in more:
            twice += (ops.concat((each, each)),)
        both = self.teacher(
            ops.concat((z, z)), ops.concat((t, t)), ops.concat((null, context)), *twice
        ).astype(mstype.float32)
        without, conditional = ops.chunk(both, 2)
        return without + scale * (conditional - without)


class Huber(nn.Cell):
    """mean(sqrt((a - b)^2 + c^2) - c), as one float32 scalar; `c` None: mean((a - b)^2)."""

    def __init__(self, c: float | None) -> None:
        super().__init__(auto_prefix=False)
        self.c = c

    def construct(self, said, goal):
        squared = ops.square(said - goal)
        if self.c is None:
            return squared.mean()
        return (ops.sqrt(squared + self.c**2) - self.c).mean()


class ConsistencyLoss(nn.Cell):
    """construct(z, goal, t, ids, *more) -> scalar: how far what the student makes of `z` is from
    the goal.
    """

    def __init__(self, network: nn.Cell, consistency: Consistency, distance: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.consistency, self.distance = network, consistency, distance

    def construct(self, z, goal, t, ids, *more):
        out = self.network(z, t, ids, *more).astype(mstype.float32)
        return self.distance(self.consistency(z, out, t), goal)


class DistilTask(LatentTask):
    """As LatentTask, with the teacher's steps in place of the clips' noise.

    Attributes:
        loss: cell with construct(z, goal, t, ids[, fps][, guidance]) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.options = config.distil
        if not base_of(config)[1]:
            latents = replace(config.latents, unet_weights=self.options.teacher)
            config = replace(config, latents=latents)
        super().__init__(config, source)
        self.stride = self.schedule.timesteps // self.options.original
        self.told = "guidance" in self.takes
        entry = table.get(config.model.family)
        consistency = Consistency(self.schedule, config.diffusion.prediction)
        self.dtype = PRECISIONS[config.train.precision]
        teacher = teacher_of(self.options, entry, self.takes, self.dtype)
        self.target = self._target(entry)
        zeros = entry.denoiser.null.get("context", "same") == "zeros"
        text = self.network.text_encoder
        self.goal = Goal(teacher, self.target, text, consistency, self.told, zeros)
        self.goal.set_train(False)
        c = self.options.huber_c if self.options.loss == "huber" else None
        self.loss = ConsistencyLoss(self.network, consistency, Huber(c))
        self.null_ids = self.tokenizer([""])

    def averaged(self, weights: Sequence[Parameter]) -> list[Parameter] | None:
        """The target's parameters, one for each of `weights`, which the trainer keeps as their
        averages; None where the target is the student itself.
        """
        if self.options.target == "student":
            return None
        mine = {p.name.removeprefix(TARGET): p for p in self.target.get_parameters()}
        part = f"{self.network.part}."
        return [mine[w.name.removeprefix(part)] for w in weights]

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Latents, noise, a timestep of the solver and the one before it, the teacher's guidance,
        token ids (and frames per second) of `samples`.
        """
        x0, noise, t, ids, *fps = super().inputs(step, samples)
        place = np.minimum(t // self.stride, self.options.original - 1)
        t = (place + 1) * self.stride - 1
        before = np.maximum(t - self.stride, 0)
        low, high = self.options.guidance
        drawn = [
            rng.generator(self.config.train.seed, "distil-guidance", i).random() for i in samples
        ]
        scale = (low + (high - low) * np.asarray(drawn)).astype(np.float32)
        return x0, noise, t.astype(np.int32), before.astype(np.int32), scale, ids, *fps

    def finish(self, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """What the loss takes: the teacher and the target are asked here, without gradients."""
        x0, noise, t, before, scale, ids, *fps = arrays
        null_ids = np.repeat(self.null_ids, len(x0), 0)
        guidance = scale - np.float32(1)
        given = (x0, noise, t, before, scale, guidance, ids, null_ids, *fps)
        z, goal = self.goal(*(Tensor(a) for a in given))
        told = (guidance,) if self.told else ()
        return z.asnumpy(), goal.asnumpy(), t, ids, *fps, *told

    def extra_files(self) -> dict[str, dict[str, np.ndarray]]:
        """Where not all tensors learn, a checkpoint also gets those that do, as previews show
        them: what is to be put over the teacher's.
        """
        if self.config.train.lora.wanted:
            return {}  # the LoRA is what learns; its file goes over any base
        part = f"{self.network.part}."
        said = {n.removeprefix(TARGET): a for n, a in arrays_of(self.target).items()}
        said = {n.removeprefix(part): a for n, a in said.items()}
        learnt = {
            p.name.removeprefix(part) for p in self.network.get_parameters() if p.requires_grad
        }
        if learnt == set(said) or part != changed.PREFIX:
            return {}
        base = changed.fingerprint(said, set(said) - learnt)
        return {changed.FILE: {**{part + n: said[n] for n in learnt}, changed.BASE: base}}

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        o, (low, high) = self.options, self.options.guidance
        return [
            *super().describe(),
            f"distilling {o.teacher} at guidance {low:g} to {high:g}, {o.original} timesteps of its solver, "
            f"{'told' if self.told else 'not told'} to the student; the target is "
            f"{'its average' if o.target == 'ema' else 'the student itself'}",
        ]

    def _target(self, entry: Network) -> nn.Cell:
        if self.options.target == "student":
            return self.network.network
        target = entry.cell(self.spec, self.dtype)
        part = f"{self.network.part}."
        load_into(
            target,
            {n.removeprefix(part): a for n, a in arrays_of(self.network.network).items()},
            what="the student's weights",
        )
        return _apart(target, TARGET)


TARGET, TEACHER = "target.", "teacher."


def teacher_of(
    options: DistilOptions, entry: Network, takes: Sequence[str], dtype: str = "float32"
) -> nn.Cell:
    """The frozen network that is distilled; its operators compute in `dtype`.

    Raises:
        InputFileError: nothing there, or of another family. ConfigError: it takes other conditions
            than the student.
    """
    part = read_part(open_named(options.teacher, "distil.teacher"), "network", entry.family)
    needed = [name for name in takes if name != "guidance"]
    found = list(entry.denoiser.takes(part.spec))
    if found != needed:
        raise ConfigError(
            f"distil.teacher: the teacher takes {', '.join(found)}, the model {', '.join(needed)} beside its guidance; "
            "they must take the same"
        )
    cell = part.network.cell(part.spec, dtype)
    load_into(cell, {name: lazy.read() for name, lazy in part.arrays.items()})
    return _apart(cell, TEACHER)


def _apart(cell: nn.Cell, prefix: str) -> nn.Cell:
    """`cell` with names of its own for its parameters, none of which learns."""
    for parameter in cell.get_parameters():
        parameter.name, parameter.requires_grad = prefix + parameter.name, False
    return cell.set_train(False)
