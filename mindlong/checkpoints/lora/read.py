"""A LoRA file as pairs of matrices: every naming, alphas wherever they stand, other kinds refused
by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints import saved_steps
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import Watch
from mindlong.checkpoints.lora import adapter, keys
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile

FILES = (
    *("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "lora.safetensors"),
    *("pytorch_lora_weights.bin", "adapter_model.bin"),
)


@dataclass(frozen=True)
class Pair:
    """One layer's matrices.

    Attributes:
        stem: what the file calls the layer.
        place: where that is.
        down, up: A (rank, in, *kernel) and B (out, rank, ones), still to be read.
        factor: alpha / rank.
    """

    stem: str
    place: keys.Place
    down: Lazy
    up: Lazy
    factor: float = 1.0

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.down.shape[0]


@dataclass(frozen=True)
class LoraFile:
    """An open LoRA file.

    Attributes:
        path: the file. naming: in a few words.
        pairs: one for each layer, in the order of the file.
        metadata: texts beside the tensors.
        notes: sentences for the user.
    """

    path: Path
    naming: str
    pairs: tuple[Pair, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def locate(path: str, key: str = "lora") -> Path:
    """The file that `path` means: itself, the one in a folder, or that of a training's newest
    checkpoint.

    Raises:
        InputFileError: there is none.
    """
    place = Path(path)
    with reading(place):
        if place.is_file():
            return place
        if not place.exists():
            raise InputFileError(f"{key}: no file at {shown(place, most=300)}; it does not exist")
        for folder in filter(None, (place, saved_steps.latest(place))):
            found = next((folder / name for name in FILES if (folder / name).is_file()), None)
            if found:
                return found
    raise InputFileError(
        f"{key}: {shown(place, most=300)} holds no LoRA (looked for {', '.join(FILES)} in it and in "
        "the newest checkpoint of a training)"
    )


def stamp(path: str, key: str = "lora") -> tuple[object, ...]:
    """What tells the content that `path` means now from an earlier one, without reading it: which
    files these are, wherever the working folder is, their sizes and when they were written.

    Raises:
        InputFileError: there is none.
    """
    file = locate(path, key).resolve()
    with reading(file):
        return tuple(
            _seen(each) for each in (file, file.with_name(adapter.BESIDE)) if each.is_file()
        )


def _seen(file: Path) -> tuple[object, ...]:
    """A file put in the place of another has another number, even in the same instant."""
    found = file.stat()
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


def is_lora(names: list[str]) -> bool:
    """Whether names are (mostly) those of a LoRA file, or of a kind that is like one."""
    found = sum(keys.taken_apart(name) is not None for name in names)
    return 2 * found > len(names) > 0 or bool(keys.relative(names))


def read_lora(path: str | Path, key: str = "lora") -> LoraFile:
    """Open a LoRA file; its tensors are looked at for NaN and infinity.

    Raises:
        InputFileError: nothing there, no LoRA, one of a kind that is not merged here (named), keys
            that belong to none, or a layer without one of its matrices.
    """
    held = open_weights(locate(str(path), key))
    found = _of_list(held) if keys.is_list(held) else _of_names(held)
    _check_finite(held)
    return found


def _check_finite(held: WeightFile) -> None:
    watch = Watch(str(held.path))
    for lazy in watch.over(held.rows).values():
        lazy.get()
    watch.refuse()


def _of_list(held: WeightFile) -> LoraFile:
    rows = list(held.rows.values())
    if len(rows) % 2:
        raise InputFileError(
            f"{held.path}: a list of {len(rows)} tensors; a LoRA is pairs of them, up and down in turn"
        )
    pairs = [
        Pair(str(number), keys.Place(keys.NETWORK, (), False, keys.LIST), down, up)
        for number, (up, down) in enumerate(zip(rows[::2], rows[1::2], strict=True))
    ]
    return LoraFile(held.path, "a list without names", tuple(pairs), held.metadata, held.notes)


def _of_names(held: WeightFile) -> LoraFile:
    other = keys.other_kind(held)
    if other:
        raise InputFileError(
            f"{held.path}: is {shown(other)}; LoRA and LoCon are read here, nothing else is merged. "
            "Merge it into its base with the program that made it"
        )
    pieces, unknown = _pieces(held)
    if not pieces or unknown:
        listed = ", ".join(repr(name[:120]) for name in unknown[:3])
        what = "holds no LoRA" if not pieces else f"{len(unknown)} keys belong to no LoRA"
        raise InputFileError(f"{held.path}: {what}: {shown(listed) or 'it is empty'}")
    adapters = adapter.adapters(held)
    pairs = [_pair(held, stem, found, adapters) for stem, found in pieces.items()]
    _refuse_same_layer(held, pairs)
    namings = list(dict.fromkeys(pair.place.naming for pair in pairs))
    notes = (*held.notes, *_notes(pieces, adapters))
    return LoraFile(held.path, " and ".join(namings), tuple(pairs), held.metadata, notes)


def _pieces(held: WeightFile) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """stem -> piece -> tensor (alpha: number), and keys that are none."""
    pieces: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    read: dict[keys.Key, str] = {}
    for name, lazy in held.rows.items():
        key = keys.taken_apart(name)
        if key is None:
            unknown.append(name)
            continue
        _refuse_second(held, read.setdefault(key, name), name, key)
        value = _number(held, name, lazy) if key.piece == keys.ALPHA else lazy
        pieces.setdefault(key.stem, {})[key.piece] = value
    for name, beside in held.metadata.items():  # pickles may keep an alpha as a plain number
        key = keys.taken_apart(name)
        if key and key.piece == keys.ALPHA and key.stem in pieces and type(beside) in (int, float):
            pieces[key.stem].setdefault(keys.ALPHA, float(beside or 0))
    return pieces, unknown


def _refuse_second(held: WeightFile, first: str, name: str, key: keys.Key) -> None:
    """Refuse two tensors for one piece of a layer: of two adapters in a file only one would act."""
    if first != name:
        raise InputFileError(
            f"{held.path}: {shown(first, most=200)} and {shown(name, most=200)} are both the "
            f"{key.piece} of one layer; a file holds one LoRA: write one adapter alone"
        )


def _refuse_same_layer(held: WeightFile, pairs: list[Pair]) -> None:
    """Refuse two pairs whose stems differ in the head alone, which would both be added."""
    seen: dict[tuple[str, bool, str], str] = {}
    for pair in pairs:
        where = pair.place
        first = seen.setdefault((where.role, where.joined, where.names[0]), pair.stem)
        if first != pair.stem:
            raise InputFileError(
                f"{held.path}: {shown(first, most=200)} and {shown(pair.stem, most=200)} are both "
                f"{shown(where.names[0], most=200)} of the {where.role}; a file holds one LoRA"
            )


def _number(held: WeightFile, name: str, lazy: Lazy) -> float:
    if math.prod(lazy.shape) != 1:
        raise InputFileError(
            f"{held.path}: {name} has the shape {list(lazy.shape)}; it is one number"
        )
    return float(lazy.read().reshape(()))


def _pair(
    held: WeightFile, stem: str, found: Mapping[str, Any], adapters: Mapping[str, adapter.Adapter]
) -> Pair:
    for piece in (keys.DOWN, keys.UP):
        if piece not in found:
            raise InputFileError(f"{held.path}: {shown(stem)} has no {piece} matrix")
    down, up, where = found[keys.DOWN], found[keys.UP], keys.place(stem)
    if len(down.shape) < 2 or len(up.shape) < 2 or up.shape[1] != down.shape[0]:
        raise InputFileError(
            f"{held.path}: the matrices of {shown(stem)} do not go together: down is {list(down.shape)}, "
            f"up is {list(up.shape)}"
        )
    rank = down.shape[0]
    alpha = found.get(keys.ALPHA)
    said = adapters.get(where.role, {})
    factor = alpha / rank if alpha else adapter.factor(said, where.names[0], rank)
    return Pair(stem, where, down, up, factor)


def _notes(pieces: Mapping[str, Mapping[str, Any]], adapters: Mapping[str, Any]) -> list[str]:
    without = [stem for stem, found in pieces.items() if not found.get(keys.ALPHA)]
    kohya = [stem for stem in without if keys.place(stem).naming == keys.KOHYA]
    if adapters or not kohya:
        return []
    return [
        f"{len(kohya)} layers have no alpha; alpha = rank is taken, so that they act with their full strength"
    ]
