"""Make a small folder to share from a run: averaged weights in half precision, configuration,
metrics and loss plot.

  python tools/package_weights.py runs/vdm_shapes mindlong/weights/vdm_shapes
  python tools/package_weights.py runs/latent_shapes mindlong/weights/latent_shapes
  python tools/package_weights.py runs/infinet_shapes mindlong/weights/infinet_shapes

`infer.py weights=FOLDER/model.safetensors` (for a latent family `weights=FOLDER`, with autoencoder,
tokenizer and scheduler beside the UNet) takes the result. A README.md (model card) beside it is
left alone; other files that are there are replaced with --overwrite only. --refer_vae leaves the
autoencoder where the run found it (latents.vae in config.yaml), for one that is shipped already.
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
from mindlong.checkpoints.staged import named, staged
from mindlong.cli.common import ToolParser, guarded
from mindlong.networks import table
from mindlong.utils.errors import ConfigError, InputFileError


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder and say what is in it."""
    args = _parser().parse_args(argv)
    trained = find_trained(str(args.run))
    run = _run_of(args.run)
    _check_flags(args, trained)
    _check_place(args.out, (args.run, run, trained.where))
    write = package_changed if args.changed else _writer(trained, not args.refer_vae)
    out = named(args.out)
    with staged(out) as aside:
        written = write(trained, run, aside / out.name, args.dtype)
        size = sum(path.stat().st_size for path in written)
        if not args.overwrite:
            _check_free(aside / out.name, out)
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
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    return parser


def _run_of(place: Path) -> Path:
    """The folder of a run: the one with its configuration, in or above `place`."""
    for folder in (place, *place.absolute().parents):
        if (folder / "config.yaml").exists():
            return folder
    raise InputFileError(
        f"{place} is in no folder with a config.yaml, which says how its weights were trained; "
        "name the folder of a run, or of one of its checkpoints"
    )


def _check_flags(args: argparse.Namespace, trained: Trained) -> None:
    """Refuse --refer_vae where no autoencoder would be written."""
    if not args.refer_vae:
        return
    if args.changed:
        why = "with --changed only the tensors that changed are written"
    elif trained.config.infinet.lengths:
        why = f"{args.run} trained a branch, which is written alone"
    elif _in_pixels(trained):
        why = f"{args.run} is a network in pixels, which has none"
    else:
        return
    raise ConfigError(f"--refer_vae leaves an autoencoder out, and {why}. Leave it out")


def _check_place(out: Path, own: Sequence[Path]) -> None:
    """Refuse a place that is no folder, or the run's own."""
    there = next((place for place in (out, *out.absolute().parents) if place.exists()), out)
    if there.exists() and not there.is_dir():
        raise ConfigError(f"OUT is {out}, and {there} is a file; name a folder")
    for place in own:
        folder = place if place.is_dir() else place.parent
        if out.exists() and folder.exists() and out.samefile(folder):
            raise ConfigError(f"OUT is {out}, the folder that is packaged; name another folder")


def _check_free(made: Path, out: Path) -> None:
    """Refuse to write over files that are there."""
    for path in sorted(made.rglob("*")):
        target = out / path.relative_to(made)
        if target.exists() and not (path.is_dir() and target.is_dir()):
            raise ConfigError(
                f"{target} exists; give another OUT, or --overwrite to replace what is there"
            )


def _writer(trained: Trained, own_vae: bool) -> Callable[[Trained, Path, Path, str], list[Path]]:
    """What writes the folder of such a run: (run's weights, run, folder, dtype) -> files."""
    if trained.config.infinet.lengths:
        return package_branch
    return _one_network if _in_pixels(trained) else partial(package, own_vae=own_vae)


def _in_pixels(trained: Trained) -> bool:
    denoiser = table.get(trained.config.model.family).denoiser
    return denoiser is None or denoiser.space == "pixel"


def _one_network(trained: Trained, run: Path, out: Path, dtype: str) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(
        out / "model.safetensors", trained.arrays, {"from": trained.where.name}, dtype
    )
    copy_records(run, out)
    return [out / "model.safetensors"]
