"""Make a small folder to share from a run: averaged weights in half precision, configuration,
metrics and loss plot.

  python tools/package_weights.py runs/vdm_shapes mindlong/weights/vdm_shapes
  python tools/package_weights.py runs/latent_shapes mindlong/weights/latent_shapes
  python tools/package_weights.py runs/infinet_shapes mindlong/weights/infinet_shapes

`infer.py weights=FOLDER/model.safetensors` (for a latent family `weights=FOLDER`, with autoencoder,
tokenizer and scheduler beside the UNet) takes the result. A README.md (model card) beside it is
left alone. --refer_vae leaves the autoencoder where the run found it (latents.vae in config.yaml),
for one that is shipped already.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mindlong.checkpoints.branch_package import package_branch  # noqa: E402
from mindlong.checkpoints.files import write_safetensors  # noqa: E402
from mindlong.checkpoints.find import Trained, find_trained  # noqa: E402
from mindlong.checkpoints.package import RECORDS, package, package_changed  # noqa: E402
from mindlong.cli.common import guarded  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder and say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder or checkpoint folder")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    parser.add_argument(
        "--refer_vae",
        action="store_true",
        help="latent families: do not write the autoencoder again",
    )
    parser.add_argument(
        "--changed",
        action="store_true",
        help="distillations with train.freeze: write only the tensors that changed, to be put over the teacher's",
    )
    args = parser.parse_args(argv)
    trained = find_trained(str(args.run))
    run = next(
        folder
        for folder in (args.run, *args.run.absolute().parents)
        if (folder / "config.yaml").exists()
    )
    one = trained.config.model.family in ("vdm", "autoencoder_kl")
    latent = partial(package, own_vae=not args.refer_vae)
    write = package_branch if trained.config.infinet.lengths else _one_network if one else latent
    write = package_changed if args.changed else write
    written = write(trained, run, args.out, args.dtype)
    size = sum(path.stat().st_size for path in written)
    print(
        f"{args.out}: {trained.where.name} as {', '.join(path.name for path in written)}, {size / 2**20:.1f} MiB"
    )
    return 0


def _one_network(trained: Trained, run: Path, out: Path, dtype: str) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(
        out / "model.safetensors", trained.arrays, {"from": trained.where.name}, dtype
    )
    for name in RECORDS:
        shutil.copyfile(run / name, out / name)
    return [out / "model.safetensors"]


if __name__ == "__main__":
    raise SystemExit(guarded(main))
