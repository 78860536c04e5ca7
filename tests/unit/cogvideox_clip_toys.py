"""A tiny CogVideoX transformer, its inputs and the layouts of its clips, for tests of clips."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor

from mindlong.networks.cogvideox.cell import CogVideoX
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.parallel import halo
from mindlong.plans.clip_layout import exact_layout
from mindlong.plans.joint_reads import Joint

FRAMES, TOKENS, SIZE = 7, 5, (4, 6)
SPEC = CogVideoXSpec(
    heads=2,
    head_dim=8,
    layers=2,
    in_channels=4,
    out_channels=4,
    time_dim=12,
    context_dim=10,
    tokens=TOKENS,
    sample=(5, 4, 6),
)
JOINT = Joint(text_reads="spread:4")


def tiny() -> CogVideoX:
    """Every number is random."""
    draw = np.random.default_rng(5)
    made = CogVideoX(SPEC)
    for parameter in made.get_parameters():
        values = draw.standard_normal(parameter.shape).astype(np.float32) * 0.3
        parameter.set_data(Tensor(values + (parameter.name.endswith("norm.weight"))))
    return made


def inputs(batch=1):
    draw = np.random.default_rng(6)
    x = draw.standard_normal((batch, 4, FRAMES, *SIZE)).astype(np.float32)
    context = draw.standard_normal((batch, TOKENS, 10)).astype(np.float32)
    return x, np.full(batch, 700.0, np.float32), context


def layout_of(lengths, local="window:3", spread="spread:2", joint=JOINT, tuning=None):
    return exact_layout(halo.split_by(lengths), local, spread, tuning, joint)
