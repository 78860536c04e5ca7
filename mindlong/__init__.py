"""mindlong: long-video diffusion on MindSpore for Ascend NPUs and CPUs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

__version__ = (Path(__file__).parent / "version.txt").read_text().strip()

_FACE = {  # name -> module that has it; loaded at its first use, MindSpore with it
    "GaussianDiffusion": "mindlong.face.diffusion",
    "Model": "mindlong.face.model",
    "Trainer": "mindlong.face.trainer",
    "Unet3D": "mindlong.face.unet3d",
    "UserError": "mindlong.utils.errors",
    "Video": "mindlong.face.video",
    "load": "mindlong.face.model",
    "train": "mindlong.face.training",
    "video_tensor_to_gif": "mindlong.face.trainer",
}
__all__ = ["__version__", *_FACE]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'mindlong' has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FACE])
