"""How exported networks are laid out: one file with the custom beginnings of names, or a folder of
parts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindlong.checkpoints.convert import Plan
from mindlong.checkpoints.files import write_safetensors, write_torch
from mindlong.checkpoints.folders import MODELSCOPE
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks import hf_config
from mindlong.networks.kind import Kind
from mindlong.networks.registry import kinds_of
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, did_you_mean

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
CUSTOMS = {  # a whole pipeline's naming -> that of its parts; two where the text tower decides
    "diffusers": {"unet": "diffusers", "vae": "diffusers", "text_encoder": "transformers"},
    "modelscope": {"unet": "modelscope", "vae": "ldm", "text_encoder": "open_clip"},
    "lvdm": {"unet": "lvdm", "vae": "ldm", "text_encoder": "open_clip"},
    "ldm": {"unet": "ldm", "vae": "ldm", "text_encoder": "transformers"},
}
_TOGETHER = {
    "ldm": "first_stage_model.",
    "transformers": "cond_stage_model.transformer.text_model.",
    "open_clip": "cond_stage_model.model.",
    "lvdm": "model.diffusion_model.",
}
_WRAPPER = "state_dict."


def naming(family: str, part: str, wanted: str | None, source: Mapping[str, str]) -> Kind:
    """The kind that names the tensors of an export: as wanted, as the source's, or the usual one.

    Raises:
        ConfigError: the family has no such naming.
    """
    kinds = {kind.layout: kind for kind in kinds_of(family, part)}
    if not kinds:
        raise ConfigError(f"there is no {part!r} of the family {family!r}")
    if wanted is None:
        return kinds.get(source.get("layout", ""), next(iter(kinds.values())))
    layout = wanted if wanted in kinds else CUSTOMS.get(wanted, {}).get(part)
    if layout not in kinds:
        raise ConfigError(
            f"--layout is {wanted!r}, which a {family} {part} does not have.{did_you_mean(wanted, kinds)}"
        )
    return kinds[layout]


def beginning(kind: Kind, source: Mapping[str, str], together: bool) -> str:
    """What stands before the source keys of a part in one file; `together`: with other parts."""
    if source.get("layout") == kind.layout and "prefix" in source and not source.get("form"):
        return source["prefix"]
    return _TOGETHER.get(kind.layout, kind.prefix or f"{kind.part}.") if together else kind.prefix


def write_file(
    path: Path, plans: Sequence[Plan], source: Mapping[str, Mapping[str, str]]
) -> list[Path]:
    """One file, PyTorch's or safetensors by its suffix."""
    tree: dict[str, Any] = {}
    for plan in plans:
        tree |= plan.kind.pack(plan.arrays, source.get(plan.kind.part, {}))
    if path.suffix in TORCH_SUFFIXES:
        write_torch(path, _wrapped(tree))
    else:
        write_safetensors(path, _flat(tree))
    return [path]


def write_folder(folder: Path, plans: Sequence[Plan], weights: WeightFile) -> list[Path]:
    """A folder of parts: diffusers', or the three files of ModelScope where the UNet has their
    names.
    """
    layouts = {plan.kind.part: plan.kind.layout for plan in plans}
    if layouts.get("unet") in ("modelscope", "lvdm", "ldm"):
        return _write_modelscope(folder, plans)
    written = []
    for plan in plans:
        file = (
            "model.safetensors"
            if plan.kind.part == "text_encoder"
            else "diffusion_pytorch_model.safetensors"
        )
        written += [folder / plan.kind.part / file, folder / plan.kind.part / "config.json"]
        write_safetensors(written[-2], plan.arrays)
        atomic.write_text(written[-1], _text(_config(plan)))
    written += copy_beside(weights, folder)
    parts = [*layouts, *dict.fromkeys(name.split("/")[0] for name in weights.beside)]
    family = next((plan.kind.family for plan in plans if plan.kind.part == "unet"), None)
    if family:
        written.append(folder / "model_index.json")
        atomic.write_text(written[-1], _text(hf_config.pipeline_index(family, parts)))
    return written


def copy_beside(weights: WeightFile, folder: Path) -> list[Path]:
    """The tokenizer's and scheduler's files that came with the source."""
    written = []
    for name, path in weights.beside.items():
        with atomic.replacing(folder / name) as aside:
            shutil.copyfile(path, aside)
        written.append(folder / name)
    return written


def _write_modelscope(folder: Path, plans: Sequence[Plan]) -> list[Path]:
    written = []
    for plan in plans:
        written.append(folder / MODELSCOPE[plan.kind.part])
        write_torch(
            written[-1], {"state_dict": plan.arrays} if plan.kind.part == "vae" else plan.arrays
        )
    return written


def _config(plan: Plan) -> dict[str, Any]:
    if plan.kind.part == "unet":
        return hf_config.unet_config(plan.kind.family, plan.spec)
    return (
        hf_config.vae_config(plan.spec)
        if plan.kind.part == "vae"
        else hf_config.text_config(plan.spec)
    )


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2) + "\n"


def _wrapped(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The table `state_dict` that many files put round the tensors, where the names say so."""
    if tree and all(name.startswith(_WRAPPER) for name in tree):
        return {_WRAPPER[:-1]: {name.removeprefix(_WRAPPER): value for name, value in tree.items()}}
    return dict(tree)


def _flat(tree: Mapping[str, Any]) -> dict[str, Lazy]:
    """The tensors of an export; a safetensors file has no tables around them."""
    held = tree["ema"] if isinstance(tree.get("ema"), Mapping) else tree
    return {name.removeprefix(_WRAPPER): value for name, value in held.items()}
