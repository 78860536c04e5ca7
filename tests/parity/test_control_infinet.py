"""The branch as coded against InfiNet's diffusers flavour: units, 20 injections, outputs,
gradients.

Every tensor is randomised. The arrays are made by tools/golden/infinet.py from the original's own
files.
"""

from pathlib import Path

import infinet_cases as cases
import mindspore as ms
import numpy as np
import pytest
import unet_cases
from mindspore import Tensor, nn

from mindlong.networks.unet import control_spec as control
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.control import AsCodedUNet, ZeroUnit

GOLDEN = Path(__file__).parents[1] / "golden"


class Probed(nn.Cell):
    def __init__(self, cell, probe):
        super().__init__()
        self.cell, self.probe = cell, Tensor(probe)

    def construct(self, *inputs):
        out = self.cell(*inputs)
        return (out * self.probe).sum(), out


class Applied(nn.Cell):
    """A unit on features, as a layer applies it."""

    def __init__(self, unit):
        super().__init__()
        self.unit = unit

    def construct(self, h, cond, mask):
        scale, shift = self.unit(cond, mask)
        return h * scale + shift


@pytest.mark.parametrize("stride", cases.STRIDES)
def test_a_unit_and_its_gradients_equal_the_originals(stride):
    golden, given = np.load(GOLDEN / "infinet_units.npz"), cases.unit_inputs(stride)
    unit = ZeroUnit(4, 1, cases.UNIT["width"], stride, stride)
    theirs = {
        f"{ours}.{leaf}": f"{name}.{leaf}"
        for ours, name in control.LEAVES.items()
        for leaf in ("weight", "bias")
    }
    for p in unit.get_parameters():
        p.set_data(Tensor(given[theirs[p.name]]))
    run = ms.value_and_grad(
        Probed(Applied(unit), given["probe"]),
        0,
        ms.ParameterTuple(unit.get_parameters()),
        has_aux=True,
    )
    (_, out), (grad_h, gradients) = run(*(Tensor(given[k]) for k in ("h", "cond", "mask")))
    assert unet_cases.relative(out.asnumpy(), golden[f"{stride}/out"]) < 1e-6
    assert unet_cases.relative(grad_h.asnumpy(), golden[f"{stride}/grad_h"]) < 1e-5
    for p, g in zip(unit.get_parameters(), gradients, strict=True):
        name = theirs[p.name.removeprefix("cell.unit.").removeprefix("unit.")]
        assert unet_cases.relative(g.asnumpy(), golden[f"{stride}/grad_{name}"]) < 1e-5


@pytest.mark.slow
def test_the_whole_network_as_coded_equals_the_original():
    net, golden = cases.NETS["small"], np.load(GOLDEN / "infinet_small.npz")
    spec = net.spec()
    cell = AsCodedUNet(spec).set_train(False)
    branch = control.names(spec, control.AS_CODED)
    parameters = {p.name: p for p in cell.get_parameters()}
    for entry in unet_names.names(spec):
        parameters[entry.ours].set_data(Tensor(net.weight(entry.source).reshape(entry.our_shape)))
    for entry in branch:
        parameters[entry.ours].set_data(Tensor(net.weight(entry.source)))
    given = net.inputs()
    inputs = [Tensor(given[k]) for k in ("x", "t", "context")]
    chosen = [parameters[e.ours] for e in branch]
    run = ms.value_and_grad(
        Probed(cell, given["probe"]), None, ms.ParameterTuple(chosen), has_aux=True
    )
    (_, out), gradients = run(*inputs)
    assert unet_cases.relative(out.asnumpy(), golden["out"]) < 1e-4
    found = {e.source: g.asnumpy() for e, g in zip(branch, gradients, strict=True)}
    errors = unet_cases.gradient_error(found, golden)
    assert max(errors.values()) < 1e-3, sorted(errors.items(), key=lambda item: -item[1])[:5]
    assert unet_cases.relative(cell(*inputs, False).asnumpy(), golden["base"]) < 1e-4
    assert unet_cases.relative(out.asnumpy(), golden["base"]) > 1e-2


def test_the_original_injects_twenty_times_where_ours_does():
    golden = np.load(GOLDEN / "infinet_small.npz")
    spec, rows = cases.NETS["small"].spec(), 2 * 3
    found = control.units(spec, control.AS_CODED)
    down, up = control.unit_of_block(spec, control.AS_CODED)
    sizes = [(9, 10), (5, 5), (3, 3), (2, 2)]
    want = [(rows, found[n].width, *sizes[found[n].halvings]) for n in (*down, *up) if n >= 0]
    assert golden["places"].tolist() == [list(shape) for shape in want] and len(want) == 20
