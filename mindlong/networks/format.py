"""How files name the tensors of a network: how such a file is recognised, what it says of the
network's sizes, which tensor is which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.utils.errors import InputFileError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.networks.names import Entry
    from mindlong.networks.network import Network

Shapes = Mapping[str, tuple[int, ...]]  # source key without its prefix -> shape

# What training programs put beside the weights; it is stepped over.
BESIDE = (
    r"(optimizers?|optimizer_states|lr_schedulers?|callbacks|loops|scaler|sampler|rng_state)\..*",
    r"global_step",
)


@dataclass(frozen=True)
class Inferred:
    """What the shapes of a file say of the network, and remarks for the user."""

    spec: Any
    notes: tuple[str, ...] = ()


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def no_facts(weights: Any, prefix: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Of files that say nothing beside the weights."""
    return {}, ()


def _always(_: Any) -> bool:
    return True


def _whole(spec: Any) -> tuple[Any, tuple[str, ...]]:
    return spec, ()


def _bare(tree: dict[str, Any], facts: Mapping[str, str]) -> dict[str, Any]:
    return tree


@dataclass(frozen=True)
class Format:
    """One way in which files name the tensors of a network (`Network.formats`).

    Attributes:
        layout: what the way is called, where there are several ("" where there is one).
        markers: keys (behind some prefix) that all stand in such a file and, together, in no other
            network's.
        infer: (shapes, overrides) -> the spec; `overrides` are fields the user gave, which rule.
            Raises InputFileError with a named reason where the file is of a version that is not
            supported.
        fits: (shapes) -> whether the file is of this network, where others have the same names.
        entries: spec -> names and shapes on both sides, source keys without prefix.
        config: (diffusers' or transformers' config.json) -> fields that the shapes do not tell.
        prefix: what stands before every source key where the network is exported alone.
        together: the same in one file with other networks; "": `prefix`, or the part's name.
        inner: what stands before the keys in the state dict of the network itself.
        file: the file of a folder that holds each network as one plain file; "" where publishers
            have no such folder.
        table: the table around the tensors in that file ("state_dict"), or "".
        ignored: patterns of source keys (with any prefix) that belong to the original but hold no
            weights.
        defaults: spec -> source key -> values of tensors that may be missing in a file.
        facts: (open file, prefix) -> what the file says beside the weights, as text by name: what
            an export has to know, and what `Denoiser.noising` may ask for; and remarks.
        pack: (source key -> tensor, facts) -> the tables around them in the original's own files.
        tables: spec -> source key -> what files hold beside the weights and we compute, such as
            places; written with an export.
        trim: spec -> the spec that other programs expect in this naming, and patterns of our names
            that it leaves out.
        listed: spec -> source names of layers in the order in which files of LoRAs that are lists
            without names hold them; None: there are no such files.
        owner: the network, which sets it.
    """

    layout: str
    markers: tuple[str, ...]
    infer: Callable[[Shapes, Mapping[str, Any]], Inferred]
    entries: Callable[[Any], list[Entry]]
    config: Callable[[Mapping[str, Any]], dict[str, Any]] = field(default=_nothing)
    fits: Callable[[Shapes], bool] = field(default=_always)
    prefix: str = ""
    together: str = ""
    inner: str = ""
    file: str = ""
    table: str = ""
    ignored: tuple[str, ...] = ()
    defaults: Callable[[Any], dict[str, np.ndarray]] = field(default=_nothing)
    facts: Callable[[Any, str], tuple[dict[str, str], tuple[str, ...]]] = field(default=no_facts)
    pack: Callable[[dict[str, Any], Mapping[str, str]], dict[str, Any]] = field(default=_bare)
    tables: Callable[[Any], dict[str, np.ndarray]] = field(default=_nothing)
    trim: Callable[[Any], tuple[Any, tuple[str, ...]]] = field(default=_whole)
    listed: Callable[[Any], list[str]] | None = None
    owner: Network | None = field(default=None, repr=False, compare=False)

    def named(self, prefix: str, spec: Any) -> list[Entry]:
        """The entries with `prefix` before every source key."""
        return [
            replace(e, source=prefix + e.source, ties=tuple(prefix + tie for tie in e.ties))
            for e in self.entries(spec)
        ]

    @property
    def network(self) -> Network:
        """The network that files name so."""
        return needed(self.owner, "the network of this format")

    @property
    def family(self) -> str:
        """The network's family."""
        return self.network.family

    @property
    def part(self) -> str:
        """The network's name in files of several networks."""
        return self.network.part

    @property
    def title(self) -> str:
        """Family, part and layout in a few words."""
        layout = f", {self.layout} names" if self.layout else ""
        return f"{self.family} {self.part}{layout}: {self.network.about}"


class Names(frozenset[str]):
    """The names of a file, found by how they end: it is asked for the markers of every network."""

    @cached_property
    def by_end(self) -> Mapping[str, list[str]]:
        """The names by their last two parts."""
        found: dict[str, list[str]] = {}
        for name in self:
            found.setdefault(_end(name), []).append(name)
        return found


def _end(name: str) -> str:
    return ".".join(name.rsplit(".", 2)[-2:])


def prefixes(names: Iterable[str], markers: Sequence[str]) -> list[str]:
    """What stands before the markers: every prefix under which all of them are there."""
    if not markers:
        return []
    names = names if isinstance(names, Names) else Names(names)
    marker = markers[0]
    last = names.by_end.get(_end(marker), ()) if "." in marker else names
    first = [name[: -len(marker)] for name in last if name.endswith(marker)]
    return sorted(
        p
        for p in first
        if (not p or p.endswith(".")) and all(p + marker in names for marker in markers)
    )


def under(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """The keys behind `prefix`, without it."""
    return {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }


def size(shapes: Shapes, key: str, axis: int) -> int:
    """The length of one axis of a tensor. Raises InputFileError where it is not there."""
    shape = shapes.get(key, ())
    if len(shape) <= axis:
        raise InputFileError(
            f"the sizes of the network cannot be read off: {key!r} has the shape {list(shape)}"
        )
    return shape[axis]


def layers_of(shapes: Shapes, pattern: str) -> int:
    """How many layers there are: the first number for which `pattern`, which has a {}, is no
    key.
    """
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count


def largest_divisor(widths: Iterable[int], most: int) -> int:
    """The largest of `most`, most / 2, ... that divides all widths."""
    while most > 1 and any(width % most for width in widths):
        most //= 2
    return most


def is_ignored(name: str, patterns: Iterable[str]) -> bool:
    """True where a pattern (a regular expression over the whole key) covers the name."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)
