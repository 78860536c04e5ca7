"""Make a small folder to share from a run: averaged weights in half precision, configuration, metrics and loss plot.

  python tools/package_weights.py runs/vdm_shapes mindlong/weights/vdm_shapes

`infer.py weights=FOLDER/model.safetensors` takes the result. A README.md (model card) beside it is left alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.checkpoints.files import write_safetensors  # noqa: E402
from mindlong.cli.common import guarded  # noqa: E402
from mindlong.pipelines.weights import find_trained  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder or checkpoint folder")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    args = parser.parse_args(argv)
    trained = find_trained(str(args.run))
    args.out.mkdir(parents=True, exist_ok=True)
    write_safetensors(args.out / "model.safetensors", trained.arrays, {"from": trained.where.name}, args.dtype)
    run = next(folder for folder in (args.run, *args.run.absolute().parents) if (folder / "config.yaml").exists())
    for name in ("config.yaml", "metrics.csv", "loss.png"):
        shutil.copyfile(run / name, args.out / name)
    size = (args.out / "model.safetensors").stat().st_size
    print(f"{args.out}: {len(trained.arrays)} arrays of {trained.where.name}, {size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(guarded(main))
