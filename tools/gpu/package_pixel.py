"""Make the folder to ship of what tools/gpu/train_pixel.py wrote.

  PYTHONPATH=. python3 tools/gpu/package_pixel.py RUN mindlong/weights/vdm_shapes

The network comes over as any checkpoint of video-diffusion-pytorch does; beside it lie the tensors
of the caption encoder, the configuration, the losses and their plot.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np

from mindlong.checkpoints.files import open_named, write_safetensors
from mindlong.checkpoints.parts import read_part
from mindlong.utils import look


def arrays(run: Path) -> dict[str, np.ndarray]:
    """The tensors of both networks under our names."""
    unet = read_part(open_named(str(run / "unet.safetensors")), "network")
    text = open_named(str(run / "text.safetensors"))
    made = {f"unet.{name}": np.asarray(lazy.read()) for name, lazy in unet.arrays.items()}
    return made | {f"text.{name}": np.asarray(text.read(name)) for name in text}


def plot(losses: Path, out: Path) -> None:
    """The loss over the steps."""
    with losses.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with look.plot(out, 8, 4) as figure:
        axis = figure.subplots()
        axis.plot([int(r["step"]) for r in rows], [float(r["loss"]) for r in rows])
        axis.set(xlabel="step", ylabel="loss", yscale="log")
        axis.grid()


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "metrics.csv"):
        shutil.copyfile(args.run / name, args.out / name)
    plot(args.run / "metrics.csv", args.out / "loss.png")
    write_safetensors(args.out / "model.safetensors", arrays(args.run), {}, "float16")


if __name__ == "__main__":
    main()
