"""What a run will cost, read off the spec: parameters, operations and memory, before anything is
allocated.

The count of operations is exact for the matrix products and convolutions and leaves out what is
proportional to one pass over the activations. The memory is a model, fitted to peaks of the shipped
network and its like on a CPU (docs/benchmarks.md): parameters and their companions, the compiled
graph, a quarter of all activations in one forward, and all of them in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.networks.cost import Cost, Load, forward_bytes, train_bytes
from mindlong.networks.names import count
from mindlong.networks.unet3d.names import names

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec

FORWARD_MADE_BYTES, MADE_BYTES = 1.0, 4.0  # of each number that a layer gives out


@dataclass(frozen=True)
class Piece:
    """A part of the network at one resolution: multiply-adds and output elements for one video."""

    name: str
    multiply_adds: float
    elements: float


def unet3d_pieces(spec: Unet3DSpec, frames: int, height: int, width: int) -> Iterator[Piece]:
    """Every costly part of Unet3D for one video of `frames` x `height` x `width`."""
    first = spec.init_dim or spec.dim
    dims = [first, *(spec.dim * m for m in spec.dim_mults)]
    hw = height * width
    yield Piece(
        "init_conv",
        spec.init_kernel_size**2 * spec.channels * first * frames * hw,
        first * frames * hw,
    )
    yield _temporal(spec, "init_temporal_attn", first, frames, hw)
    last = len(spec.dim_mults) - 1
    for i, (cin, cout) in enumerate(zip(dims[:-1], dims[1:], strict=True)):
        area = hw >> (2 * i)
        yield from _stage(spec, f"downs.{i}", cin, cout, frames, area)
        if i < last:
            yield Piece(
                f"downs.{i}.4", 16 * cout * cout * frames * area / 4, cout * frames * area / 4
            )
    yield from _middle(spec, dims[-1], frames, hw >> (2 * last))
    for i, (cin, cout) in enumerate(reversed(list(zip(dims[:-1], dims[1:], strict=True)))):
        area = hw >> (2 * (last - i))
        yield from _stage(spec, f"ups.{i}", 2 * cout, cin, frames, area)
        if i < last:
            yield Piece(f"ups.{i}.4", 16 * cin * cin * frames * area, 4 * cin * frames * area)
    yield from _resnet("final_conv.0", 2 * first, spec.dim, frames * hw)
    yield Piece(
        "final_conv.1",
        spec.dim * (spec.out_dim or spec.channels) * frames * hw,
        spec.channels * frames * hw,
    )


def _stage(
    spec: Unet3DSpec, name: str, cin: int, cout: int, frames: int, area: int
) -> Iterator[Piece]:
    yield from _resnet(f"{name}.0", cin, cout, frames * area)
    yield from _resnet(f"{name}.1", cout, cout, frames * area)
    if spec.use_sparse_linear_attn:
        yield _linear(spec, f"{name}.2", cout, frames, area)
    yield _temporal(spec, f"{name}.3", cout, frames, area)


def _middle(spec: Unet3DSpec, width: int, frames: int, area: int) -> Iterator[Piece]:
    yield from _resnet("mid_block1", width, width, frames * area)
    inner = spec.attn_heads * 32
    scores = spec.attn_heads * frames * area * area
    yield Piece(
        "mid_spatial_attn",
        4 * width * inner * frames * area + 2 * scores * 32,
        4 * inner * frames * area + scores,
    )
    yield _temporal(spec, "mid_temporal_attn", width, frames, area)
    yield from _resnet("mid_block2", width, width, frames * area)


def _resnet(name: str, cin: int, cout: int, positions: int) -> Iterator[Piece]:
    products = 9 * cin * cout + 9 * cout * cout + (cin * cout if cin != cout else 0)
    yield Piece(name, products * positions, (5 + (cin != cout)) * cout * positions)


def _linear(spec: Unet3DSpec, name: str, width: int, frames: int, area: int) -> Piece:
    inner = spec.attn_heads * 32
    return Piece(
        name,
        (4 * width * inner + 2 * inner * 32) * frames * area,
        (4 * inner + 3 * width) * frames * area,
    )


def _temporal(spec: Unet3DSpec, name: str, width: int, frames: int, area: int) -> Piece:
    inner = spec.attn_heads * spec.attn_dim_head
    scores = spec.attn_heads * frames * frames * area
    return Piece(
        name,
        4 * width * inner * frames * area + 2 * scores * spec.attn_dim_head,
        (4 * inner + 5 * width) * frames * area + scores,
    )


def cost(spec: Unet3DSpec, load: Load) -> Cost:
    """What one call on a batch of videos takes, in float32."""
    pieces = list(unet3d_pieces(spec, load.frames, load.height, load.width))
    entries = names(spec)
    parameters, made = count(entries), load.videos * sum(p.elements for p in pieces)
    return Cost(
        parameters,
        2.0 * load.videos * sum(p.multiply_adds for p in pieces),
        forward_bytes(len(entries), parameters, made, FORWARD_MADE_BYTES),
        train_bytes(len(entries), parameters, made, MADE_BYTES),
    )
