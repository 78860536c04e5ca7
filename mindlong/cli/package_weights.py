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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mindlong.checkpoints.branch_package import package_branch
from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.package import copy_records, package, package_changed
from mindlong.cli.common import ToolParser, guarded
from mindlong.networks import table


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder and say what is in it."""
    args = _parser().parse_args(argv)
    trained = find_trained(str(args.run))
    run = next(
        folder
        for folder in (args.run, *args.run.absolute().parents)
        if (folder / "config.yaml").exists()
    )
    write = package_changed if args.changed else _writer(trained, not args.refer_vae)
    written = write(trained, run, args.out, args.dtype)
    size = sum(path.stat().st_size for path in written)
    names = ", ".join(path.name for path in written)
    print(f"{args.out}: {trained.where.name} as {names}, {size / 2**20:.1f} MiB")
    return 0


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = ToolParser("package_weights", __doc__)
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
    return parser


def _writer(trained: Trained, own_vae: bool) -> Callable[[Trained, Path, Path, str], list[Path]]:
    """What writes the folder of such a run: (run's weights, run, folder, dtype) -> files."""
    if trained.config.infinet.lengths:
        return package_branch
    denoiser = table.get(trained.config.model.family).denoiser
    if denoiser is None or denoiser.space == "pixel":
        return _one_network
    return partial(package, own_vae=own_vae)


def _one_network(trained: Trained, run: Path, out: Path, dtype: str) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(
        out / "model.safetensors", trained.arrays, {"from": trained.where.name}, dtype
    )
    copy_records(run, out)
    return [out / "model.safetensors"]
