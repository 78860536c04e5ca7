"""A LoRA file as pairs of matrices: every naming, alphas wherever they stand, other kinds refused
by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints import saved_steps
from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import Watch
from mindlong.checkpoints.lora import keys
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown
from mindlong.utils.text_file import read_text

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.weight_file import WeightFile

ADAPTER = "lora_adapter_metadata"  # diffusers' entry in the metadata of a file
BESIDE = "adapter_config.json"  # PEFT's own, beside adapter_model.safetensors
FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "lora.safetensors")


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
    adapters = _adapters(held)
    pairs = [_pair(held, stem, found, adapters) for stem, found in pieces.items()]
    namings = list(dict.fromkeys(pair.place.naming for pair in pairs))
    notes = (*held.notes, *_notes(pieces, adapters))
    return LoraFile(held.path, " and ".join(namings), tuple(pairs), held.metadata, notes)


def _pieces(held: WeightFile) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """stem -> piece -> tensor (alpha: number), and keys that are none."""
    pieces: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    for name, lazy in held.rows.items():
        key = keys.taken_apart(name)
        if key is None:
            unknown.append(name)
            continue
        value = _number(held, name, lazy) if key.piece == keys.ALPHA else lazy
        pieces.setdefault(key.stem, {})[key.piece] = value
    for name, beside in held.metadata.items():  # pickles may keep an alpha as a plain number
        key = keys.taken_apart(name)
        if key and key.piece == keys.ALPHA and key.stem in pieces and type(beside) in (int, float):
            pieces[key.stem].setdefault(keys.ALPHA, float(beside or 0))
    return pieces, unknown


def _number(held: WeightFile, name: str, lazy: Lazy) -> float:
    if math.prod(lazy.shape) != 1:
        raise InputFileError(
            f"{held.path}: {name} has the shape {list(lazy.shape)}; it is one number"
        )
    return float(lazy.read().reshape(()))


def _pair(
    held: WeightFile, stem: str, found: Mapping[str, Any], adapters: Mapping[str, Mapping[str, Any]]
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
    factor = alpha / rank if alpha else _said(adapters.get(where.role, {}), where.names[0], rank)
    return Pair(stem, where, down, up, factor)


def _adapters(held: WeightFile) -> dict[str, dict[str, Any]]:
    """role -> what PEFT's configuration says: r, lora_alpha, alpha_pattern, ..."""
    text, beside = held.metadata.get(ADAPTER), held.path.with_name(BESIDE)
    if isinstance(text, str):
        tree, what = _json(text, f"{held.path}: its metadata"), str(held.path)
    elif held.path.name == "adapter_model.safetensors" and beside.is_file():
        inner = _json(read_text(beside), str(beside))
        tree, what = {f"unet.{key}": value for key, value in inner.items()}, str(beside)
    else:
        return {}
    heads = {"unet.": keys.NETWORK, "transformer.": keys.NETWORK, "text_encoder.": keys.TEXT}
    found: dict[str, dict[str, Any]] = {}
    for head, role in heads.items():
        inner = {k.removeprefix(head): v for k, v in tree.items() if k.startswith(head)}
        if inner:
            found[role] = inner
            _refuse_kinds(inner, what)
    return found


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise InputFileError(f"{what}: the description of the LoRA is no table")
    return tree


def _refuse_kinds(adapter: Mapping[str, Any], what: str) -> None:
    if adapter.get("use_dora"):
        raise InputFileError(f"{what}: is DoRA (use_dora), which is not merged here")
    if adapter.get("peft_type", "LORA") != "LORA":
        raise InputFileError(
            f"{what}: is {shown(str(adapter['peft_type']))}, which is not merged here"
        )


def _said(adapter: Mapping[str, Any], name: str, rank: int) -> float:
    """alpha / rank as PEFT's configuration has it for a layer; 1 where it says nothing."""
    alpha = adapter.get("lora_alpha")
    patterns = adapter.get("alpha_pattern")
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if _covers(pattern, name):
            alpha = value
            break
    if type(alpha) not in (int, float) or not alpha:
        return 1.0
    return alpha / math.sqrt(rank) if adapter.get("use_rslora") else alpha / rank


def _covers(pattern: str, name: str) -> bool:
    """Whether an entry of a pattern table names a layer: it is its name, or the end of it."""
    bare = re.sub(r"^\^|\$$", "", pattern).replace("\\.", ".")
    return name == bare or name.endswith(f".{bare}")


def _notes(pieces: Mapping[str, Mapping[str, Any]], adapters: Mapping[str, Any]) -> list[str]:
    without = [stem for stem, found in pieces.items() if not found.get(keys.ALPHA)]
    kohya = [stem for stem in without if keys.place(stem).naming == keys.KOHYA]
    if adapters or not kohya:
        return []
    return [
        f"{len(kohya)} layers have no alpha; alpha = rank is taken, so that they act with their full strength"
    ]
