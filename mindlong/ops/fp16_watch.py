"""Watches a network run operator by operator: how large its numbers become, and what saturating
halves would make of them.

Both work by wrapping the methods of the cells of one network, in PyNative mode on a CPU, with
attention in its plain form (`attention.use("math")`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.ops.attention import Attention
from mindlong.ops.norm import ChannelLayerNorm, ChannelRMSNorm, GroupNorm, LayerNorm
from mindlong.ops.precision import LARGEST_HALF, Typed

NORMS = (GroupNorm, LayerNorm, ChannelLayerNorm, ChannelRMSNorm)  # they compute in float32
ENTRIES = (
    "construct",
    "folded",
    "joint",
    "parts",
    "gated",
)  # the methods by which cells are called
ROWS = 1024  # queries whose scores are held at once


@dataclass
class Peaks:
    """The largest absolute numbers that a cell met: its inputs, its result, its parameters, and
    the products q k^T of an attention, before their scale.
    """

    read: float = 0.0
    made: float = 0.0
    held: float = 0.0
    score: float = 0.0
    typed: bool = True


def _largest(values: object) -> float:
    if isinstance(values, Tensor):
        if values.dtype not in (ms.float32, ms.float16) or values.size == 0:
            return 0.0
        return float(np.nan_to_num(np.abs(values.asnumpy().astype(np.float32)), nan=np.inf).max())
    if isinstance(values, tuple | list):
        return max(map(_largest, values), default=0.0)
    return 0.0


def _saturated(values: object) -> object:
    if isinstance(values, Tensor) and values.dtype in (ms.float32, ms.float16):
        array = np.clip(np.nan_to_num(values.asnumpy(), posinf=np.inf), -LARGEST_HALF, LARGEST_HALF)
        return Tensor(array.astype(values.asnumpy().dtype))
    if isinstance(values, tuple):
        return tuple(map(_saturated, values))
    return values


def _saturated_halves(values: object) -> object:
    """What a norm reads: it takes float32 as it is."""
    is_float32 = isinstance(values, Tensor) and values.dtype == ms.float32
    return values if is_float32 else _saturated(values)


def _methods(cell: nn.Cell) -> Iterator[tuple[str, Callable]]:
    for name in ENTRIES:
        if hasattr(type(cell), name):
            yield name, getattr(cell, name)


@contextmanager
def _replaced(changes: list[tuple[nn.Cell, str, Callable]]) -> Iterator[None]:
    for cell, name, method in changes:
        object.__setattr__(cell, name, method)
    try:
        yield
    finally:
        for cell, name, _ in changes:
            object.__delattr__(cell, name)


@contextmanager
def recorded(network: nn.Cell) -> Iterator[dict[str, Peaks]]:
    """The peaks of every cell by name, filled by the calls made inside."""
    found: dict[str, Peaks] = {}
    changes = []
    for name, cell in network.cells_and_names():
        if isinstance(cell, nn.CellList | nn.SequentialCell):
            continue
        peaks = found[name] = Peaks(typed=isinstance(cell, Typed))
        if peaks.typed:
            peaks.held = _largest([p.value() for p in cell.get_parameters(expand=False)])
        changes += [(cell, n, _recording(m, peaks)) for n, m in _methods(cell)]
        if isinstance(cell, Attention):
            changes.append((cell, "_by", _recording_scores(cell._by, peaks)))
    with _replaced(changes):
        yield found


def _recording(method: Callable, peaks: Peaks) -> Callable:
    def run(*args, **kwargs):
        peaks.read = max(peaks.read, _largest(args))
        out = method(*args, **kwargs)
        peaks.made = max(peaks.made, _largest(out))
        return out

    return run


def _scores(q: Tensor, k: Tensor) -> Iterator[np.ndarray]:
    """q k^T by parts of the queries, float32."""
    queries = q.asnumpy().astype(np.float32)
    keys = k.asnumpy().astype(np.float32).swapaxes(-1, -2)
    for start in range(0, queries.shape[2], ROWS):
        yield queries[:, :, start : start + ROWS] @ keys


def _recording_scores(method: Callable, peaks: Peaks) -> Callable:
    def run(backend, q, k, v, mask):
        peaks.score = max(peaks.score, *(float(np.abs(s).max()) for s in _scores(q, k)))
        return method(backend, q, k, v, mask)

    return run


@contextmanager
def saturating(network: nn.Cell) -> Iterator[None]:
    """Operators of a network in float16 that are not kept in float32 saturate, as on a 910A, and
    attentions hold their scores in halves.
    """
    changes = []
    for _, cell in network.cells_and_names():
        if isinstance(cell, Typed) and not cell.kept:
            reads = _saturated if not isinstance(cell, NORMS) else _saturated_halves
            changes += [(cell, n, _clipping(m, reads)) for n, m in _methods(cell)]
            if isinstance(cell, Attention):
                changes.append((cell, "_by", _in_halves(cell)))
    with _replaced(changes):
        yield


def _clipping(method: Callable, reads: Callable) -> Callable:
    def run(*args, **kwargs):
        return _saturated(method(*map(reads, args), **kwargs))

    return run


def _in_halves(cell: Attention) -> Callable:
    def run(backend, q, k, v, mask):
        values, parts, at = v.asnumpy().astype(np.float32), [], 0
        bias = None if mask is None else mask.asnumpy().astype(np.float32)
        for scores in _scores(q, k):
            half = np.clip(scores, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
            scaled = half.astype(np.float32) * cell.scale
            if bias is not None:
                whole = bias.shape[-2] == 1
                scaled = scaled + (bias if whole else bias[..., at : at + scores.shape[2], :])
            weights = np.exp(scaled - scaled.max(-1, keepdims=True))
            weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float16)
            parts.append(weights.astype(np.float32) @ values)
            at += scores.shape[2]
        return Tensor(np.concatenate(parts, 2))

    return run
