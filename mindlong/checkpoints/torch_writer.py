"""Zip weight files that PyTorch loads (`torch.load(weights_only=True)`), written without PyTorch,
tensor by tensor.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindlong.checkpoints.dtypes import cast_target, raw_bytes
from mindlong.checkpoints.lazy import Lazy, as_lazy
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError
from mindlong.utils.needed import needed

ROOT, ALIGN = "archive", 64
_EPOCH = (1980, 1, 1, 0, 0, 0)

Tree = Mapping[str, "Leaf | Tree"]
Leaf = np.ndarray | Lazy | int | float | str | bool | None


def write_torch(path: str | Path, tree: Tree, dtype: str | None = None) -> None:
    """Write a state dict, or tables of them with numbers and text beside, as a PyTorch file. Whole
    or not at all.

    Args:
        tree: name -> array, `Lazy`, number, text, truth value, None, or a table of the same. One
            array object under several names becomes one tensor under several names.
        dtype: floating arrays are cast to it; None keeps each as it is.

    Raises:
        ConfigError: a value of another kind. UserError: a value beyond the range of `dtype`.
    """
    program = _Program(dtype)
    program.table(tree)
    with (
        atomic.replacing(path) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        _add(archive, "data.pkl", [program.bytes()])
        _add(archive, "byteorder", [b"little"])
        for key, (name, source) in enumerate(program.storages):
            _add(archive, f"data/{key}", _pieces(name, source, dtype))
        _add(archive, "version", [b"3\n"])


def _pieces(name: str, source: Lazy, dtype: str | None):
    raw = source.stored(cast_target(source.dtype, dtype), name)
    yield raw_bytes(raw)


def _add(archive: zipfile.ZipFile, name: str, pieces) -> None:
    """One record, its first byte at a multiple of 64."""
    info = zipfile.ZipInfo(f"{ROOT}/{name}", _EPOCH)
    begin = (
        needed(archive.fp, "the file of the archive").tell() + 30 + len(info.filename) + 20 + 4
    )  # header, name, 64-bit sizes, head of the filling
    filling = -begin % ALIGN
    info.extra = struct.pack("<2H", 0x4246, filling) + b"Z" * filling
    with archive.open(info, "w", force_zip64=True) as record:
        for piece in pieces:
            record.write(piece)


@dataclass
class _Program:
    """A pickle of protocol 2, as torch.save writes it."""

    dtype: str | None
    out: list[bytes] = field(default_factory=lambda: [b"\x80\x02"])
    storages: list[tuple[str, Lazy]] = field(default_factory=list)
    keys: dict[int, int] = field(default_factory=dict)  # identity of an array -> its storage

    def bytes(self) -> bytes:
        return b"".join([*self.out, b"."])

    def table(self, tree: Tree, prefix: str = "") -> None:
        """An OrderedDict: `collections.OrderedDict()`, then its items."""
        self.out.append(b"ccollections\nOrderedDict\n)R(")
        for name, value in tree.items():
            if not isinstance(name, str):
                raise ConfigError(
                    f"{prefix or 'a table'} has the key {name!r}; a weight file's keys are text"
                )
            self.text(name)
            self.value(prefix + name, value)
        self.out.append(b"u")

    def value(self, name: str, value: object) -> None:
        if isinstance(value, Mapping):
            self.table(value, f"{name}.")
        elif isinstance(value, np.ndarray | np.generic):
            self.tensor(name, np.asarray(value))
        elif isinstance(value, Lazy):
            self.tensor(name, value)
        else:
            self.scalar(name, value)

    def scalar(self, name: str, value: object) -> None:
        if value is None or isinstance(value, bool):
            self.out.append({None: b"N", True: b"\x88", False: b"\x89"}[value])
        elif isinstance(value, int):
            self.integer(value)
        elif isinstance(value, float):
            self.out.append(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            self.text(value)
        else:
            raise ConfigError(
                f"{name} is a {type(value).__name__}; a weight file holds arrays, numbers and text"
            )

    def text(self, value: str) -> None:
        data = value.encode("utf-8")
        self.out.append(b"X" + struct.pack("<I", len(data)) + data)

    def integer(self, value: int) -> None:
        if 0 <= value < 256:
            self.out.append(b"K" + bytes([value]))
        elif -(2**31) <= value < 2**31:
            self.out.append(b"J" + struct.pack("<i", value))
        else:
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self.out.append(b"\x8a" + bytes([len(data)]) + data)

    def tensor(self, name: str, array: np.ndarray | Lazy) -> None:
        """`torch._utils._rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())`."""
        source = as_lazy(array)
        if id(array) not in self.keys:
            self.keys[id(array)] = len(self.storages)
            self.storages.append((name, source))
        form, strides, count = cast_target(source.dtype, self.dtype), [], 1
        for size in reversed(source.shape):
            strides.append(count)
            count *= max(size, 1)
        self.out.append(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        self.text("storage")
        self.out.append(f"ctorch\n{form.storage}\n".encode())
        self.text(str(self.keys[id(array)]))
        self.text("cpu")
        self.integer(count if 0 not in source.shape else 0)
        self.out.append(b"tQK\x00")
        self.integers(source.shape)
        self.integers(tuple(reversed(strides)))
        self.out.append(b"\x89ccollections\nOrderedDict\n)RtR")

    def integers(self, values: tuple[int, ...]) -> None:
        self.out.append(b"(")
        for value in values:
            self.integer(value)
        self.out.append(b"t")
