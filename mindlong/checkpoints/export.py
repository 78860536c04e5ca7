"""How exported networks are laid out: one file with the custom beginnings of names, or a folder of
parts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints import config_json, description
from mindlong.checkpoints.files import write_safetensors, write_torch
from mindlong.networks import table
from mindlong.networks.customs import layout_for
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.format import Format

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPER = "state_dict."


def naming(family: str, part: str, wanted: str | None, source: Mapping[str, str]) -> Format:
    """How the tensors of an export are named: as wanted, as in the source, or the usual way.

    Raises:
        ConfigError: the family has no such naming.
    """
    network = table.get(family)
    if part not in (network.part, network.role):
        raise ConfigError(f"there is no {part!r} of the family {family!r}")
    formats = {form.layout: form for form in network.formats}
    if wanted is None:
        return formats.get(source.get("layout", ""), network.formats[0])
    layout = wanted if wanted in formats else layout_for(wanted, network.role)
    if layout not in formats:
        raise ConfigError(
            f"--layout is {wanted!r}, which a {family} {part} does not have.{did_you_mean(wanted, formats)}"
        )
    return formats[layout]


def beginning(form: Format, source: Mapping[str, str], together: bool) -> str:
    """What stands before the source keys of a part in one file; `together`: with other parts. As in
    the source, where that was one file too.
    """
    known = source.get("layout") == form.layout and "prefix" in source and not source.get("form")
    if known and not (together and source["prefix"] in ("", form.inner)):
        return source["prefix"]
    if not together:
        return form.prefix
    return form.together or form.prefix or f"{form.part}."


def write_file(
    path: Path, plans: Sequence[Plan], source: Mapping[str, Mapping[str, str]]
) -> list[Path]:
    """One file, PyTorch's or safetensors by its suffix."""
    tree: dict[str, Any] = {}
    for plan in plans:
        tree |= plan.format.pack(plan.arrays, source.get(plan.format.part, {}))
    if path.suffix in TORCH_SUFFIXES:
        write_torch(path, _wrapped(tree))
    else:
        write_safetensors(path, _flat(tree))
    return [path]


def write_folder(folder: Path, plans: Sequence[Plan], weights: WeightFile) -> list[Path]:
    """A folder of parts: diffusers', or the original's plain files where it has such a folder and
    the network its names.
    """
    network = next((plan.format for plan in plans if plan.format.network.denoiser), None)
    if network is not None and network.file:
        return _write_files(folder, plans)
    source, sizes = description.read_source(weights), description.stored_model(weights)
    written = [path for plan in plans for path in _write_part(folder, plan, source, sizes)]
    written += copy_beside(weights, folder)
    if network is not None and network.network.hub is not None:
        written.append(folder / "model_index.json")
        beside = dict.fromkeys(name.split("/")[0] for name in weights.beside)
        index = config_json.of_pipeline(plans, beside, source, weights)
        atomic.write_text(written[-1], config_json.as_text(index))
    return written


def _write_part(
    folder: Path, plan: Plan, source: Mapping[str, Mapping[str, str]], sizes: Mapping[str, Any]
) -> list[Path]:
    network = plan.format.network
    hub = network.hub
    if hub is None:
        raise ConfigError(
            f"{network.family} has no form in a folder of parts; name a file as --dst, not a folder"
        )
    inside = folder / (hub.folder or network.part)
    write_safetensors(inside / hub.file, plan.arrays)
    config = config_json.of_part(plan, source.get(network.part, {}), sizes)
    atomic.write_text(inside / "config.json", config_json.as_text(config))
    return [inside / hub.file, inside / "config.json"]


def copy_beside(weights: WeightFile, folder: Path) -> list[Path]:
    """The tokenizer's and scheduler's files that came with the source."""
    written = []
    for name, path in weights.beside.items():
        with atomic.replacing(folder / name) as aside:
            shutil.copyfile(path, aside)
        written.append(folder / name)
    return written


def _write_files(folder: Path, plans: Sequence[Plan]) -> list[Path]:
    written = []
    for plan in plans:
        form = plan.format
        written.append(folder / (form.file or f"{form.part}.pth"))
        write_torch(written[-1], {form.table: plan.arrays} if form.table else plan.arrays)
    return written


def _wrapped(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The table `state_dict` that many files put round the tensors, where the names say so."""
    if tree and all(name.startswith(_WRAPPER) for name in tree):
        return {_WRAPPER[:-1]: {name.removeprefix(_WRAPPER): value for name, value in tree.items()}}
    return dict(tree)


def _flat(tree: Mapping[str, Any]) -> dict[str, Lazy]:
    """The tensors of an export; a safetensors file has no tables around them."""
    held = tree["ema"] if isinstance(tree.get("ema"), Mapping) else tree
    return {name.removeprefix(_WRAPPER): value for name, value in held.items()}
