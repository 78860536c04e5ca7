"""A tiny VideoCrafter2 network and its runs on simulated ranks, shared by the clip-parallel
tests.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.networks.sharded import Answer
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.sharded_cell import ClipRun, ShardedUNet
from mindlong.ops import device
from mindlong.parallel import halo, simulated, sync
from mindlong.plans.clip_layout import ClipLayout, exact_layout
from mindlong.utils import rng

SIZES = {
    "channels": (8, 16),
    "layers": 1,
    "attends": (True, False),
    "groups": 4,
    "context_dim": 12,
    "head_dim": 4,
    "entry_heads": 2,
}
FRAMES, PIXELS = 12, (4, 6)


@pytest.fixture
def eager():
    """Operators one by one and in order, without C++ ones: nothing is compiled, and a busy machine
    hurts least.
    """
    device.configure(native="off")
    ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
    yield
    ms.set_context(mode=ms.GRAPH_MODE, pynative_synchronize=False)
    device.configure()


def fill(cell, seed: int = 1) -> None:
    """A value other than zero for every parameter, from its name."""
    for parameter in cell.get_parameters():
        drawn, shape = rng.normal(parameter.shape, seed, "weight", parameter.name), parameter.shape
        value = drawn / np.float32(np.sqrt(np.prod(shape[1:]))) if len(shape) > 1 else 0.2 * drawn
        parameter.set_data(
            Tensor(value + 1 if len(shape) == 1 and parameter.name.endswith("weight") else value)
        )


def tiny_unet(name: str = "videocrafter2") -> UNet:
    unet = UNet(family(name).spec(**SIZES)).set_train(False)
    fill(unet)
    return unet


def inputs(frames: int = FRAMES, batch: int = 1, pixels=PIXELS) -> tuple[np.ndarray, ...]:
    """x, t, context, fps."""
    x = rng.normal((batch, 4, frames, *pixels), 0, "x")
    return (
        x,
        np.full(batch, 700, np.int32),
        rng.normal((batch, 5, 12), 0, "context"),
        np.full(batch, 8, np.int32),
    )


def layout(lengths, local: str = "window:5", spread: str = "spread:4", tuning=None) -> ClipLayout:
    return exact_layout(halo.split_by(lengths), local, spread, tuning)


def run(
    network: ShardedUNet,
    clips: ClipLayout,
    ranks: int,
    x,
    t,
    context,
    fps,
    traffic=None,
    park=lambda x: x,
) -> np.ndarray:
    """The prediction for the whole video, its clips dealt to simulated ranks; a 4-D context is cut
    by clips too.
    """
    meeting = sync.Meeting(clips, halo.deal(len(clips.clips), ranks))

    def clip(number):
        mine = slice(clips.clips[number].start, clips.clips[number].stop)
        part = context if context.ndim == 3 else context[:, mine]
        return ClipRun(network, clips, number, park).forward(x[:, :, mine], t, part, fps)

    programs = [
        sync.rank_program(meeting, r, [clip(i) for i in meeting.held[r]], Answer)
        for r in range(ranks)
    ]
    return np.concatenate([part for parts in simulated.run(programs, traffic) for part in parts], 2)
