"""What a latent UNet costs, read off its spec: operations and memory, before anything is allocated.

Operations are those of matrix products and convolutions, counted from the tensors' shapes and the
place where each is used; memory is a model, fitted to peaks of small and middle-width networks on a
CPU (docs/benchmarks.md); the share that recomputation leaves to tiny ones (docs/tune_a_video.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING

from mindlong.networks.cost import Cost, Load, forward_bytes, train_bytes
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.stage_spec import FRAMES, Branch, Transformer
from mindlong.plans import kv_policy

if TYPE_CHECKING:
    from mindlong.networks.names import Entry
    from mindlong.networks.unet.spec import UNetSpec

# Of each number that a layer gives out: in a training step 4 bytes, nearly twice, of which
# recomputation leaves a part; in one forward
MADE_BYTES, RECOMPUTED, FORWARD_MADE_BYTES = 5.8, 0.57, 0.76


def cost(spec: UNetSpec, load: Load) -> Cost:
    """One call of the UNet on latents and prompts, in float32."""
    areas, frames, tokens = _areas(spec, load.height, load.width), load.frames, load.tokens
    entries, videos = unet_names.names(spec), load.videos
    parameters, flops, made = totals(
        entries, lambda entry: _rows(spec, entry, areas, frames, tokens)
    )
    flops += sum(_attention(spec, areas, frames, tokens))
    share = RECOMPUTED if load.recompute else 1.0
    return Cost(
        parameters,
        videos * flops,
        forward_bytes(len(entries), parameters, videos * made, FORWARD_MADE_BYTES),
        train_bytes(len(entries), parameters, videos * made * share, MADE_BYTES),
    )


def totals(entries: Iterable[Entry], rows: Callable[[Entry], float]) -> tuple[int, float, float]:
    """Parameters, operations of the products and convolutions, and numbers that layers and norms
    give out.
    """
    parameters, flops, made = 0, 0.0, 0.0
    for entry in entries:
        shape = entry.our_shape
        parameters += prod(shape)
        if len(shape) > 1:
            flops += 2.0 * prod(shape) * rows(entry)
        if len(shape) > 1 or entry.ours.endswith("weight"):
            made += shape[0] * rows(entry)
    return parameters, flops, made


def _areas(spec: UNetSpec, height: int, width: int) -> list[int]:
    """Pixels of a frame on each level; a size that does not divide is rounded up."""
    found = []
    for _ in spec.channels:
        found.append(height * width)
        height, width = -(-height // 2), -(-width // 2)
    return found


def _rows(spec: UNetSpec, entry: Entry, areas: list[int], frames: int, tokens: int) -> float:
    """How often a tensor is applied to one video."""
    name = entry.ours
    if "_embedding." in name:
        return 1
    if ".time_proj." in name:
        return frames
    if _reads_text(spec, name):
        return tokens
    return _frames(spec, name, frames) * areas[_level(spec, name)]


def _frames(spec: UNetSpec, name: str, frames: int) -> int:
    """Frames that a tensor is applied to: in views those of all windows, which overlap."""
    parts = name.split(".")
    for stage in spec.transformers:
        views = stage.views
        if views and frames > views.window and stage.name in parts:
            own = [b.name for b in stage.branches if b.kind == "time"]
            if views.around == "block" and any(word in parts for word in own):
                return len(views.index(frames))
    return frames


def _level(spec: UNetSpec, name: str) -> int:
    """The level whose pixels a tensor is applied to; what changes the size is applied to the new
    one's.
    """
    side, number = name.split(".")[:2]
    if side not in ("down", "mid", "up"):
        return 0
    last = len(spec.channels) - 1
    if side == "mid":
        return last
    place, moved = int(number) // (spec.layers + 1), ".resample." in name
    return place + moved if side == "down" else last - place - moved


def _reads_text(spec: UNetSpec, name: str) -> bool:
    if not name.endswith((".to_k.weight", ".to_v.weight", ".to_k_ip.weight", ".to_v_ip.weight")):
        return False
    parts = name.split(".")
    stage = next((s for s in spec.stages if s.name in parts), spec.entry)
    return isinstance(stage, Transformer) and any(
        b.kind == "text" and b.name in parts for b in stage.branches
    )


def _attention(spec: UNetSpec, areas: list[int], frames: int, tokens: int) -> Iterator[float]:
    """Scores and sums of every attention of one video: 4 operations for each query, key and
    channel.
    """
    stages, last = [s for s in spec.stages if isinstance(s, Transformer)], len(spec.channels) - 1
    places = [*enumerate(spec.down()), (last, spec.mid())]
    places += [(last - i, level) for i, level in enumerate(spec.up())]
    for number, level in places:
        for stage in stages:
            layers = sum(level.holds(stage, j) for j in range(len(level.layers)))
            for branch in stage.branches:
                pairs = _pairs(stage, branch, areas[number], frames, tokens)
                yield 4.0 * layers * level.width * pairs
    if spec.entry:
        for branch in spec.entry.branches:
            pairs = _pairs(spec.entry, branch, areas[0], frames, tokens)
            yield 4.0 * spec.entry_dim * pairs


def _pairs(stage: Transformer, branch: Branch, area: int, frames: int, tokens: int) -> float:
    """(query, key) pairs of one attention."""
    views = stage.views
    if branch.kind == "time" and views and frames > views.window:
        return float(len(views.index(frames)) * views.window * area)
    if branch.kind in FRAMES:
        reads = kv_policy.count_pairs(branch.reads, frames)
        return reads * area * (area if branch.kind == "space" else 1)
    return frames * area * tokens if branch.kind == "text" else 0
