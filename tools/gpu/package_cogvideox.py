"""A folder to share from what tools/gpu/train_cogvideox.py wrote, as tools/package_weights.py makes
one from a run of train.py: transformer, text encoder, tokenizer, scheduler, the configuration that
goes on with the training, losses.

  PYTHONPATH=. python3 tools/gpu/package_cogvideox.py FOLDER mindlong/weights/cogvideox_shapes 2788

The last number is that of the steps.
"""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from pathlib import Path

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.find import Trained
from mindlong.checkpoints.package import package
from mindlong.checkpoints.parts import read_part
from mindlong.config.dump import to_yaml
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.training.metrics import smoothed
from mindlong.utils import look

CONFIG = Path("configs/train/cogvideox_shapes.yaml")
THERE = {  # what differs there
    "train.batch_size": 128,
    "train.warmup": 200,
    "train.lr_end": 0.02,
    "train.ema_decay": 0.999,
    "latents.clips": 16384,
}


def plotted(metrics: Path, out: Path) -> None:
    """The losses over the steps."""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps, losses = [int(r["step"]) for r in rows], [float(r["loss"]) for r in rows]
    with look.plot(out, 8, 3) as figure:
        axis = figure.subplots()
        axis.plot(steps, losses, color=look.GREY, alpha=0.6, linewidth=0.8)
        axis.plot(steps, smoothed(losses), label="loss, smoothed")
        axis.set(xlabel="step", ylabel="loss", yscale="log")
        axis.grid()
        axis.legend(loc="upper right")


def main(argv: list[str]) -> None:
    """Write the folder."""
    source, out = map(Path, argv[:2])
    there = THERE | {"train.steps": int(argv[2])}
    config = load(CONFIG, [f"{key}={value}" for key, value in there.items()], TrainConfig).values
    parts = [read_part(open_named(str(source)), role) for role in ("network", "text_encoder")]
    arrays = {
        f"{part.network.part}.{name}": lazy.read()
        for part in parts
        for name, lazy in part.arrays.items()
    }
    with tempfile.TemporaryDirectory() as made:
        run = Path(made)
        (run / "config.yaml").write_text(to_yaml(config))
        shutil.copyfile(source / "metrics.csv", run / "metrics.csv")
        plotted(source / "metrics.csv", run / "loss.png")
        for path in package(Trained(arrays, config, source), run, out, "float16", own_vae=False):
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
