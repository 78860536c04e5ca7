"""The fields of the form: which pipeline shows which, and what fits the shipped models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mindlong.app.folders import listed
from mindlong.app.form import IMAGE, IMAGES, LAST, STRENGTH, VIDEO
from mindlong.app.trainings import trainings_of
from mindlong.checkpoints.locate import shipped_networks
from mindlong.config.leaves import leaves
from mindlong.config.pipelines import PIPELINES

if TYPE_CHECKING:
    from mindlong.app.place import Place

USUAL: dict[str, dict[str, Any]] = {  # of the shipped models, which are small
    "pixel": {"weights": "shipped:vdm_shapes", "steps": 50, "guidance": 2.0, "frames": 0},
    "text_to_video": {
        "weights": "shipped:latent_shapes",
        "steps": 25,
        "guidance": 1.5,
        "frames": 0,
    },
    "animate": {"weights": "", "steps": 50, "guidance": 7.5, "frames": 0},
    "hierarchical": {
        "weights": "shipped:latent_shapes",
        "steps": 20,
        "guidance": 2.0,
        "frames": 61,
    },
    "interpolate": {
        "weights": "shipped:interpolation_shapes",
        "steps": 20,
        "guidance": 1.5,
        "frames": 0,
    },
    "extend": {
        "weights": "shipped:interpolation_shapes",
        "steps": 25,
        "guidance": 1.5,
        "frames": 16,
    },
    "edit": {"weights": "shipped:latent_shapes", "steps": 20, "guidance": 4.0, "frames": 0},
    "clip_parallel": {
        "weights": "shipped:latent_shapes",
        "steps": 30,
        "guidance": 2.5,
        "frames": 32,
    },
}
PROMPT = "a red circle moving right"
FILES = (".safetensors", ".pt", ".ckpt", ".bin")
MOST = 200


def takes(pipeline: str, what: str) -> bool:
    """Whether a pipeline has a field of the form, such as video, images, scenes or branch."""
    known = leaves(PIPELINES[pipeline].schema)
    own = {key.partition(".")[2] for key in known if key.startswith(f"{pipeline}.")}
    return {
        "video": pipeline in VIDEO,
        "images": pipeline in {*IMAGE, *IMAGES, "text_to_video"},
        "last": pipeline in LAST,
        "strength": pipeline in STRENGTH,
        "negative": "negative" in own or "negative" in known,
        "scenes": bool({"scenes", "scene"} & own) or "scenes" in known,
        "branch": "branch" in own,
        "key_weights": pipeline == "interpolate",
        "count": "count" in PIPELINES[pipeline].reads,
    }[what]


def weights_named(place: Place) -> list[str]:
    """What can be chosen as weights: shipped ones, and what lies in the folders given."""
    found = [f"shipped:{name}" for name in shipped_networks()]
    found += [str(training.folder) for training in trainings_of(place)]
    for folder in place.weights:
        found += [str(p) for p in listed(folder) if os.path.isdir(p) or p.suffix in FILES]
    return found[:MOST]


def choices() -> list[str]:
    """The pipelines, as they are called."""
    return list(PIPELINES)


def about(pipeline: str) -> str:
    """What a pipeline makes, in a line."""
    return PIPELINES[pipeline].about
