"""Which layers of a user's network leave the range of halves, found by running it.

A float32 run records the largest input, result, weight and attention score of every cell at several
timesteps. What passes the limit is kept in float32; a second run emulates saturating halves with
those layers kept, and is compared with the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints.load import load_into
from mindlong.networks.network import made
from mindlong.ops import precision
from mindlong.ops.fp16_watch import NORMS, Peaks, recorded, saturating
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part

TIMESTEPS = (999, 750, 500, 250, 1)
MARGIN = 2.0  # other prompts and seeds may reach further than the runs that were watched
ALLOWED = 1e-2  # of the largest value, between the emulation and float32
Call = tuple[str, tuple[np.ndarray, ...]]  # "" or a method of the network, and its inputs


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        kept: why each layer has to stay in float32, by name.
        peaks: of every cell.
        before, after: the largest relative difference between float32 and the emulation, with
            nothing kept beyond what the spec said, and with `kept`.
    """

    kept: dict[str, str]
    peaks: dict[str, Peaks]
    before: float
    after: float


def calls_of(part: Part, size: tuple[int, int, int], seed: int = 0) -> list[Call]:
    """Inputs to watch a network with: noise at several timesteps, or images and latents."""
    spec, (frames, height, width) = part.spec, size

    def draw(what: str, *shape: int) -> np.ndarray:
        return rng.normal(shape, seed, "fp16_audit", what)

    if part.network.codec is not None:
        latents = draw("z", 1, spec.latent_channels, height, width) / spec.scaling
        image = np.clip(
            draw("image", 1, spec.channels, height * spec.factor, width * spec.factor), -1, 1
        )
        return [("decode", (latents.astype(np.float32),)), ("moments", (image,))]
    if part.network.denoiser.space == "pixel":
        more = (draw("cond", 1, spec.cond_dim),) if spec.cond_dim else ()
        shape = (1, spec.channels, frames, height, width)
    else:
        given = {"context": draw("context", 1, 77, spec.context_dim), "fps": np.float32([8])}
        more = tuple(given[name] for name in part.network.denoiser.takes(spec))
        shape = (1, spec.in_channels, frames, height, width)
    return [("", (draw(f"x {t}", *shape), np.array([t], np.int32), *more)) for t in TIMESTEPS]


def audit(part: Part, calls: Sequence[Call], margin: float = MARGIN) -> Audit:
    """Find what has to stay in float32.

    Args:
        part: the network, from `read_part`.
        calls: see `calls_of`.
        margin: how far below the largest half a number has to stay.
    """
    arrays = {name: lazy.read() for name, lazy in part.arrays.items()}
    whole = _filled(part, part.spec, arrays, "float32")
    with recorded(whole) as peaks:
        wanted = [_called(whole, call) for call in calls]
    found = chosen(whole, peaks, precision.LARGEST_HALF / margin)
    before = _gap(part, part.spec, arrays, calls, wanted)
    if not found:
        return Audit({}, peaks, before, before)
    spec = replace(part.spec, float32=tuple(dict.fromkeys((*part.spec.float32, *found))))
    return Audit(found, peaks, before, _gap(part, spec, arrays, calls, wanted))


def _filled(part: Part, spec: Any, arrays: Mapping[str, np.ndarray], dtype: str) -> nn.Cell:
    cell = made(part.network.build)(spec, dtype)
    if dtype != "float32":
        precision.set_types(cell, dtype)
        precision.store_as(cell, dtype)
    load_into(cell, arrays, what=f"the weights of the {part.family} network")
    return cell.set_train(False)


def _called(cell: nn.Cell, call: Call) -> np.ndarray:
    method, inputs = call
    out = (getattr(cell, method) if method else cell)(*map(Tensor, inputs))
    return np.concatenate(
        [o.asnumpy().ravel() for o in (out if isinstance(out, tuple) else (out,))]
    )


def _gap(
    part: Part,
    spec: Any,
    arrays: Mapping[str, np.ndarray],
    calls: Sequence[Call],
    wanted: Sequence[np.ndarray],
) -> float:
    limited = {n: _storable(a) for n, a in arrays.items()}
    cell = _filled(part, spec, limited if not spec.float32 else arrays, "float16")
    with saturating(cell):
        found = [_called(cell, call) for call in calls]
    pairs = zip(found, wanted, strict=True)
    return max(
        float(np.nan_to_num(np.abs(a - b), nan=np.inf).max() / np.abs(b).max()) for a, b in pairs
    )


def _storable(array: np.ndarray) -> np.ndarray:
    return np.clip(array, -precision.LARGEST_HALF, precision.LARGEST_HALF)


def chosen(network: nn.Cell, peaks: Mapping[str, Peaks], limit: float) -> dict[str, str]:
    """The layers to keep, with reasons. A sum that leaves the range while its terms stay is a fault
    of the cell that adds them, which is kept as a whole.
    """
    found: dict[str, str] = {}
    cells = dict(network.cells_and_names())
    for name, p in peaks.items():
        if p.typed:
            reason = _reason(p, isinstance(cells[name], NORMS), limit)
            if reason:  # large scores multiply the rounding of what they are made of
                whole = reason.startswith("a score") and _parent(name, peaks)
                found[whole or name] = reason
    for name, p in peaks.items():
        above = name if not p.typed else _parent(name, peaks)
        if above and _adds_up(above, p, peaks, limit):
            largest = max(p.made if not p.typed else 0.0, p.read if p.typed else 0.0)
            found.setdefault(above, f"a sum of {largest:.3g}")
    return {n: r for n, r in found.items() if not _below(n, found)}


def _reason(p: Peaks, norm: bool, limit: float) -> str:
    numbers = {"a score": p.score, "a result": p.made, "a weight": p.held}
    if not norm:  # norms compute in float32 whatever their type
        numbers["an input"] = p.read
    what, largest = max(numbers.items(), key=lambda item: item[1])
    return f"{what} of {largest:.3g}" if largest > limit else ""


def _adds_up(above: str, p: Peaks, peaks: Mapping[str, Peaks], limit: float) -> bool:
    """Whether the sum that `p` shows (its result, or what an operator reads) arises in `above`."""
    shown = p.read if p.typed else p.made
    inside = [q.made for n, q in peaks.items() if n.startswith(above + ".")]
    return shown > limit and peaks[above].read <= limit and max(inside, default=0.0) <= limit


def _parent(name: str, peaks: Mapping[str, Peaks]) -> str:
    while "." in name:
        name = name.rpartition(".")[0]
        if name in peaks:
            return name
    return ""


def _below(name: str, found: Mapping[str, str]) -> bool:
    return any(name.startswith(other + ".") for other in found)
