"""Every kind of network that a file may hold, and the search for them in a file's names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mindlong.networks.clip import files as text_tower
from mindlong.networks.kind import Kind, prefixes
from mindlong.networks.unet import files as unets
from mindlong.networks.unet3d import files as vdm
from mindlong.networks.vae import files as autoencoder
from mindlong.utils.errors import ConfigError, did_you_mean

KINDS: tuple[Kind, ...] = (vdm.KIND, *unets.kinds(), *autoencoder.kinds(), *text_tower.kinds())


@dataclass(frozen=True)
class Hit:
    """A kind whose markers stand in a file behind `prefix`.

    Attributes:
        ours: they are our names.
        others: beginnings of names that belong to other networks of the file, or to another copy of
            this one.
        ignored: patterns of keys that hold no weights of any network of the file.
        based: the kind of another family that these weights are meant for as a start.
    """

    kind: Kind
    prefix: str
    ours: bool
    others: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    based: Kind | None = None

    @property
    def reason(self) -> str:
        """Why the file is taken for this."""
        marker = (self.kind.our_markers if self.ours else self.kind.markers)[0]
        side, use = (
            "ours of " if self.ours else "",
            f", as the start of {self.based.family}" if self.based else "",
        )
        return f"{side}{self.kind.title}{use} (it has {self.prefix}{marker})"


def find(names: Iterable[str], family: str | None = None, part: str | None = None) -> list[Hit]:
    """Every network in a file, at most one kind behind a prefix for each part; the kind with most
    markers wins.

    Args:
        family, part: only these; the networks that families share belong to each.

    Raises:
        ConfigError: an unknown family or part.
    """
    names = set(names)
    hits = []
    for kind in _chosen(family, part):
        hits += [Hit(kind, prefix, False) for prefix in prefixes(names, kind.markers)]
        hits += [Hit(kind, prefix, True) for prefix in prefixes(names, kind.our_markers)]
    best: dict[tuple[str, str], Hit] = {}
    for hit in sorted(
        hits, key=lambda hit: -len(hit.kind.our_markers if hit.ours else hit.kind.markers)
    ):
        best.setdefault((hit.kind.part, hit.prefix), hit)
    return list(best.values())


def families() -> list[str]:
    """The names of all families."""
    return sorted({kind.family for kind in KINDS})


def kinds_of(family: str, part: str) -> list[Kind]:
    """The kinds of a part of a family, one for each way of naming its tensors; the usual first."""
    return [kind for kind in KINDS if kind.part == part and (kind.shared or kind.family == family)]


def _chosen(family: str | None, part: str | None) -> Sequence[Kind]:
    for value, known, what in (
        (family, families(), "family"),
        (part, {k.part for k in KINDS}, "part"),
    ):
        if value is not None and value not in known:
            raise ConfigError(f"there is no {what} {value!r}.{did_you_mean(value, known)}")
    return [k for k in KINDS if (k.shared or family in (None, k.family)) and part in (None, k.part)]
