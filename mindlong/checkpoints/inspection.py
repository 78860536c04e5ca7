"""What a file is and what is in it, as lines for a person; nothing in it is run, not even where it
is hostile.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mindlong.checkpoints.convert import to_ours
from mindlong.checkpoints.dtypes import whole_numbers
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.finite import counts, described
from mindlong.checkpoints.inspection_pickles import asked
from mindlong.checkpoints.lora import keys
from mindlong.checkpoints.lora.read import is_lora, read_lora
from mindlong.checkpoints.lora.renamed import described as described_lora
from mindlong.checkpoints.recognise import found, instead, is_company, with_others
from mindlong.networks import strangers
from mindlong.networks.table import Match
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.progress import bar
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.weight_file import WeightFile

SHOWN = 12
MANY, LARGE = 5000, 1 << 30  # tensors, and bytes, from which a bar is shown


@dataclass(frozen=True)
class Finding:
    """What was found: lines to print, and whether the file can be read and asks for nothing but
    tensors.
    """

    lines: tuple[str, ...]
    sound: bool


def inspect(
    path: str | Path, names: bool = False, inert: Sequence[str] = (), numbers: bool = True
) -> Finding:
    """Look at a file or folder.

    Args:
        names: list every tensor.
        inert: see `mindlong.checkpoints.torch_reader.TorchFile`.
        numbers: read every tensor too, for checksums and for numbers that are not finite.

    Raises:
        InputFileError: there is nothing at `path`.
    """
    path = Path(path)
    try:
        weights = open_weights(path, inert)
    except InputFileError as error:
        if not os.path.exists(path):
            raise
        refusal = (f"file       {path}: {_size(path)}", f"not read   {error}", *asked(path))
        return Finding(_safe(refusal), False)
    matches = found(weights, extras=True)
    bad = list(_bad_numbers(weights, matches)) if numbers else []
    lines = [*_about(weights), *_networks(weights, matches), *_tensors(weights, names), *bad]
    return Finding(_safe([*lines, *asked(weights.path)]), not bad)


def _safe(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines that are safe to print, whatever the names in them."""
    return tuple(shown(line) for line in lines)


def _size(path: Path) -> str:
    if path.is_file():
        return f"{path.stat().st_size:,} bytes"
    return "a folder" if path.is_dir() else "no file"


def _about(weights: WeightFile) -> Iterator[str]:
    numbers = sum(prod(weights.shape(name)) for name in weights)
    formats = Counter(weights.dtype(name) for name in weights)
    yield f"file       {weights.path}: {weights.kind}, {_size(weights.path)}"
    yield (
        f"tensors    {len(weights)}, {numbers:,} numbers, {weights.bytes() / 2**20:.1f} MiB; "
        + ", ".join(f"{count} {name}" for name, count in formats.most_common())
    )
    for note in weights.notes:
        yield f"note       {note}"
    scalars = list(weights.metadata.items())
    for name, value in scalars[:SHOWN]:
        yield f"beside     {name} = {str(value)[:100]!s}"
    if len(scalars) > SHOWN:
        yield f"beside     ... and {len(scalars) - SHOWN} more numbers and texts"


def _networks(weights: WeightFile, matches: Sequence[Match]) -> Iterator[str]:
    if not matches and (is_lora(weights.names()) or keys.is_list(weights)):
        yield from _lora(weights)
    elif not matches:
        yield f"network    {strangers.describe(weights)}"
    for match in matches:
        stranger = instead(match, weights)
        yield f"network    {stranger or match.reason}"
        yield from [] if stranger else _sizes(weights, match)


def _lora(weights: WeightFile) -> Iterator[str]:
    try:
        lines = list(described_lora(read_lora(weights.path)))
    except InputFileError as error:
        lines = [str(error).removeprefix(f"{weights.path}: ")]
    yield f"lora       {lines[0]}"
    yield from (f"           {line}" for line in lines[1:])


def _sizes(weights: WeightFile, match: Match) -> Iterator[str]:
    """The sizes read off the shapes, and whether every tensor is there."""
    if match.ours:
        return
    try:
        plan = to_ours(weights, with_others(match, found(weights, extras=True)))
    except (InputFileError, ConfigError) as error:
        yield f"           {error}"
        return
    listed = {k: v for k, v in plan.format.network.section(plan.spec).items() if k != "family"}
    yield f"           {listed or 'the published sizes'}"
    yield from (f"           {line}" for line in (*plan.report.lines(4), *plan.notes))
    if plan.whole:
        yield f"           {whole_numbers(plan.whole)}"


def _bad_numbers(weights: WeightFile, matches: Sequence[Match]) -> Iterator[str]:
    """A line for each tensor that is damaged, or holds NaN or infinity; masks and other company of
    the networks may.
    """
    with bar(
        len(weights), "reading the numbers", rank=int(_is_quick(weights)), unit="tensor"
    ) as seen:
        for name in weights:
            seen.update()
            try:
                nan, infinite = counts(weights.lazy(name).get())
            except UserError as error:
                yield f"DAMAGED    {error}"
                continue
            if (nan or infinite) and not is_company(name, matches):
                yield f"NOT FINITE {described(name, nan, infinite, prod(weights.shape(name)))}"


def _is_quick(weights: WeightFile) -> bool:
    return len(weights) < MANY and weights.bytes() < LARGE


def _tensors(weights: WeightFile, every: bool) -> Iterator[str]:
    listed = (
        weights.names() if every else sorted(weights, key=lambda n: -prod(weights.shape(n)))[:SHOWN]
    )
    if not every and len(weights) > SHOWN:
        yield f"the largest {SHOWN} of {len(weights)} tensors (--names lists all):"
    for name in listed:
        yield f"           {weights.dtype(name):<9} {list(weights.shape(name))!s:<24} {name}"
