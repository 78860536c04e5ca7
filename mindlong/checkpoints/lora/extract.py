"""A LoRA out of two sets of weights: for every layer that differs, the nearest matrices of a rank
to the difference (Eckart and Young 1936), as kohya's extract_lora_from_models makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.checkpoints.changed import base_of, over
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.lora.keys import NETWORK, TEXT
from mindlong.checkpoints.lora.write import DIFFUSERS, Matrices
from mindlong.checkpoints.parts import Part, read_part
from mindlong.checkpoints.recognise import recognise
from mindlong.networks.lora_names import WEIGHT, Layer, layers
from mindlong.utils.errors import InputFileError


@dataclass(frozen=True)
class Extracted:
    """What was found.

    Attributes:
        found: a layer's matrices each.
        kept, whole: squared norm of the differences that the matrices hold, and of all of them.
        left: tensors that differ and that no LoRA can hold (biases, norms, tables).
    """

    found: tuple[Matrices, ...]
    kept: float
    whole: float
    left: tuple[str, ...]


def parts_at(named: str, key: str, family: str = "") -> dict[str, Part]:
    """Role -> network of the weights `named`, which were given as `key`: a denoiser, and a text
    encoder where there is one. Raises as `read_part`.
    """
    where = locate(named, key)
    base = base_of(where)
    if base:
        below = parts_at(base, key, family)
        return {**below, "network": over(below["network"], where)}
    held = open_named(named, key)
    roles = {match.network.role for match in recognise(held, None, family or None)}
    named_so = {NETWORK: family or None}
    return {
        role: read_part(held, role, named_so.get(role)) for role in (NETWORK, TEXT) if role in roles
    }


def extract(tuned: Mapping[str, Part], base: Mapping[str, Part], rank: int) -> Extracted:
    """The LoRA that makes `tuned` of `base`, as far as `rank` allows.

    Args:
        tuned, base: role -> network.

    Raises:
        InputFileError: networks of other sizes, or none that differ.
    """
    found: list[Matrices] = []
    left: list[str] = []
    kept = whole = 0.0
    for role in (role for role in tuned if role in base):
        _check(tuned[role], base[role])
        held = {f"{layer.ours}{WEIGHT}": layer for layer in _layers(tuned[role])}
        for name, change in _changes(tuned[role], base[role]):
            whole += float(np.square(change).sum(dtype=np.float64))
            if name not in held:
                left.append(name)
                continue
            down, up = nearest(change, rank)
            kept += float(np.square(up @ down.reshape(len(down), -1)).sum(dtype=np.float64))
            found.append(Matrices(role, held[name], down, up, 1.0))
    if not found:
        raise InputFileError(
            "no layer differs between --src and --base; there is nothing to extract"
        )
    return Extracted(tuple(found), kept, whole, tuple(left))


def nearest(change: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """A (r, inputs, ...) and B (outputs, r) float32 whose product is nearest to `change` (outputs,
    inputs, ...) among those of at most `rank`, with equal norms of both.
    """
    u, s, v = np.linalg.svd(change.reshape(len(change), -1), full_matrices=False)
    size = min(rank, len(s))
    root = np.sqrt(s[:size])
    down = (root[:, None] * v[:size]).reshape(size, *change.shape[1:])
    return down, u[:, :size] * root


def _layers(part: Part) -> Sequence[Layer]:
    layouts = [form.layout for form in part.network.formats]
    return layers(part.network, part.spec, DIFFUSERS if DIFFUSERS in layouts else "")


def _changes(tuned: Part, base: Part) -> Iterator[tuple[str, np.ndarray]]:
    """(name, difference float32) of every tensor that is not the same."""
    for name, lazy in tuned.arrays.items():
        change = np.asarray(lazy.read(), np.float32) - np.asarray(
            base.arrays[name].read(), np.float32
        )
        if not np.isfinite(change).all():
            raise InputFileError(f"{name} holds NaN or infinity, in --src or in --base")
        if change.any():
            yield name, change


def _check(tuned: Part, base: Part) -> None:
    shapes, others = ({n: a.shape for n, a in part.arrays.items()} for part in (tuned, base))
    apart = sorted(n for n in shapes.keys() | others.keys() if shapes.get(n) != others.get(n))
    if apart:
        raise InputFileError(
            f"--base is another network: {apart[0]} has the shape {_said(others, apart[0])} there and "
            f"{_said(shapes, apart[0])} in --src"
        )


def _said(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return str(list(shapes[name])) if name in shapes else "of no tensor"
