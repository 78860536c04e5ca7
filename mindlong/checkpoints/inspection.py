"""What a file is and what is in it, as lines for a person; nothing in it is run, not even where it
is hostile.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from mindlong.checkpoints.convert import to_ours
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.kinds import ZIP, kind_of
from mindlong.checkpoints.pickle_build import is_known
from mindlong.checkpoints.pickle_scan import MAX_BYTES, Scan, scan, split
from mindlong.checkpoints.recognise import with_others
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.checkpoints.zip_layout import read_layout, read_record
from mindlong.networks import strangers
from mindlong.networks.table import Match, find
from mindlong.utils.errors import ConfigError, InputFileError

RUNS_PROGRAMS = frozenset(
    (
        "os",
        "posix",
        "nt",
        "subprocess",
        "builtins",
        "__builtin__",
        "sys",
        "runpy",
        "socket",
        "shutil",
        "importlib",
        "ctypes",
        "webbrowser",
        "pty",
        "code",
        "codeop",
        "operator",
        "functools",
        "types",
        "pickle",
        "_pickle",
        "commands",
        "requests",
        "urllib",
        "http",
        "asyncio",
        "multiprocessing",
        "threading",
        "tempfile",
        "pip",
        "pdb",
        "bdb",
        "timeit",
        "cProfile",
        "numpy.testing",
        "torch.hub",
        "torch.jit",
        "marshal",
        "copyreg",
        "dill",
        "cloudpickle",
        "io",
        "pathlib",
        "platform",
    )
)
SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """What was found: lines to print, and whether the file can be read and asks for nothing but
    tensors.
    """

    lines: tuple[str, ...]
    sound: bool


def inspect(path: str | Path, names: bool = False, inert: Sequence[str] = ()) -> Finding:
    """Look at a file or folder.

    Args:
        names: list every tensor.
        inert: see `mindlong.checkpoints.torch_reader.TorchFile`.

    Raises:
        InputFileError: there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(f"{path}: there is no such file")
    try:
        weights = open_weights(path, inert)
    except InputFileError as error:
        return Finding(
            (f"file       {path}: {_size(path)}", f"not read   {error}", *_asked(path)), False
        )
    return Finding(
        (*_about(weights), *_networks(weights), *_tensors(weights, names), *_asked(weights.path)),
        True,
    )


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes" if path.is_file() else "a folder"


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


def _networks(weights: WeightFile) -> Iterator[str]:
    matches = find(weights.names(), extras=True)
    if not matches:
        yield f"network    {strangers.describe(weights)}"
    for match in matches:
        yield f"network    {match.reason}"
        yield from _sizes(weights, match)


def _sizes(weights: WeightFile, match: Match) -> Iterator[str]:
    """The sizes read off the shapes, and whether every tensor is there."""
    if match.ours:
        return
    try:
        plan = to_ours(weights, with_others(match, find(weights.names(), extras=True)))
    except (InputFileError, ConfigError) as error:
        yield f"           {error}"
        return
    shown = {k: v for k, v in plan.format.network.section(plan.spec).items() if k != "family"}
    yield f"           {shown or 'the published sizes'}"
    yield from (f"           {line}" for line in (*plan.report.lines(4), *plan.notes))


def _tensors(weights: WeightFile, every: bool) -> Iterator[str]:
    shown = (
        weights.names() if every else sorted(weights, key=lambda n: -prod(weights.shape(n)))[:SHOWN]
    )
    if not every and len(weights) > SHOWN:
        yield f"the largest {SHOWN} of {len(weights)} tensors (--names lists all):"
    for name in shown:
        yield f"           {weights.dtype(name):<9} {list(weights.shape(name))!s:<24} {name}"


def _asked(path: Path) -> Iterator[str]:
    """What the pickles of a file ask for beyond tensors."""
    for where, program in _programs(path):
        found = scan(program)
        yield from _verdict(where, found)


def _verdict(where: str, found: Scan) -> Iterator[str]:
    strange = [name for name in found.names if not is_known(name)]
    yield f"pickle     {where}: {found.instructions:,} instructions, asks for {len(found.names)} names"
    for name in strange[:SHOWN]:
        yield f"SUSPICIOUS {name[:200]}: {_why(name)}"
    if len(strange) > SHOWN:
        yield f"SUSPICIOUS ... and {len(strange) - SHOWN} more names"
    if found.foreign:
        yield f"SUSPICIOUS instructions that weights do not need: {', '.join(found.foreign[:SHOWN])}"
    if found.problem:
        yield f"SUSPICIOUS {found.problem}"


def _why(name: str) -> str:
    words = name.split(".")
    if any(".".join(words[: i + 1]) in RUNS_PROGRAMS for i in range(len(words))):
        return "can run programs; PyTorch's own loader would call it unless weights_only=True"
    return "not a tensor; --inert steps over it unbuilt, if the file is otherwise what you expect"


def _programs(path: Path) -> list[tuple[str, bytes]]:
    """The pickles of a file, of whatever form it is."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\3\4"):
        return _in_zip(path)
    if head[257:262] == b"ustar":
        return _in_tar(path)
    if head[:1] == b"\x80" or head[:1] in (b"(", b"c", b"]", b"}"):
        with path.open("rb") as file:
            return [
                (f"number {i + 1} in the file", program)
                for i, program in enumerate(split(file.read(MAX_BYTES)))
            ]
    return []


def _in_zip(path: Path) -> list[tuple[str, bytes]]:
    try:
        if kind_of(path) != ZIP:
            return []
        records = read_layout(path)
        return [
            (name, read_record(path, name, record, MAX_BYTES))
            for name, record in records.items()
            if name.endswith((".pkl", ".pickle"))
        ]
    except InputFileError:
        return []


def _in_tar(path: Path) -> list[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes()[:MAX_BYTES])) as archive:
            return [
                (m.name, archive.extractfile(m).read())
                for m in archive
                if m.isfile() and m.name in ("sys_info", "pickle", "storages", "tensors")
            ]
    except (tarfile.TarError, OSError, ValueError):
        return []
