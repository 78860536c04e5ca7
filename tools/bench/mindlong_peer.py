"""The works in mindlong; with `native=False` the plain MindSpore operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.works import Work


def build(work: Work, threads: int, native: bool) -> Callable[[], float]:
    """A call that runs the work once, to the end, and returns a number that depends on all of it."""
    from mindspore import Tensor

    from mindlong.config.train_options import TrainOptions
    from mindlong.diffusion.losses import DiffusionLoss
    from mindlong.diffusion.schedules import cosine
    from mindlong.models.init import initialise
    from mindlong.models.vdm_unet import Unet3D
    from mindlong.ops import device
    from mindlong.spec.vdm import Unet3DSpec
    from mindlong.training.step import Stepper
    from mindlong.utils.rng import normal

    device.setup("CPU", "graph", native="on" if native else "off", threads=threads)
    network = Unet3D(Unet3DSpec(work.dim, dim_mults=work.dim_mults))
    initialise(network, 0)
    x, t = normal(work.shape, 0, "x"), np.full(work.shape[0], 500, np.int32)
    if work.kind == "forward":
        network.set_train(False)
        x_BCFHW, t_B = Tensor(x), Tensor(t)
        return lambda: float(network(x_BCFHW, t_B).asnumpy().sum())
    loss = DiffusionLoss(network, cosine(1000), loss="l1")
    stepper = Stepper(loss, network.trainable_params(), TrainOptions(batch_size=work.shape[0]))
    arrays = (x, normal(work.shape, 0, "noise"), t)
    count = iter(range(10**9))
    return lambda: stepper(next(count), arrays).loss
