"""What a folder means: a run, a checkpoint, one network, or a whole pipeline of several.

A pipeline is given as one file whose names begin with the part: `unet.conv_in.weight`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mindlong.checkpoints import manifest, store
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.networks import table
from mindlong.utils.errors import InputFileError

SCHEDULER = "scheduler/scheduler_config.json"
_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz")
MAX_CONFIG = 1 << 20  # bytes
_ONE_NETWORK = (
    "*.safetensors.index.json",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.safetensors",
    "*.bin.index.json",
    "*model.bin",
    "*.fp16.safetensors",
)

Open = Callable[[Path], WeightFile]


def open_folder(folder: Path, open_file: Open) -> WeightFile:
    """The weights in a folder.

    Raises:
        InputFileError: none, or several and nothing says which.
    """
    parts = dict(parts_in(folder))
    if parts:
        return _merged(folder, {part: open_file(path) for part, path in parts.items()})
    return open_file(one_network(folder))


def config_beside(path: Path) -> dict[str, Any]:
    """The config.json in the folder of a weight file, where there is one that is a table."""
    file = path.with_name("config.json")
    try:
        config = json.loads(file.read_bytes()[:MAX_CONFIG]) if file.is_file() else {}
    except (ValueError, RecursionError):
        config = {}
    return config if isinstance(config, dict) else {}


def parts_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The parts of a whole pipeline: ours, a diffusers folder, or an original's plain files."""
    if (folder / manifest.NAME).is_file():
        return
    index, plain = (folder / "model_index.json").is_file(), _plain_files(folder)
    for part in table.parts():
        ours = folder / f"{part}.safetensors"
        theirs = [folder / name for name in _folders_of(part) if (folder / name).is_dir()]
        if ours.is_file():
            yield part, ours
        elif theirs and (index or (theirs[0] / "config.json").is_file()):
            yield part, theirs[0]
        elif part in plain:
            yield part, plain[part]


def _folders_of(part: str) -> list[str]:
    """How the folder of a part is called in diffusers' layout."""
    hubs = [network.hub for network in table.networks() if network.part == part and network.hub]
    return list(dict.fromkeys(hub.folder or part for hub in hubs))


def _plain_files(folder: Path) -> dict[str, Path]:
    """Part -> file, where an original has each network as one plain file; nothing without the one
    that denoises.
    """
    networks = [(network, form) for network in table.networks() for form in network.formats]
    found = {
        network.part: folder / form.file
        for network, form in networks
        if form.file and (folder / form.file).is_file()
    }
    return found if any(table.role_of(part) == "network" for part in found) else {}


def _carried() -> list[str]:
    """Files of a pipeline's folder that belong to its weights and hold none."""
    text = [name for network in table.networks("text_encoder") for name in network.text.files]
    names = dict.fromkeys((*text, *_TOKENIZER))
    return [*(f"tokenizer/{name}" for name in names), SCHEDULER]


def _merged(folder: Path, parts: dict[str, WeightFile]) -> WeightFile:
    rows, configs, metadata, notes = {}, {}, {}, []
    for part, weights in parts.items():
        beginning = "" if all(name.startswith(f"{part}.") for name in weights) else f"{part}."
        rows |= {beginning + name: row for name, row in weights.rows.items()}
        configs |= {beginning + key: config for key, config in weights.configs.items()}
        metadata |= {beginning + name: value for name, value in weights.metadata.items()}
        notes += weights.notes
    kinds = ", ".join(f"{part} {weights.kind}" for part, weights in parts.items())
    return WeightFile(
        folder, f"a pipeline ({kinds})", rows, metadata, tuple(notes), configs, beside(folder)
    )


def beside(folder: Path) -> dict[str, Path]:
    """Place in a pipeline's folder -> file that belongs to its weights and holds none."""
    return {name: folder / name for name in _carried() if (folder / name).is_file()}


def one_network(folder: Path) -> Path:
    """The file or checkpoint that a folder with one network means. Raises InputFileError where it
    holds none, or several and nothing says which.
    """
    if (folder / manifest.NAME).is_file():
        held = [
            name
            for name in ("ema", "network")
            if f"{name}.safetensors" in manifest.read(folder)["files"]
        ]
        if held:
            return folder / f"{held[0]}.safetensors"
    newest = store.latest(folder) if (folder / store.FOLDER).is_dir() else None
    if newest is not None:
        return newest
    for pattern in _ONE_NETWORK:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    single = [p for p in sorted(folder.iterdir()) if p.suffix in SUFFIXES]
    if len(single) == 1:
        return single[0]
    raise InputFileError(f"{folder}: {len(single) or 'no'} weight files in it; name the file")
