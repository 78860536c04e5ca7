"""What PEFT's configuration says of a LoRA's strength, in a file's metadata or beside the file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.faults import reading
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.lora import keys
from mindlong.checkpoints.lora.module_pattern import ModulePattern, is_plain
from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown
from mindlong.utils.text_file import read_text

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile

METADATA = "lora_adapter_metadata"  # diffusers' entry in the metadata of a file
BESIDE = "adapter_config.json"  # PEFT's own, beside a file of any name
HALF = ".lora_A."  # in every file of PEFT's names
HEADS = {"unet.": keys.NETWORK, "transformer.": keys.NETWORK, "text_encoder.": keys.TEXT}
MOST = 64  # patterns that are more than names; each is tried on every layer

Adapter = dict[str, Any]  # r, lora_alpha, alpha_pattern, ...


def beside(path: Path) -> Path | None:
    """PEFT's configuration beside a LoRA file, where it rules over the file.

    Raises:
        InputFileError: the LoRA file cannot be read.
    """
    return _beside(open_weights(path))


def _beside(held: WeightFile) -> Path | None:
    place = held.path.with_name(BESIDE)
    if METADATA in held.metadata or not any(HALF in name for name in held.names()):
        return None
    with reading(place):
        return place if place.is_file() else None


def adapters(held: WeightFile) -> dict[str, Adapter]:
    """role -> what PEFT's configuration says of the network's LoRA; none where there is none.

    Raises:
        InputFileError: it is no table, of another kind than LoRA, or gives an alpha that is no
            number or a pattern that is not read here.
    """
    text, place = held.metadata.get(METADATA), _beside(held)
    if isinstance(text, str):
        tree, what = _json(text, f"{held.path}: its metadata"), str(held.path)
    elif place is not None:
        tree, what = _json(_text(place), str(place)), str(place)
    else:
        return {}
    found = _by_role(tree)
    for adapter in found.values():
        _refuse_kinds(adapter, what)
        _check(adapter, what)
    return found


def _text(place: Path) -> str:
    try:
        with reading(place):
            return read_text(place)
    except UnicodeDecodeError:
        raise InputFileError(f"{place}: the description of the LoRA is no text in UTF-8") from None


def _json(text: str, what: str) -> Adapter:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise InputFileError(f"{what}: the description of the LoRA is no table")
    return tree


def _by_role(tree: Mapping[str, Any]) -> dict[str, Adapter]:
    """Keys behind the head of a network are this one's; keys without any are every network's."""
    found: dict[str, Adapter] = {}
    for head, role in HEADS.items():
        inner = {k.removeprefix(head): v for k, v in tree.items() if k.startswith(head)}
        if inner:
            found[role] = inner
    bare = {key: value for key, value in tree.items() if not key.startswith(tuple(HEADS))}
    if bare:
        for role in (keys.NETWORK, keys.TEXT):
            found[role] = {**bare, **found.get(role, {})}
    return found


def _refuse_kinds(adapter: Adapter, what: str) -> None:
    if adapter.get("use_dora"):
        raise InputFileError(f"{what}: is DoRA (use_dora), which is not merged here")
    if adapter.get("peft_type", "LORA") != "LORA":
        raise InputFileError(
            f"{what}: is {shown(str(adapter['peft_type']))}, which is not merged here"
        )


def _check(adapter: Adapter, what: str) -> None:
    """Refuse alphas that are no numbers, and patterns that are not read."""
    table = adapter.get("alpha_pattern")
    if table is not None and not isinstance(table, dict):
        raise InputFileError(f"{what}: alpha_pattern is no table of names and numbers")
    _check_number(adapter.get("lora_alpha"), "lora_alpha", what)
    for pattern, value in (table or {}).items():
        _check_number(value, f"alpha_pattern of {shown(pattern, most=80)}", what)
    _check_patterns(table or {}, what)


def _check_number(value: Any, name: str, what: str) -> None:
    if value is None or (type(value) in (int, float) and math.isfinite(value)):
        return
    said = shown(repr(value), most=80)
    raise InputFileError(f"{what}: {name} is {said}; the alpha of a LoRA is a number")


def _check_patterns(table: Iterable[str], what: str) -> None:
    patterns = [pattern for pattern in table if not is_plain(pattern)]
    for pattern in patterns:
        try:
            ModulePattern.of(pattern)
        except ValueError as error:
            raise InputFileError(
                f"{what}: the entry {shown(repr(pattern), most=120)} of alpha_pattern {error}; "
                "names of layers are read, and patterns of ^ $ . \\. \\d \\w [] | () ? * +"
            ) from None
    if len(patterns) > MOST:
        raise InputFileError(
            f"{what}: alpha_pattern has {len(patterns)} patterns; {MOST} are read, and names of "
            "layers in any number"
        )


def factor(adapter: Adapter, name: str, rank: int) -> float:
    """alpha / rank as PEFT's configuration has it for a layer; 1 where it says nothing."""
    alpha = next(_of_patterns(adapter, name), adapter.get("lora_alpha"))
    if alpha is None:
        return 1.0
    return alpha / math.sqrt(rank) if adapter.get("use_rslora") else alpha / rank


def _of_patterns(adapter: Adapter, name: str) -> Iterator[Any]:
    """The values of the entries that name a layer; PEFT takes the first."""
    for pattern, value in (adapter.get("alpha_pattern") or {}).items():
        if ModulePattern.of(pattern).names(name):
            yield value
