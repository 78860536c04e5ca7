"""Norms of an inflated image model: over all frames together as published, or frame by frame."""

import numpy as np
from mindspore import Tensor

from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.keys import UNetModel

MODE = "pynative"

SIZES = {
    "channels": (8,),
    "layers": 1,
    "attends": (True,),
    "heads": None,
    "head_dim": 4,
    "context_dim": 4,
    "groups": 2,
}
RNG = np.random.default_rng(0)
X, T, TEXT = RNG.standard_normal((1, 4, 2, 4, 4)), np.array([5.0]), RNG.standard_normal((1, 2, 4))


def reach(joint):
    """How far frame 0 of a fresh network that reads nothing but the frame itself moves with frame
    1.
    """
    spec = family("tune_a_video").spec(**SIZES, joint=joint).reading("space", "frame")
    network = initialise(UNet(spec), 0)
    last, outputs = network.conv_out.weight, []
    last.set_data(Tensor(np.ones(last.shape, np.float32)))  # fresh ones are zero
    for change in (0, 3):
        x = X.copy()
        x[:, :, 1] += change
        outputs.append(
            network(*(Tensor(a.astype(np.float32)) for a in (x, T, TEXT))).asnumpy()[:, :, 0]
        )
    return np.abs(outputs[0] - outputs[1]).max()


def test_frame_by_frame_an_inflated_network_leaves_frames_alone():
    assert reach(False) < 1e-5 and reach(True) > 1e-3


def test_a_checkpoint_says_how_its_norms_look_at_frames():
    for joint in (True, False):
        spec = family("tune_a_video").spec(**SIZES, joint=joint)
        section = table.get("tune_a_video").section(spec)
        assert section.get("joint", True) is joint and UNetModel(**section).spec() == spec
