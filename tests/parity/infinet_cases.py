"""What is compared with InfiNet's diffusers flavour: units by themselves and a whole small network.

Read by tools/golden/infinet.py, which runs the original, and by the parity test. Weights are never
stored; each is a function of its key in the original's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import unet_cases

from mindlong.networks.unet import control_spec as control
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import family
from mindlong.networks.unet.spec import UNetSpec
from mindlong.utils import rng

SEED = 20230422
STRIDES = (1, 2, 4, 8)
UNIT = {"width": 8, "frames": 3, "size": (9, 15), "batch": 2}


def unit_inputs(stride: int) -> dict[str, np.ndarray]:
    """h, cond, mask, probe and the eight tensors of one unit, all rows folded."""

    def draw(name, *shape):
        return rng.normal(shape, SEED, "unit", name, stride)

    rows, (h, w), width = UNIT["batch"] * UNIT["frames"], UNIT["size"], UNIT["width"]
    small = -(-h // stride), -(-w // stride)
    mask = np.zeros((UNIT["batch"], UNIT["frames"], 1, h, w), np.float32)
    mask[:, [0, -1]] = 1
    made = {
        "h": draw("h", rows, width, *small),
        "probe": draw("probe", rows, width, *small),
        "cond": draw("cond", rows, 4, h, w),
        "mask": mask.reshape(rows, 1, h, w),
    }
    for name in control.LEAVES.values():
        made[f"{name}.weight"] = draw(name, width, 1 if "mask" in name else 4, 3, 3) * np.float32(
            0.2
        )
        made[f"{name}.bias"] = draw(name + "b", width) * np.float32(0.2)
    return made


@dataclass(frozen=True)
class Net:
    """One whole network. The original's constructor makes units of wrong widths for all but the
    published ones, so units of the right widths are put in their places; its forward pass is its
    own.
    """

    name: str
    sizes: dict
    shape: tuple[int, int, int, int]
    about: str

    def spec(self) -> UNetSpec:
        """The base's spec."""
        return family("modelscope").spec(**self.sizes)

    @cached_property
    def keys(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the original's state dict with its shape."""
        spec = self.spec()
        base = {e.source: e.source_shape for e in unet_names.names(spec)}
        return base | {e.source: e.source_shape for e in control.names(spec, control.AS_CODED)}

    def weight(self, key: str) -> np.ndarray:
        """The value of one tensor."""
        drawn = unet_cases.weight(key, self.keys[key])
        return drawn * np.float32(0.3) if key.startswith("infinet.") else drawn

    def inputs(self) -> dict[str, np.ndarray]:
        """x, t, context, probe."""
        spec, (batch, *rest) = self.spec(), self.shape

        def draw(shape, what):
            return rng.normal(shape, SEED, what, self.name)

        return {
            "x": draw((batch, 4, *rest), "x"),
            "t": np.array([977, 3][:batch], np.int32),
            "context": draw((batch, 5, spec.context_dim), "context"),
            "probe": draw((batch, 4, *rest), "probe"),
        }


SMALL = {"channels": (32, 64, 64, 32), "layers": 2, "head_dim": 8, "context_dim": 12}
NETS = {
    "small": Net("small", SMALL, (2, 3, 9, 10), "(32, 64, 64, 32), two layers, attention, 9 x 10")
}
