"""Unet3D as its spec wants it: as the original has it, or with more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.extended_unet_cell import ExtendedUnet3D, GuidedUnet3D

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec


def build(spec: Unet3DSpec, dtype: str = "float32") -> Unet3D:
    """The network; it computes in the type of what it is given."""
    return ExtendedUnet3D(spec) if spec.extended else Unet3D(spec)


def alone(spec: Unet3DSpec, arrays: Mapping[str, np.ndarray]) -> GuidedUnet3D:
    """The network, to be run alone under the guidance scale of `arrays`."""
    scale = float(arrays["cond_scale"]) if "cond_scale" in arrays else 1.0
    return GuidedUnet3D(build(spec), scale)
