"""What a converter must know of a network: how its files are recognised, what they say of its
sizes, how names map.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from mindlong.config.load import model_node
from mindlong.networks.names import Entry
from mindlong.utils.errors import InputFileError

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


def _no_facts(weights: Any, prefix: str) -> tuple[dict[str, str], tuple[str, ...]]:
    return {}, ()


def _whole(spec: Any) -> tuple[Any, tuple[str, ...]]:
    return spec, ()


def _bare(tree: dict[str, Any], facts: Mapping[str, str]) -> dict[str, Any]:
    return tree


@dataclass(frozen=True)
class Kind:
    """One network in one way of naming its tensors. A family plugs in by listing its kinds in
    `registry`.

    Attributes:
        family: as in `model.family` of a configuration, or the name of a network that several
            families share.
        part: "unet", "vae" or "text_encoder"; the first word of our names in converted files.
        layout: which naming, where the family's files come in several ("" where there is one).
        about: what its files are, for people: "Unet3D of video-diffusion-pytorch".
        markers: keys (behind some prefix) that all stand in such a file and, together, in no other
            kind's.
        infer: (shapes, wishes) -> the spec; `wishes` are fields the user gave, which rule. Raises
            InputFileError with a named reason where the file is of a version that is not supported.
        entries: spec -> names and shapes on both sides, source keys without prefix.
        section: spec -> the `model` section of a configuration.
        from_section: the way back; keys of no concern are passed over.
        config: (diffusers' or transformers' config.json) -> fields that the shapes do not tell.
        prefix: what stands before every source key where the network is exported alone.
        ignored: patterns of source keys (with any prefix) that belong to the original but hold no
            weights.
        defaults: spec -> source key -> values of tensors that may be missing in a file.
        our_markers: names (behind some prefix) that all stand in a file of ours with this part.
        facts: (open file, prefix) -> what an export has to know beside the weights, as text by
            name; and remarks.
        pack: (source key -> tensor, facts) -> the tables around them in the original's own files.
        trim: spec -> the spec that other programs expect in this naming, and patterns of our names
            that it leaves out.
        base: the family whose weights such a network starts from, or "".
        base_name: our name -> our name in a network of that family, or None for tensors that start
            fresh.
        shared: several families have this network; it is not the family's own.
    """

    family: str
    part: str
    layout: str
    about: str
    markers: tuple[str, ...]
    infer: Callable[[Shapes, Mapping[str, Any]], Inferred]
    entries: Callable[[Any], list[Entry]]
    section: Callable[[Any], dict[str, Any]]
    from_section: Callable[[Mapping[str, Any]], Any]
    config: Callable[[Mapping[str, Any]], dict[str, Any]] = field(default=_nothing)
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    defaults: Callable[[Any], dict[str, np.ndarray]] = field(default=_nothing)
    our_markers: tuple[str, ...] = ()
    facts: Callable[[Any, str], tuple[dict[str, str], tuple[str, ...]]] = field(default=_no_facts)
    pack: Callable[[dict[str, Any], Mapping[str, str]], dict[str, Any]] = field(default=_bare)
    trim: Callable[[Any], tuple[Any, tuple[str, ...]]] = field(default=_whole)
    base: str = ""
    base_name: Callable[[str], str | None] = field(default=str)
    shared: bool = False

    def named(self, prefix: str, spec: Any) -> list[Entry]:
        """The entries with `prefix` before every source key."""
        return [
            replace(e, source=prefix + e.source, ties=tuple(prefix + tie for tie in e.ties))
            for e in self.entries(spec)
        ]

    @property
    def title(self) -> str:
        """Family, part and layout in a few words."""
        layout = f", {self.layout} names" if self.layout else ""
        return f"{self.family} {self.part}{layout}: {self.about}"


def prefixes(names: Iterable[str], markers: Sequence[str]) -> list[str]:
    """What stands before the markers: every prefix under which all of them are there."""
    names = set(names)
    first = (
        [name[: -len(markers[0])] for name in names if name.endswith(markers[0])] if markers else []
    )
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


def spec_of(section: Mapping[str, Any]) -> Any:
    """The spec that a `model` section of a configuration describes. Raises ConfigError where it is
    not one.
    """
    return OmegaConf.to_object(
        model_node(dict(section), {}, "the description of the network")
    ).spec()


def largest_divisor(widths: Iterable[int], most: int) -> int:
    """The largest of `most`, most / 2, ... that divides all widths."""
    while most > 1 and any(width % most for width in widths):
        most //= 2
    return most


def is_ignored(name: str, patterns: Iterable[str]) -> bool:
    """True where a pattern (a regular expression over the whole key) covers the name."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)
