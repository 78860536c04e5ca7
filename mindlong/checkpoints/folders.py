"""What a folder means: a run, a checkpoint, one network, or a whole pipeline of several.

A pipeline is given as one file whose names begin with the part: `unet.conv_in.weight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints import manifest, saved_steps
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile
from mindlong.checkpoints.weight_file import Scalar, WeightFile
from mindlong.networks import table
from mindlong.utils.errors import InputFileError
from mindlong.utils.json_file import read_table
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy

SCHEDULER = "scheduler/scheduler_config.json"
TRANSFORMER = "transformer"  # the folder of a network that is one, and its part here
BESIDE = ("tokenizer", "scheduler")  # folders whose files belong to the weights and hold none
BESIDE_SUFFIXES = (".json", ".txt", ".gz", ".model", ".jinja")
MAX_BESIDE = 64 << 20  # bytes
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
        InputFileError: none, or several and nothing says which. ForeignFile: a pipeline of another
            kind.
    """
    parts = dict(parts_in(folder))
    _refuse_other_transformers(folder, parts)
    if parts:
        return _merged(folder, {part: open_file(path) for part, path in parts.items()})
    return open_file(one_network(folder))


def _refuse_other_transformers(folder: Path, parts: dict[str, Path]) -> None:
    """Raise ForeignFile where the network of a diffusers folder is a transformer of another class
    than those that are known.
    """
    inside = folder / TRANSFORMER
    if not inside.is_dir() or parts.get(TRANSFORMER, inside) != inside:
        return
    hubs = [n.hub for n in table.networks("network") if n.hub and n.part == TRANSFORMER]
    kind = config_beside(inside / "config.json").get("_class_name")
    file = folder / "model_index.json"
    index = read_table(file, "the parts of a pipeline", MAX_CONFIG) if file.is_file() else {}
    whole = index.get("_class_name")
    known = {hub.name for hub in hubs}
    if kind in known if kind else whole in {None, *(hub.pipeline for hub in hubs)}:
        return  # or nothing says it but the tensors
    name, what = shown(whole or "a pipeline", most=80), f" ({shown(kind, most=80)})" if kind else ""
    raise ForeignFile(
        f"{folder}: is a folder of {name}, whose network is a diffusion transformer{what}; it is not "
        f"read here, and of transformers these are: {', '.join(sorted(known))}"
    )


def config_beside(path: Path) -> dict[str, Any]:
    """The config.json in the folder of a weight file; empty where there is none. Raises
    CorruptCheckpoint where it is damaged: what it says would be lost.
    """
    file = path.with_name("config.json")
    if not file.is_file():
        return {}
    return read_table(
        file, "what diffusers or transformers say of a network", MAX_CONFIG, CorruptCheckpoint
    )


def parts_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The parts of a whole pipeline: ours, a diffusers folder, or an original's plain files."""
    if manifest.is_ours(folder):
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


def part_places(folder: Path) -> Iterator[str]:
    """Every place in a folder that a model's part, tokenizer or noising process is read from: files
    and folders by their names, `tokenizer/vocab.json`.
    """
    index = (folder / "model_index.json").is_file()
    for part in table.parts():
        if (folder / f"{part}.safetensors").is_file():
            yield f"{part}.safetensors"
        for name in _folders_of(part):
            inside = folder / name
            if inside.is_dir() and (index or (inside / "config.json").is_file()):
                yield name
    yield from (path.name for path in _plain_files(folder).values())
    yield from beside(folder)


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


def _merged(folder: Path, parts: dict[str, WeightFile]) -> WeightFile:
    rows: dict[str, Lazy] = {}
    configs: dict[str, dict[str, Any]] = {}
    metadata: dict[str, Scalar] = {}
    notes: list[str] = []
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
    return {
        f"{inner}/{file.name}": file
        for inner in BESIDE
        if (folder / inner).is_dir()
        for file in files_in(folder / inner)
    }


def files_in(folder: Path) -> list[Path]:
    """The files of a tokenizer's or a scheduler's folder."""
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix in BESIDE_SUFFIXES and file.is_file() and file.stat().st_size <= MAX_BESIDE
    ]


def one_network(folder: Path) -> Path:
    """The file or checkpoint that a folder with one network means. Raises InputFileError where it
    holds none, or several and nothing says which.
    """
    if manifest.is_ours(folder):
        held = [
            name
            for name in ("ema", "network")
            if f"{name}.safetensors" in manifest.read(folder)["files"]
        ]
        if held:
            return folder / f"{held[0]}.safetensors"
    newest = saved_steps.latest(folder) if (folder / saved_steps.FOLDER).is_dir() else None
    if newest is not None:
        return newest
    for pattern in _ONE_NETWORK:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    single = [p for p in sorted(folder.iterdir()) if p.suffix in SUFFIXES]
    if len(single) == 1:
        return single[0]
    lost = {"ema.safetensors", "network.safetensors"} & {path.name for path in single}
    if lost:
        raise InputFileError(
            f"{folder}: a checkpoint without its {manifest.NAME}, so that nothing tells whether it was "
            f"changed; name a file of it ({', '.join(sorted(lost))}) to read that unchecked"
        )
    raise InputFileError(f"{folder}: {len(single) or 'no'} weight files in it; name the file")
