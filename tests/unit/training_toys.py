"""Tiny things to train: they compile in a second and their numbers can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindlong.config.train_options import TrainOptions
from mindlong.ops.linear import Linear
from mindlong.training.trainer import Trainer
from mindlong.utils import rng


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    """Imported by a test module: its tests run compiled, as training does (MindSpore itself starts
    without).
    """
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


class Net(nn.Cell):
    """(B, 4) -> (B, 2), with a list of blocks as a UNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Linear(4, 8)
        self.blocks = nn.CellList([Linear(8, 8) for _ in range(3)])
        self.last = Linear(8, 2)

    def construct(self, x):
        h = ops.tanh(self.first(x))
        for block in self.blocks:
            h = h + ops.tanh(block(h))
        return self.last(h)


class SquareLoss(nn.Cell):
    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, y):
        return ops.square(self.network(x).astype(ms.float32) - y).mean()


class ToyTask:
    """Learns two simple functions of noise; `previewed` notes the first weight each preview saw."""

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.network = seed, Net()
        for p in self.network.get_parameters():
            p.set_data(Tensor(rng.normal(p.shape, seed, "init", p.name) * 0.3))
        self.loss = SquareLoss(self.network)
        self.previewed: dict[int, np.ndarray] = {}
        self.asked: list[tuple[int, list[int]]] = []

    def inputs(self, step, samples):
        self.asked.append((step, list(samples)))
        x = rng.normal_rows(list(samples), (4,), self.seed, "x")
        return x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], 1)

    def preview(self, step: int, folder: Path) -> list[Path]:
        self.previewed[step] = np.array(self.network.last.weight.asnumpy())
        path = folder / f"{step}.txt"
        path.write_text("seen")
        return [path]

    def describe(self) -> list[str]:
        return ["a toy"]


class Given(nn.Cell):
    """A network that is only parameters."""

    def __init__(self, start: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.held = ms.ParameterTuple([Parameter(Tensor(v), name=k) for k, v in start.items()])


class GivenGradients(nn.Cell):
    """Its gradient with respect to parameter i is the mean over the rows of input i: scripted
    gradients.
    """

    def __init__(self, network: Given) -> None:
        super().__init__(auto_prefix=False)
        self.held = network.held

    def construct(self, *gradients):
        total = 0.0
        for i in range(len(self.held)):
            total = total + (self.held[i] * gradients[i].mean(0)).sum()
        return total


def toy_options(**changes: object) -> TrainOptions:
    base = {
        "steps": 12,
        "batch_size": 6,
        "lr": 1e-2,
        "save_every": 4,
        "preview_every": 0,
        "log_every": 1,
        "ema_decay": 0.9,
    }
    return TrainOptions(**{**base, **changes})


def toy_trainer(
    run_dir: Path, task: ToyTask | None = None, config_text: str = "", **changes: object
) -> Trainer:
    return Trainer(task or ToyTask(), toy_options(**changes), run_dir, config_text=config_text)


def weights(cell: nn.Cell) -> dict[str, np.ndarray]:
    return {p.name: np.array(p.asnumpy()) for p in cell.get_parameters()}


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        np.array_equal(a[k].view(np.int32), b[k].view(np.int32)) for k in a
    )
