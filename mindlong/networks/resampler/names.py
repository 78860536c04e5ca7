"""How files call the tensors of the Resampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same

if TYPE_CHECKING:
    from mindlong.networks.resampler.spec import ResamplerSpec


def names(spec: ResamplerSpec) -> list[Entry]:
    """One entry for each tensor."""
    return list(_walk(spec))


def parameter_count(spec: ResamplerSpec) -> int:
    """Numbers in the network."""
    return count(names(spec))


def _walk(spec: ResamplerSpec) -> Iterator[Entry]:
    shape = (spec.tokens, spec.width)
    yield Entry("queries", "latents", shape, (1, *shape))
    yield from pair("proj_in", "proj_in", spec.width, spec.reads)
    for i in range(spec.layers):
        yield from _layer(spec, f"layers.{i}")
    yield from pair("proj_out", "proj_out", spec.gives, spec.width)
    yield from pair("norm_out", "norm_out", spec.gives)


def _layer(spec: ResamplerSpec, name: str) -> Iterator[Entry]:
    yield from pair(f"{name}.norm_image", f"{name}.0.norm1", spec.width)
    yield from pair(f"{name}.norm_query", f"{name}.0.norm2", spec.width)
    yield same(f"{name}.to_q.weight", f"{name}.0.to_q.weight", spec.inner, spec.width)
    yield same(f"{name}.to_kv.weight", f"{name}.0.to_kv.weight", 2 * spec.inner, spec.width)
    yield same(f"{name}.to_out.weight", f"{name}.0.to_out.weight", spec.width, spec.inner)
    yield from pair(f"{name}.norm_ff", f"{name}.1.0", spec.width)
    yield same(f"{name}.fc1.weight", f"{name}.1.1.weight", spec.hidden, spec.width)
    yield same(f"{name}.fc2.weight", f"{name}.1.3.weight", spec.width, spec.hidden)
