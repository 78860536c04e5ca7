"""Run one network once on named arrays, to compare a converted network with its original.

  python tools/run_network.py --model configs/model/vdm_dim64.yaml --weights model-10.pt --inputs
  in.npz --out out.npz python tools/run_network.py --model configs/model/vdm_dim64.yaml --weights
  run/ --inputs in.npz --out out.npz --grad

The weights are a folder or file of ours, or an original's file as it is (.pt, .pth, .bin,
.safetensors, .ckpt).

Family vdm, network unet: `x` (B,C,F,H,W) float, `t` (B,) int, and where wanted `cond` (B,D) float,
`focus_present_mask` (B,) bool, `cond_scale` one number. `out` is written. With --grad and an array
`probe` shaped like the output, d(sum(out * probe)) too: `grad_x`, and `grad/NAME` for every trained
parameter, NAME and shape as in the state dict of the original's network itself (for vdm that of
Unet3D: `downs.0.0.block1.proj.weight`, without `denoise_fn.`). The frozen rotary frequencies have
none. `compat=vdm` reproduces the original where it is wrong (docs/vdm.md).

Families modelscope, videocrafter2, tune_a_video, pseudo3d, stable_diffusion, network unet: `x`
(B,C,F,h,w) float, `t` (B,), `context` (B,T,D) or with a prompt for each frame (B,F,T,D), for
videocrafter2 `fps` (B,). Gradients are named as in the file the weights came from (ModelScope's own
names, lvdm's, or diffusers').

The other networks of those families, whose sizes are read off the weights, a folder or a file that
holds them: --network vae_encode: `x` (N,C,H,W) pictures in [-1, 1]; `out` (N,2L,h,w) is mean and
log variance stacked on channels. --network vae_decode: `x` (N,L,h,w) latents, not scaled; `out`
(N,C,H,W). --network text_encoder: `x` (B,S) token ids; `out` (B,S,D) is the hidden state that the
family's UNet reads. What shapes do not tell can be given, in the model file or as key=value:
vae.groups=8, text_encoder.heads=2. A model file of family autoencoder_kl or clip_text serves too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from mindlong.cli.common import guarded
from mindlong.config.load import model_node, parse_overrides, read_yaml
from mindlong.config.rules import check
from mindlong.utils.atomic import replacing
from mindlong.utils.errors import ConfigError, InputFileError

PARTS = {
    "vae": "autoencoder_kl",
    "text_encoder": "clip_text",
}  # networks beside a UNet, and the family of their model files


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="run_network.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--model", required=True, metavar="YAML", help="a file of configs/model")
    made.add_argument(
        "--weights", required=True, metavar="PATH", help="weights, ours or the original's"
    )
    made.add_argument("--inputs", required=True, metavar="NPZ", help="the arrays the network takes")
    made.add_argument("--out", required=True, metavar="NPZ", help="where the results are written")
    made.add_argument(
        "--network", metavar="NAME", help="which network of the family; its main one without"
    )
    made.add_argument("--grad", action="store_true", help="gradients of sum(out * probe) too")
    made.add_argument("--device_target", choices=("auto", "CPU", "Ascend"), default="auto")
    made.add_argument("--mode", choices=("graph", "pynative"), default="graph")
    made.add_argument(
        "--native", choices=("auto", "on", "off"), default="auto", help="C++ operators on the CPU"
    )
    made.add_argument(
        "overrides", nargs="*", metavar="key=value", help="keys put over the model file's"
    )
    return made


def read_inputs(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz. Raises InputFileError where it is missing or not one."""
    path = Path(path)
    if not path.is_file():
        raise InputFileError(f"--inputs: no file at {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise InputFileError(f"--inputs: {path} is not an .npz of plain arrays ({error})") from None


def write_outputs(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz, whole or not at all."""
    if Path(path).suffix != ".npz":
        raise ConfigError(f"--out is {path}; it must end in .npz")
    with replacing(path) as aside:
        np.savez(aside, **arrays)


def _models(args: argparse.Namespace) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The typed model, and what file and command line say of the networks beside it."""
    tree, overrides = read_yaml(args.model), parse_overrides(args.overrides)
    parts = {}
    for part, family in PARTS.items():
        parts[part] = {**(tree.pop(part, None) or {}), **(overrides.pop(part, None) or {})}
        model_node(
            {"family": family, **parts[part]}, {}, f"{args.model}, {part}"
        )  # checks the keys
    model = OmegaConf.to_object(model_node(tree, overrides, args.model))
    check(model, args.model)
    return model, parts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = _parser().parse_intermixed_args(argv)
    if Path(args.out).suffix != ".npz":
        raise ConfigError(f"--out is {args.out}; it must end in .npz")
    (model, parts), given = _models(args), read_inputs(args.inputs)
    from mindlong.ops import device
    from mindlong.pipelines import networks

    device.setup(args.device_target, args.mode, native=args.native)
    network = networks.find(model.family, args.network)
    if network.part in parts and model.family != PARTS[network.part]:
        model = networks.model_of_part(network, args.weights, parts[network.part])
    networks.checked(
        network, model, given, args.grad
    )  # before the weights are read: they may be large
    weights = networks.read_weights(network, model, args.weights)
    began = time.monotonic()
    found = networks.run(
        network, model, weights, given, args.grad, networks.layout_of(network, args.weights)
    )
    write_outputs(args.out, found)
    print(
        f"{network.family} {network.name}: out {found['out'].shape}, {len(found)} arrays in {args.out}, "
        f"{time.monotonic() - began:.1f} s with compiling"
    )
    return 0


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)
