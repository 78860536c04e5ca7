"""Runs our UNet on the cases of unet_cases.py and says how far each array is from the golden one.

A difference is relative: the largest absolute one, over the largest absolute value of the golden
array.
"""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import unet_cases as cases
from mindspore import Tensor, nn

from mindlong.networks.unet.cell import UNet

FOLDER = Path(__file__).parents[1] / "golden"


def golden(case: cases.Case) -> dict[str, np.ndarray]:
    """The arrays of tests/golden/unet_NAME.npz."""
    with np.load(FOLDER / f"unet_{case.name}.npz") as arrays:
        return dict(arrays)


def network(case: cases.Case, dtype: str = "float32") -> UNet:
    """Our network with the case's weights; every parameter must be named by an entry, and the other
    way round.
    """
    net, values = UNet(case.spec(), dtype), case.weights()
    parameters = {p.name: p for p in net.get_parameters()}
    entries = case.entries()
    assert {e.ours: e.our_shape for e in entries} == {
        n: tuple(p.shape) for n, p in parameters.items()
    }
    for entry in entries:
        parameters[entry.ours].set_data(Tensor(values[entry.source].reshape(entry.our_shape)))
    return net


def tensors(case: cases.Case) -> list[Tensor]:
    """What construct takes."""
    given = case.inputs()
    return [
        Tensor(given[name]) for name in ("x", "t", "context", "fps", "guidance") if name in given
    ]


class _Probed(nn.Cell):
    def __init__(self, net: UNet) -> None:
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, probe, *inputs):
        out = self.net(*inputs)
        return (out * probe).sum(), out


def forward_difference(case: cases.Case, dtype: str = "float32") -> float:
    """Of the output alone."""
    return cases.relative(network(case, dtype)(*tensors(case)).asnumpy(), golden(case)["out"])


def gradients(
    net: UNet, case: cases.Case
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Output, gradients by x and by the context, and by every parameter under our names."""
    trained = net.trainable_params()
    step = ms.jit(ms.value_and_grad(_Probed(net), (1, 3), trained, has_aux=True))
    (_, out), (by_inputs, by_trained) = step(Tensor(case.inputs()["probe"]), *tensors(case))
    named = {p.name: g.asnumpy() for p, g in zip(trained, by_trained, strict=True)}
    return out.asnumpy(), *(g.asnumpy() for g in by_inputs), named


def differences(case: cases.Case) -> dict[str, float]:
    """Of the output, and of the gradients by the inputs and by every parameter."""
    want = golden(case)
    out, by_x, by_context, by_ours = gradients(network(case), case)
    by_source = {e.source: by_ours[e.ours].reshape(e.source_shape) for e in case.entries()}
    return {
        "out": cases.relative(out, want["out"]),
        "grad_x": cases.relative(by_x, want["grad_x"]),
        "grad_context": cases.relative(by_context, want["grad_context"]),
    } | cases.gradient_error(by_source, want)
