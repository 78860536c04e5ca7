"""PyTorch's zip weight files without PyTorch: a closed list of names, nothing run, tensor by
tensor.

Layout: NAME/data.pkl (a pickle that refers to storages by number), NAME/data/0, 1, ... (their
bytes), NAME/version, NAME/byteorder. Only the little-endian zip form that torch.save writes since
1.6 is read.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mindlong.checkpoints.dtypes import Format, decode, raw_bytes, unread
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint, reading
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.pickle_build import build
from mindlong.checkpoints.pickle_scan import MAX_BYTES
from mindlong.checkpoints.pickle_values import Inert, Unread, tensors_inside
from mindlong.checkpoints.safetensors_file import fill
from mindlong.checkpoints.tensor_ref import TensorRef
from mindlong.checkpoints.weight_file import Scalar, WeightFile
from mindlong.checkpoints.zip_layout import Record, check_crc, compare_crc, read_layout, read_record
from mindlong.utils.shown import shown

MAX_DEPTH, MAX_NAMES, MAX_NAME = 32, 200_000, 1000
SHOWN = 6
REPEATS = 8  # how often the names may refer to the bytes of the file, all together
_RECORD = re.compile(
    r"([^/\\\0]+)/(data\.pkl|data/\d+|version|byteorder|\.data/serialization_id|\.format_version|"
    r"\.storage_alignment)"
)


class TorchFile:
    """An open PyTorch file.

    Attributes:
        tensors: dotted name -> reference. Names are the keys on the way:
            `ema.denoise_fn.init_conv.weight`.
        scalars: dotted name -> number, text, truth value or None.
        notes: remarks on what was stepped over.

    Args:
        inert: patterns of names beyond the closed lists whose objects may be stepped over, such as
            `mypackage.*`. They are never imported.

    Raises:
        UnsafeCheckpoint: the file asks for something else than tensors, tables, numbers and text.
        CorruptCheckpoint: it is cut short, changed, or contradicts itself.
        ForeignFile: a zip archive of another kind, tensors in formats that are not read, or written
            on a big-endian machine.
    """

    def __init__(self, path: str | Path, inert: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.records = _inner(self.path, read_layout(self.path))
        self._check_byteorder()
        program = self._record("data.pkl", MAX_BYTES)
        self.tensors: dict[str, TensorRef] = {}
        self.scalars: dict[str, Scalar] = {}
        self.notes: tuple[str, ...] = ()
        leaves = list(_flatten(build(program, str(self.path), inert), self.path))
        _refuse_unread(leaves, self.path)
        self.notes = tuple(_notes(value for _, value in leaves if isinstance(value, Inert)))
        for name, value in leaves:
            if isinstance(value, TensorRef | int | float | str | None):
                self._place(name, value)
        self._check_storages()
        self.verified: set[str] = set()

    def read(self, name: str) -> np.ndarray:
        """A tensor as a fresh C-ordered array; bfloat16 comes as float32."""
        return decode(self.stored(name), self.tensors[name].storage.form)

    def stored(self, name: str) -> np.ndarray:
        """A tensor as it is stored (bfloat16 as uint16 bits), C-ordered, its storage's CRC-32
        compared.
        """
        ref = self.tensors[name]
        record, what = self._storage(ref), f"{self.path}: {name!r}"
        with reading(self.path), self.path.open("rb", buffering=0) as file:
            raw = np.empty(ref.shape if ref.contiguous else (ref.extent,), ref.storage.form.raw)
            if raw.nbytes != record.size and ref.storage.key not in self.verified:
                check_crc(file, record, what)
            fill(file, record.begin + ref.offset * ref.storage.form.size, raw, what)
        if raw.nbytes == record.size:
            compare_crc(zlib.crc32(raw_bytes(raw)), record, what)
        self.verified.add(ref.storage.key)
        return raw if ref.contiguous else _strided(raw, ref)

    def tied(self, one: str, other: str) -> bool:
        """True where two names are the very same numbers."""
        return self.tensors[one] == self.tensors[other]

    def _record(self, name: str, most: int) -> bytes:
        return read_record(self.path, name, self.records[name], most)

    def _storage(self, ref: TensorRef) -> Record:
        return self.records[f"data/{ref.storage.key}"]

    def _check_byteorder(self) -> None:
        order = self._record("byteorder", 16) if "byteorder" in self.records else b"little"
        if order != b"little":
            raise ForeignFile(
                f"{self.path}: written on a big-endian machine (byteorder {order[:16]!r}); save it again "
                "on a little-endian one"
            )

    def _place(self, name: str, value: TensorRef | Scalar) -> None:
        if name in self.tensors or name in self.scalars:
            raise CorruptCheckpoint(f"{self.path}: two entries come out as {name!r}")
        if isinstance(value, TensorRef):
            self.tensors[name] = value
        else:
            self.scalars[name] = value

    def _check_storages(self) -> None:
        forms: dict[str, Format] = {}
        total = 0
        for name, ref in self.tensors.items():
            storage = ref.storage
            if f"data/{storage.key}" not in self.records:
                raise CorruptCheckpoint(
                    f"{self.path}: the numbers of {name!r} (data/{storage.key}) are not in it"
                )
            held, needed = self._storage(ref).size, storage.count * storage.form.size
            if held != needed or forms.setdefault(storage.key, storage.form) != storage.form:
                raise CorruptCheckpoint(
                    f"{self.path}: the storage of {name!r} has {held} bytes; "
                    f"{storage.count} numbers of {storage.form.name} need {needed}"
                )
            total += ref.count * storage.form.size
        if total > REPEATS * self.path.stat().st_size:
            raise UnsafeCheckpoint(
                f"{self.path}: its tensors have {total} bytes together, laid over one another in a "
                f"file of {self.path.stat().st_size}"
            )


def _inner(path: Path, records: dict[str, Record]) -> dict[str, Record]:
    """The records by their names inside the archive's one folder."""
    roots, inner = set(), {}
    for name, record in records.items():
        match = _RECORD.fullmatch(name)
        if match is None or match[1] in (".", ".."):
            raise _foreign(path, name, records)
        roots.add(match[1])
        inner[match[2]] = record
    if len(roots) != 1 or "data.pkl" not in inner:
        raise _foreign(path, next(iter(records), ""), records)
    return inner


def _foreign(path: Path, name: str, records: dict[str, Record]) -> ForeignFile | UnsafeCheckpoint:
    """What a zip archive is that is not a weight file of PyTorch."""
    names = list(records)
    kinds = (
        (
            any("/code/" in n or n.endswith("/constants.pkl") for n in names),
            "a TorchScript program, not plain weights; save its state_dict() instead",
        ),
        (bool(names) and all(n.endswith(".npy") for n in names), "a numpy .npz file"),
        ("[Content_Types].xml" in names, "an office document"),
        (any(n.endswith(("config.json", "model.weights.h5")) for n in names), "a Keras model"),
        (
            not any(n.endswith("data.pkl") for n in names),
            "a zip archive, but not one that PyTorch wrote",
        ),
    )
    for found, what in kinds:
        if found:
            return ForeignFile(f"{path}: is {what}")
    return UnsafeCheckpoint(
        f"{path}: holds the record {name[:100]!r}, which PyTorch's weight files do not have"
    )


def _flatten(root: object, path: Path) -> Iterator[tuple[str, object]]:
    """(dotted name, tensor or scalar) of everything inside, in order."""
    if isinstance(root, TensorRef):
        root = {"tensor": root}
    if isinstance(root, list) and root and all(isinstance(v, TensorRef) for v in root):
        root = {str(number): value for number, value in enumerate(root)}
    if not isinstance(root, dict) and not (isinstance(root, Inert) and root.items):
        what = root.name if isinstance(root, Inert) else type(root).__name__
        raise ForeignFile(f"{path}: holds {shown(what, most=80)} instead of a table of tensors")
    visited, stack = 0, [("", root, 0)]
    while stack:
        name, value, depth = stack.pop()
        visited += 1
        if depth > MAX_DEPTH or visited > MAX_NAMES or len(name) > MAX_NAME:
            raise UnsafeCheckpoint(f"{path}: its tables are nested without end")
        if isinstance(value, Inert):
            yield name, value
            value = value.items
        if isinstance(value, (dict, list, tuple)):
            if visited + len(stack) + len(value) > MAX_NAMES:
                raise UnsafeCheckpoint(f"{path}: its tables are nested without end")
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            inside = [
                (f"{name}.{key}" if name else str(key), child, depth + 1) for key, child in pairs
            ]
            stack.extend(reversed(inside))
        elif isinstance(value, TensorRef | Unread | int | float | str | bool | None):
            yield name, value


def _refuse_unread(leaves: Iterable[tuple[str, object]], path: Path) -> None:
    """Raise ForeignFile where there are tensors that are not read, with their forms and names."""
    found = [(name, value.words) for name, value in leaves if isinstance(value, Unread)]
    if found:
        raise ForeignFile(f"{path}: {unread(found)}")


def _notes(things: Iterable[Inert]) -> Iterator[str]:
    """What was stepped over, by name; and whether there were tensors in it."""
    things = list(things)
    if things:
        counts = Counter(thing.name for thing in things)
        listed = [f"{shown(n, most=80)} x {k}" for n, k in counts.most_common(SHOWN)]
        more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
        yield f"beside the weights, stepped over unbuilt: {', '.join(listed)}{more}"
    for thing in things:
        held = tensors_inside(thing)
        if held:
            yield (
                f"{held} tensors lie inside an object of {shown(thing.name, most=80)} and are not read"
            )


def _strided(raw: np.ndarray, ref: TensorRef) -> np.ndarray:
    """The tensor's window on its numbers, in C order."""
    steps = tuple(stride * raw.itemsize for stride in ref.stride)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(raw, ref.shape, steps)).reshape(
        ref.shape
    )


def opened(path: Path, inert: Sequence[str] = ()) -> WeightFile:
    """The file behind the interface of all formats. `inert` as for `TorchFile`."""
    held = TorchFile(path, inert)
    rows = {
        name: Lazy(ref.shape, ref.storage.form.name, functools.partial(held.stored, name))
        for name, ref in held.tensors.items()
    }
    return WeightFile(path, "PyTorch", rows, dict(held.scalars), held.notes)
