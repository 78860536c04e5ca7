"""An open weight file of any kind: names, shapes, formats, and tensors read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mindlong.utils.errors import InputFileError, did_you_mean

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy

Scalar: TypeAlias = int | float | str | bool | None


@dataclass(frozen=True)
class WeightFile(Mapping[str, np.ndarray]):
    """An open weight file: a mapping from names to arrays that are read when asked for.

    Attributes:
        path: where it is.
        kind: "safetensors", "PyTorch", "MindSpore", "numpy", each perhaps with ", N shards".
        rows: name -> tensor still to be read.
        metadata: numbers and text that stand beside the tensors.
        notes: remarks for the user, such as a suffix that does not match the content.
        configs: beginning of names -> the config.json that lies beside those tensors.
        beside: place in a folder -> file that belongs to the weights and holds none, such as
            tokenizer/tokenizer.json.
    """

    path: Path
    kind: str
    rows: dict[str, Lazy]
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Every tensor's name, in the order of the file."""
        return list(self.rows)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return self.lazy(name).shape

    def dtype(self, name: str) -> str:
        """How a tensor is stored: float32, float16, bfloat16, int64, ..."""
        return self.lazy(name).dtype

    def read(self, name: str) -> np.ndarray:
        """A tensor as a fresh array; bfloat16 comes as float32, all else as stored."""
        return self.lazy(name).read()

    def lazy(self, name: str) -> Lazy:
        """A tensor still to be read. Raises InputFileError where there is none of that name."""
        if name not in self.rows:
            raise InputFileError(
                f"{self.path} holds no tensor {name!r}.{did_you_mean(name, self.rows)}"
            )
        return self.rows[name]

    def config_of(self, name: str) -> dict[str, Any]:
        """The config.json beside the tensor called so; empty where there is none."""
        fitting = [beginning for beginning in self.configs if name.startswith(beginning)]
        return self.configs[max(fitting, key=len)] if fitting else {}

    def tokenizer(self, files: Sequence[str]) -> Path | None:
        """The folder of the tokenizer that belongs to the weights, in their folder or beside it.

        Args:
            files: names of which such a folder has one.
        """
        inside = [self.beside[f"tokenizer/{n}"] for n in files if f"tokenizer/{n}" in self.beside]
        if inside:
            return inside[0].parent
        folder = self.path if self.path.is_dir() else self.path.parent
        beside = folder.parent / "tokenizer"
        alone = folder.name == "text_encoder" and any((beside / name).is_file() for name in files)
        return beside if alone else None

    def bytes(self) -> int:
        """Bytes of all tensors as stored."""
        return sum(row.bytes for row in self.rows.values())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.rows:
            raise KeyError(name)
        return self.rows[name].read()

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
