"""The works in mindlong; with `native=False` the plain MindSpore operators."""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bench.works import FORWARD, MODELSCOPE, TOKENS, Work
from mindlong.config.train_options import TrainOptions
from mindlong.diffusion.losses import DiffusionLoss
from mindlong.diffusion.schedules import cosine, scaled_linear
from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.ops import activation, device, norm
from mindlong.ops.attention import Attention, FrameAttention
from mindlong.ops.conv import Conv2d, TemporalConv, upsample_nearest2x
from mindlong.ops.linear import Linear
from mindlong.training.step import Stepper
from mindlong.utils.rng import normal


def build(work: Work, threads: int, native: bool, bf16: bool) -> Callable[[], float]:
    """A call that runs the work once, to the end, and returns a number that depends on it."""
    device.setup("CPU", "graph", native="on" if native else "off", threads=threads, bf16=bf16)
    if bf16 and not device.settings()["bf16"]:
        raise SystemExit("error: this machine cannot multiply in bfloat16; leave --bf16 out")
    return _network(work) if work.is_network else _operator(work)


def _network(work: Work) -> Callable[[], float]:
    x, t = normal(work.shape, 0, "x"), np.full(work.shape[0], 500, np.int32)
    if work.family == "unet3d":
        network, conditions, schedule, loss = (
            Unet3D(Unet3DSpec(**work.sizes)),
            (),
            cosine(1000),
            "l1",
        )
    else:
        network, schedule, loss = (
            UNet(family(work.family).spec(**work.sizes)),
            scaled_linear(1000),
            "l2",
        )
        conditions = (normal((work.shape[0], TOKENS, MODELSCOPE["context_dim"]), 0, "text"),)
    initialise(network, 0)
    if work.kind == FORWARD:
        network.set_train(False)
        inputs = [Tensor(a) for a in (x, t, *conditions)]
        return lambda: float(network(*inputs).asnumpy().sum())
    loss_cell, options = (
        DiffusionLoss(network, schedule, loss=loss),
        TrainOptions(batch_size=work.shape[0]),
    )
    stepper = Stepper(loss_cell, network.trainable_params(), options)
    arrays = (x, normal(work.shape, 0, "noise"), t, *conditions)
    count = iter(range(10**9))
    return lambda: stepper(next(count), arrays).loss


class _Upsampled(nn.Cell):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, out, 3, padding=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(upsample_nearest2x(x))


def _cell(work: Work) -> nn.Cell:
    width = work.shape[-1] if len(work.shape) == 2 else work.shape[1]
    made = {
        "group_norm_silu": lambda groups: norm.GroupNorm(groups, width, act=True),
        "group_norm_film_silu": lambda groups: norm.GroupNorm(groups, width, act=True, film=True),
        "layer_norm": lambda: norm.LayerNorm(width),
        "channel_norm": lambda: norm.ChannelLayerNorm(width),
        "silu": activation.SiLU,
        "gelu": activation.GELU,
        "geglu": activation.GEGLU,
        "linear": lambda out: Linear(width, out),
        "conv": lambda out: Conv2d(width, out, 3, padding=1),
        "upsample_conv": lambda out: _Upsampled(width, out),
        "frames_conv": lambda out: TemporalConv(width, out),
        "attention": lambda: Attention(work.shape[1], work.shape[3] ** -0.5),
        "frames_attention": lambda heads: FrameAttention(
            heads, (work.shape[3] // heads) ** -0.5, "all", True
        ),
    }
    cell = made[work.family](**work.sizes)
    initialise(cell, 0)
    return cell


def inputs(work: Work) -> list[np.ndarray]:
    """The operator's inputs, the same for every peer."""
    count = 3 if work.family.endswith("attention") else 1
    arrays = [normal(work.shape, 0, "x", i) for i in range(count)]
    film = (
        [normal((1, work.shape[1]), 0, name) for name in ("scale", "shift")]
        if "film" in work.family
        else []
    )
    return arrays + film


class _Gradients(nn.Cell):
    """Gradients of everything, from a given gradient of the output."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ms.ParameterTuple(cell.trainable_params())
        learns = len(self.parameters) > 0
        self.cell, self.learns = cell, learns
        self.differentiate = ops.GradOperation(get_all=True, get_by_list=learns, sens_param=True)

    def construct(self, *given: Tensor):
        if self.learns:
            return self.differentiate(self.cell, self.parameters)(*given)
        return self.differentiate(self.cell)(*given)


def _operator(work: Work) -> Callable[[], float]:
    cell, tensors = _cell(work), [Tensor(a) for a in inputs(work)]
    if work.kind == FORWARD:
        cell.set_train(False)
        return lambda: float(cell(*tensors).asnumpy().reshape(-1)[0])
    probe = Tensor(normal(cell(*tensors).shape, 0, "probe"))
    gradients = _Gradients(cell)
    return lambda: float(_leaf(gradients(*tensors, probe)).asnumpy().reshape(-1)[0])


def _leaf(found) -> Tensor:
    while not isinstance(found, Tensor):
        found = found[-1]
    return found
