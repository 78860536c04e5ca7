"""Motion modules of tiny sizes as the files that other programs write, and an image model for
them.
"""

from pathlib import Path

import numpy as np
from latent_toys import SIZES, drawn, folder

from mindlong.networks.unet import motion
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.unet.motion_names import entries, tables
from mindlong.networks.unet.spec import UNetSpec

HEADS = {"heads": 8, "head_dim": None}


def image(where: Path) -> Path:
    """A pipeline of a tiny image model, under our names."""
    return folder(where, "stable_diffusion", **HEADS)


def spec_of(version: str = "v2", **sizes) -> UNetSpec:
    """The network that the modules of a version are for."""
    return FAMILIES["animatediff"].spec(**SIZES | HEADS | motion.fields(version) | sizes)


def state(version: str = "v2", layout: str = "guoyww", **sizes) -> dict[str, np.ndarray]:
    """The tensors and tables of a file of motion modules; the numbers depend on our names alone."""
    spec = spec_of(version, **sizes)
    found = {
        e.source: drawn("motion", e.ours, e.our_shape).reshape(e.source_shape)
        for e in entries(spec, layout)
    }
    return found | tables(spec, layout)


def ours(version: str = "v2") -> dict[str, np.ndarray]:
    """The same under our names."""
    spec = spec_of(version)
    return {e.ours: drawn("motion", e.ours, e.our_shape) for e in entries(spec, "guoyww")}
