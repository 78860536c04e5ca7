"""Which layers of a network a LoRA (arXiv 2106.09685) can change, and what files of LoRAs call
them.

Nothing parses such a name: the names of every layer in every layout of its network are written
down, forwards, and a key of a file is looked up among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindlong.networks.names import Entry
    from mindlong.networks.network import Network

WEIGHT = ".weight"
INSIDE = ".spatial_conv"  # a convolution of images inside a pseudo-3D one


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution that a LoRA can change.

    Attributes:
        ours: its name here; its weight is `ours` + ".weight".
        shape: of that weight, (out, in, *kernel).
        source: its name in the layout's files.
        source_shape: of the weight there, which may have more axes of length one.
        head: what diffusers has before the name in a file of several networks.
    """

    ours: str
    shape: tuple[int, ...]
    source: str
    source_shape: tuple[int, ...]
    head: str = "unet."


def layers(network: Network, spec: Any, layout: str = "") -> list[Layer]:
    """Every layer that can be changed, as one layout names them; "": the usual one.

    Tensors that a file keeps stacked or turned over (open_clip's) have no names of their own there
    and are left out.
    """
    form = network.format(layout)
    head = f"{network.part}.{form.inner}"
    return [_layer(entry, head) for entry in form.entries(spec) if _changeable(entry)]


def _changeable(entry: Entry) -> bool:
    plain = entry.rows is None and not entry.transposed
    named = entry.ours.endswith(WEIGHT) and entry.source.endswith(WEIGHT)
    return plain and named and len(entry.our_shape) > 1 and not _is_table(entry.ours)


def _is_table(ours: str) -> bool:
    """Whether a tensor is a table of vectors, no layer."""
    return "embedding" in ours.removesuffix(WEIGHT).rpartition(".")[2]


def _layer(entry: Entry, head: str) -> Layer:
    names = (each.removesuffix(WEIGHT) for each in (entry.ours, entry.source))
    ours, source = names
    return Layer(ours, entry.our_shape, source, entry.source_shape, head)


def by_name(network: Network, spec: Any) -> dict[str, Layer]:
    """Dotted name in a file -> layer, in all layouts of the network together."""
    found: dict[str, Layer] = {}
    for form in network.formats:
        for layer in layers(network, spec, form.layout):
            for name in _names(layer.source, form.inner):
                found.setdefault(name, layer)
    return found


def _names(source: str, inner: str) -> Iterator[str]:
    yield source
    if inner:
        yield inner + source
    if source.endswith(INSIDE):
        yield source.removesuffix(INSIDE)


def by_joined_name(network: Network, spec: Any) -> dict[str, Layer]:
    """The same, where a file writes every dot as an underscore."""
    return {name.replace(".", "_"): layer for name, layer in by_name(network, spec).items()}
