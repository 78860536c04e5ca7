"""The student `part` of train_few.py as a folder that runs over the shipped latent model:

PYTHONPATH=. python tools/gpu/package_few.py runs/few mindlong/weights/latent_shapes_few
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from mindlong.checkpoints.changed import BASE, PREFIX, fingerprint

HERE = Path(__file__).resolve().parents[2]
TEACHER = HERE / "mindlong" / "weights" / "latent_shapes"
SCHEDULER = Path("scheduler/scheduler_config.json")
# of the samplers tried it drew the steadiest objects: fresh noise takes away what a step did wrong
LCM = {"_class_name": "LCMScheduler", "original_inference_steps": 20}
CONFIG = """\
# What tuned.safetensors lies over; made by tools/gpu/train_few.py
distil: {teacher: "shipped:latent_shapes"}
"""


def package(run: Path, out: Path) -> None:
    """Write the tensors that changed in half precision, and which weights they belong over."""
    changed = {k: a.astype(np.float16) for k, a in load_file(run / "part.safetensors").items()}
    whole = load_file(TEACHER / "unet.safetensors")
    kept = {k.removeprefix(PREFIX): a for k, a in whole.items() if k not in changed}
    (out / "scheduler").mkdir(parents=True, exist_ok=True)
    save_file({**changed, BASE: fingerprint(kept, kept)}, out / "tuned.safetensors")
    (out / "config.yaml").write_text(CONFIG)
    told = json.loads((TEACHER / SCHEDULER).read_text()) | LCM
    (out / SCHEDULER).write_text(json.dumps(told, indent=2) + "\n")
    shutil.copyfile(run / "part" / "metrics.csv", out / "metrics.csv")


if __name__ == "__main__":
    package(Path(sys.argv[1]), Path(sys.argv[2]))
