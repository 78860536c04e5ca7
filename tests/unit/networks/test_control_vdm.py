"""The branch on the pixel-space network: nothing at first, nothing where nothing is known,
something once trained.
"""

import numpy as np
from mindspore import Tensor

from mindlong.networks.init import initialise
from mindlong.networks.unet.control_spec import ControlSpec, condition
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.control import ControlledUnet3D, pixel_units
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils import rng

MODE = "pynative"

SPEC = Unet3DSpec(dim=8, dim_mults=(1, 2), attn_heads=2, attn_dim_head=4)
CONTROL = ControlSpec(hidden=4, depths=2, told="place")


def test_zero_at_first_silent_where_nothing_is_known_and_telling_once_trained():
    x, t = Tensor(rng.normal((2, 3, 3, 8, 8), 1, "x")), Tensor(np.array([7, 900], np.int32))
    known = np.array([[True, False, True], [False] * 3])
    cond, mask = (
        Tensor(a) for a in condition(rng.normal((2, 3, 3, 8, 8), 1, "clean"), known, CONTROL)
    )
    depth = Tensor(np.array([1, 1], np.int32))
    want = initialise(Unet3D(SPEC), 3).set_train(False)(x, t).asnumpy()
    net = initialise(ControlledUnet3D(SPEC, CONTROL), 3).set_train(False)
    assert np.array_equal(net(x, t).asnumpy(), want)
    assert np.array_equal(net(x, t, None, None, None, cond, mask, depth).asnumpy(), want)
    for p in net.get_parameters():
        if p.name.startswith("control."):
            p.set_data(Tensor(rng.normal(p.shape, 5, p.name) * np.float32(0.2)))
    told = net(x, t, None, None, None, cond, mask, depth).asnumpy()
    assert np.array_equal(told[1], want[1]) and np.abs(told[0] - want[0]).max() > 1e-3


def test_a_unit_for_every_level_of_both_ways():
    units = pixel_units(SPEC)
    assert [(u.name, u.halvings, u.width) for u in units] == [
        ("down.0", 0, 8),
        ("down.1", 1, 16),
        ("up.0", 1, 8),
        ("up.1", 0, 8),
    ]
    net = ControlledUnet3D(SPEC, CONTROL)
    widths = [tuple(p.shape) for p in net.get_parameters() if p.name.endswith("mask_scale.weight")]
    assert widths == [(u.width, 3, 3, 3) for u in units]
