"""The cells whose graphs are reported: a network's forward pass, or a training step's loss and
gradients, from a configuration.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.config.section import load_model
from mindlong.config.train_options import PRECISIONS, TrainOptions
from mindlong.config.yaml_file import read_yaml
from mindlong.data.build import open_source
from mindlong.networks.init import initialise
from mindlong.ops import weights
from mindlong.ops.precision import store_as
from mindlong.training.patterns import matches
from mindlong.training.prepare import prepare
from mindlong.training.step import Gradients
from mindlong.training.tasks import build_task
from mindlong.utils.errors import ConfigError

WORKS = ("forward", "train")


class SquaredError(nn.Cell):
    """construct(target, *inputs) -> the mean squared difference of the network's answer from the
    target.
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__()
        self.network = network

    def construct(self, target: Tensor, *inputs: Tensor) -> Tensor:
        return ((self.network(*inputs) - target) ** 2).mean()


@contextlib.contextmanager
def share_weights(dtype: str) -> Iterator[None]:
    """The weights of cells built inside are views of one block of zeros of `dtype`, as large as the
    largest of them: their graph can be compiled, and they must not be written to.
    """
    block = np.zeros(0, dtype)

    def shared(array: np.ndarray) -> Tensor:
        nonlocal block
        if array.size > block.size:
            block = np.zeros(array.size, dtype)
        return Tensor.from_numpy(block[: array.size].reshape(array.shape))

    made, weights.Tensor = weights.Tensor, shared
    try:
        yield
    finally:
        weights.Tensor = made


def build(
    path: str,
    overrides: list[str],
    work: str,
    shape: tuple[int, int, int],
    batch: int,
    dtype: str,
    filled: bool = True,
    only: Sequence[str] = (),
) -> tuple[nn.Cell, list[Tensor]]:
    """The cell and the tensors to compile it with.

    Args:
        path: a training configuration, or a model file of a UNet.
        work: "forward" or "train".
        shape: frames, height, width of a model file's input; a training configuration has its own.
        dtype: that operators compute in.
        filled: a model file's weights get their first values.
        only: shell patterns of the parameters of a model file that learn; (): all.
    Raises:
        ConfigError: neither of the two.
    """
    tree = read_yaml(Path(path))
    if "model" in tree:
        return _from_training(path, overrides, work, batch, dtype)
    return _from_model(load_model(path, overrides), work, shape, batch, dtype, filled, only)


def _from_training(
    path: str, overrides: list[str], work: str, batch: int, dtype: str
) -> tuple[nn.Cell, list[Tensor]]:
    config: TrainConfig = load(path, overrides, TrainConfig).values
    with contextlib.ExitStack() as stack:
        task = build_task(
            config, stack.enter_context(open_source(config.data, config.train.seed, 0))
        )
        arrays = task.inputs(0, range(batch))
    options = TrainOptions(precision=_precision(dtype))
    return _cell(task.network, task.loss, options, work), _given(work, [Tensor(a) for a in arrays])


def _from_model(
    model,
    work: str,
    shape: tuple[int, int, int],
    batch: int,
    dtype: str,
    filled: bool,
    only: Sequence[str],
) -> tuple[nn.Cell, list[Tensor]]:
    spec = model.spec()
    frames, height, width = shape
    if model.family == "vdm":
        from mindlong.networks.unet3d.cell import Unet3D

        network, channels, out = Unet3D(spec), spec.channels, spec.out_dim or spec.channels
        more = [np.zeros((batch, spec.cond_dim), np.float32)] if spec.cond_dim else []
    elif hasattr(spec, "context_dim"):
        from mindlong.networks.unet.cell import UNet

        network, channels, out = (
            UNet(spec),
            spec.in_channels,
            spec.out_channels,
        )
        more = [
            np.zeros((batch, 77, spec.context_dim), np.float32),
            *[np.full(batch, 8, np.float32)] * ("fps" in spec.conditions),
        ]
    else:
        raise ConfigError(
            f"the model file's family is {model.family}; a graph is reported for vdm and for the latent UNets"
        )
    if filled:
        initialise(network, 0)
    if only:
        _learn(network, only)
    x, t = (
        np.zeros((batch, channels, frames, height, width), np.float32),
        np.full(batch, 500, np.int32),
    )
    target = np.zeros((batch, out, frames, height, width), np.float32)
    inputs = [Tensor(a) for a in (x, t, *more)]
    if work == "forward":
        prepare(network, TrainOptions(precision=_precision(dtype)))
        if filled and dtype != "float32":
            store_as(network, dtype)  # as inference does; a training keeps its weights in float32
        return network.set_train(False), inputs
    options = TrainOptions(precision=_precision(dtype))
    return _cell(network, SquaredError(network), options, work), _given(
        work, [Tensor(target), *inputs]
    )


def _learn(network: nn.Cell, only: Sequence[str]) -> None:
    """Have no other parameters learn than those that the patterns name."""
    parameters = list(network.get_parameters())
    for pattern in only:
        if not any(matches(p.name, (pattern,)) for p in parameters):
            raise ConfigError(
                f"--only: the pattern {pattern!r} names no parameter, such as {parameters[-1].name}"
            )
    for parameter in parameters:
        parameter.requires_grad = matches(parameter.name, only)


def _precision(dtype: str) -> str:
    return next(name for name, kind in PRECISIONS.items() if kind == dtype)


def _cell(network: nn.Cell, loss: nn.Cell, options: TrainOptions, work: str) -> nn.Cell:
    prepare(network, options)
    if work == "forward":
        return loss.set_train(False)
    network.set_train(True)
    return Gradients(loss, network.trainable_params())


def _given(work: str, arrays: list[Tensor]) -> list[Tensor]:
    return arrays if work == "forward" else [Tensor(1.0, ms.float32), *arrays]
