"""Golden arrays of InfiNet's diffusers flavour (developers only: needs torch, diffusers and the
original's files).

The original is no package: INFINET_SOURCE names the folder `diffusers` of kabachuha/InfiNet at
647ef85. Its model files run as they are under diffusers 0.42 with two modules found under their old
names. Cases and weights are those of tests/parity/infinet_cases.py.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import infinet_cases as cases  # noqa: E402
import unet_cases  # noqa: E402

from mindlong.networks.unet import control_spec as control  # noqa: E402

VARIABLE = "INFINET_SOURCE"


def original() -> tuple[type, type]:
    """The original's UNet and unit classes."""
    import diffusers.models.transformers.transformer_2d as spatial
    import diffusers.models.transformers.transformer_temporal as temporal

    (
        sys.modules["diffusers.models.transformer_2d"],
        sys.modules["diffusers.models.transformer_temporal"],
    ) = spatial, temporal
    sys.path.insert(0, os.environ[VARIABLE])
    blocks = importlib.import_module("models.unet_3d_blocks")
    return importlib.import_module("models.unet_3d_condition").UNet3DConditionModel, blocks.DoDBlock


def units(unit: type) -> dict[str, np.ndarray]:
    """Output and every gradient of sum(out * probe) for each stride."""
    found = {}
    for power, stride in enumerate(cases.STRIDES):
        given = {k: torch.from_numpy(v) for k, v in cases.unit_inputs(stride).items()}
        cell = unit(4, 2, power, cases.UNIT["width"], is_up=True)
        cell.load_state_dict({k: v for k, v in given.items() if "conv" in k})
        h = given["h"].clone().requires_grad_()
        out = cell(h, given["cond"], given["mask"])
        (out * given["probe"]).sum().backward()
        found |= {f"{stride}/out": out.detach().numpy(), f"{stride}/grad_h": h.grad.numpy()}
        found |= {f"{stride}/grad_{name}": p.grad.numpy() for name, p in cell.named_parameters()}
    return found


def whole(net: cases.Net, unet: type, unit: type) -> dict[str, np.ndarray]:
    """Output at depth 1 and at depth 0, the places and shapes of the injections, the gradients of
    the branch.
    """
    spec = net.spec()
    down = tuple(f"{'CrossAttn' * attends}DownBlock3D" for attends in spec.attends)
    up = tuple(f"{'CrossAttn' * attends}UpBlock3D" for attends in spec.attends[::-1])
    made = unet(
        block_out_channels=spec.channels,
        layers_per_block=spec.layers,
        down_block_types=down,
        up_block_types=up,
        cross_attention_dim=spec.context_dim,
        attention_head_dim=spec.head_dim,
    ).eval()
    _right_widths(made.infinet, spec, unit)
    with torch.no_grad():
        state = made.state_dict()
        assert set(state) == set(net.keys), sorted(set(state) ^ set(net.keys))[:5]
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(net.weight(name)))
    return _run(net, made, unit)


def _right_widths(infinet: torch.nn.Module, spec: object, unit: type) -> None:
    sides = {"input_blocks_injections": [], "output_blocks_injections": []}
    for site in control.units(spec, control.AS_CODED):
        side = (
            "input_blocks_injections"
            if site.name.startswith("down")
            else "output_blocks_injections"
        )
        sides[side].append(unit(4, 2, site.halvings, site.width, is_up=True))
    for name, modules in sides.items():
        setattr(infinet, name, torch.nn.ModuleList(modules))


def _run(net: cases.Net, made: torch.nn.Module, unit: type) -> dict[str, np.ndarray]:
    given, places = {k: torch.from_numpy(v) for k, v in net.inputs().items()}, []

    def note(cell: torch.nn.Module, inputs: tuple, out: torch.Tensor) -> None:
        if inputs[1] is not None:
            places.append(tuple(out.shape))

    for module in made.modules():
        if isinstance(module, unit):
            module.register_forward_hook(note)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(name.startswith("infinet."))
    made.infinet.diffusion_depth = 1
    out = made(given["x"], given["t"].long(), given["context"]).sample
    (out * given["probe"]).sum().backward()
    gradients = {
        n: p.grad.numpy()
        for n, p in made.named_parameters()
        if n.startswith("infinet.") and p.grad is not None
    }
    made.infinet.diffusion_depth = 0
    with torch.no_grad():
        base = made(given["x"], given["t"].long(), given["context"]).sample
    return {
        "out": out.detach().numpy(),
        "base": base.numpy(),
        "places": np.array(places),
        **unet_cases.summary(gradients),
    }


def make(folder: Path) -> list[Path]:
    """tests/golden/infinet_*.npz; nothing where the original's files are not named."""
    if VARIABLE not in os.environ:
        print(f"infinet: skipped, {VARIABLE} does not name the original's folder diffusers")
        return []
    unet, unit = original()
    arrays = {"units": units(unit)}
    for name, net in cases.NETS.items():
        arrays[name] = whole(net, unet, unit)
    paths = []
    for name, content in arrays.items():
        paths.append(folder / f"infinet_{name}.npz")
        np.savez_compressed(paths[-1], **content)
    return paths
