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
from mindlong.utils.errors import InputFileError

PARTS = ("unet", "vae", "text_encoder")
MODELSCOPE = {
    "unet": "text2video_pytorch_model.pth",
    "vae": "VQGAN_autoencoder.pth",
    "text_encoder": "open_clip_pytorch_model.bin",
}
BESIDE = (
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "scheduler/scheduler_config.json",
)
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
    return open_file(_one(folder))


def config_beside(path: Path) -> dict[str, Any]:
    """The config.json in the folder of a weight file, where there is one that is a table."""
    file = path.with_name("config.json")
    try:
        config = json.loads(file.read_bytes()[:MAX_CONFIG]) if file.is_file() else {}
    except (ValueError, RecursionError):
        config = {}
    return config if isinstance(config, dict) else {}


def parts_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The parts of a whole pipeline: ours, a diffusers folder, or ModelScope's three files."""
    if (folder / manifest.NAME).is_file():
        return
    for part in PARTS:
        ours, theirs, third = (
            folder / f"{part}.safetensors",
            folder / part,
            folder / MODELSCOPE[part],
        )
        if ours.is_file():
            yield part, ours
        elif (
            theirs.is_dir()
            and (folder / "model_index.json").is_file() | (theirs / "config.json").is_file()
        ):
            yield part, theirs
        elif third.is_file() and (folder / MODELSCOPE["unet"]).is_file():
            yield part, third


def _merged(folder: Path, parts: dict[str, WeightFile]) -> WeightFile:
    rows, configs, metadata, notes = {}, {}, {}, []
    for part, weights in parts.items():
        beginning = "" if all(name.startswith(f"{part}.") for name in weights) else f"{part}."
        rows |= {beginning + name: row for name, row in weights.rows.items()}
        configs |= {beginning + key: config for key, config in weights.configs.items()}
        metadata |= {beginning + name: value for name, value in weights.metadata.items()}
        notes += weights.notes
    beside = {name: folder / name for name in BESIDE if (folder / name).is_file()}
    kinds = ", ".join(f"{part} {weights.kind}" for part, weights in parts.items())
    return WeightFile(
        folder, f"a pipeline ({kinds})", rows, metadata, tuple(notes), configs, beside
    )


def _one(folder: Path) -> Path:
    """The file or checkpoint that a folder with one network means."""
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
