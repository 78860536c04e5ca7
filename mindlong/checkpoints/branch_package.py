"""A trained branch as a folder to share: branch.safetensors, the training's configuration, metrics
and loss plot.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.branch import write_branch
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.locate import BRANCH, locate
from mindlong.checkpoints.package import copy_records
from mindlong.checkpoints.parts import read_part
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.find import Trained


def package_branch(trained: Trained, run: Path, out: Path, dtype: str) -> list[Path]:
    """Write the folder `out`; of the UNet only what differs from the base that the training started
    from. Returns the file.

    Raises:
        InputFileError: the run did not start from a base.
    """
    config = trained.config
    base_weights = config.train.start or config.latents.unet_weights
    if not base_weights:
        raise InputFileError(
            f"{run} trained its UNet from nothing; a branch is shared with the base that it belongs to"
        )
    weights = open_weights(locate(base_weights))
    base = read_part(weights, "network", config.model.family)
    arrays = {
        name.removeprefix("unet."): np.asarray(a, np.float32)
        for name, a in trained.arrays.items()
        if name.startswith("unet.")
    }
    out.mkdir(parents=True, exist_ok=True)
    write_branch(
        out / BRANCH,
        arrays,
        config.infinet.control(),
        {name: np.asarray(lazy.read(), np.float32) for name, lazy in base.arrays.items()},
        dtype,
    )
    copy_records(run, out)
    return [out / BRANCH]
