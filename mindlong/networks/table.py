"""The table of networks: every family that is known, in its role, with everything the house asks of
it; and the search for networks in a file's names.

A family plugs in from a module of its own (docs/adding_a_network.md): by `register`, or, for the
commands, by the environment variable MINDLONG_NETWORKS, which names modules with a tuple NETWORKS
(`my_package.networks,other`); they are imported when the table is first asked.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mindlong.networks.format import Format, Names, prefixes
from mindlong.networks.network import ROLES, Network
from mindlong.utils.errors import ConfigError, did_you_mean

OURS = (  # modules of mindlong.networks with a tuple NETWORKS; imported when they are asked for
    "unet3d.network",
    "unet.network",
    "vae.network",
    "clip.network",
    "bert.network",
    "cogvideox.network",
    "cogvideox_vae.network",
    "t5.network",
    "unet.motion_network",
    "resampler.network",
)
PLUGINS = "MINDLONG_NETWORKS"
_TABLE: dict[str, Network] = {}
_OURS_LEFT = list(OURS)
_LOADING = threading.RLock()
_TO_IMPORT: list[str] = [name for name in os.environ.get(PLUGINS, "").split(",") if name]


def register(*networks: Network) -> None:
    """Add families to the table. Raises ValueError where a name is taken."""
    _load_ours()
    _add(networks)


def _load_ours() -> None:
    with _LOADING:
        while _OURS_LEFT:
            _add(importlib.import_module(f"mindlong.networks.{_OURS_LEFT.pop(0)}").NETWORKS)


def _add(networks: Iterable[Network]) -> None:
    for network in networks:
        if network.family in _TABLE:
            raise ValueError(f"there is a family {network.family!r} already")
        _TABLE[network.family] = network


@contextmanager
def registered(*networks: Network) -> Iterator[None]:
    """`register` for as long as the context lasts."""
    register(*networks)
    try:
        yield
    finally:
        for network in networks:
            del _TABLE[network.family]


def networks(role: str | None = None) -> list[Network]:
    """The entries of a role, or all of them, role by role and in the order they came in.

    Raises:
        ConfigError: a module named by MINDLONG_NETWORKS cannot be used.
    """
    _load_ours()
    while _TO_IMPORT:
        _plug_in(_TO_IMPORT.pop(0))
    found = sorted(_TABLE.values(), key=lambda network: ROLES.index(network.role))
    return [network for network in found if role in (None, network.role)]


def _plug_in(module: str) -> None:
    try:
        register(*importlib.import_module(module).NETWORKS)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{PLUGINS} names {module!r}, which does not give a tuple NETWORKS: {error}"
        ) from None


def families(role: str | None = None) -> list[str]:
    """The names of a role's families."""
    return [network.family for network in networks(role)]


def get(family: str, role: str | None = None) -> Network:
    """The entry of a family. Raises ConfigError where there is none in that role."""
    known = families(role)
    if family not in known:
        what = f" in the role {role}" if role else ""
        raise ConfigError(f"there is no family {family!r}{what}.{did_you_mean(family, known)}")
    return _TABLE[family]


def has_feature(family: str, feature: str) -> bool:
    """Whether a family's denoising network can do something, by a word of FEATURES."""
    return family in with_feature(feature)


def with_feature(feature: str) -> list[str]:
    """The families whose denoising network can do it."""
    return [n.family for n in networks("network") if n.denoiser and feature in n.denoiser.features]


def beside(
    family: str, sections: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Network]:
    """Role -> the network that stands beside the one of `family`.

    Args:
        sections: role -> a model section, whose `family` rules; where there is none, it is the
            usual one. A role that nothing is said of has none.

    Raises:
        ConfigError: a family that is not known in that role.
    """
    denoiser, sections = get(family).denoiser, sections or {}
    usual = dict(denoiser.usual) if denoiser else {}
    said = {role: section.get("family", usual.get(role)) for role, section in sections.items()}
    return {role: get(name, role) for role, name in {**usual, **said}.items() if name}


def parts() -> dict[str, str]:
    """What networks are called in our files -> their role."""
    return {network.part: network.role for network in networks()}


def role_of(part: str) -> str:
    """The role that a part's or a role's name means. Raises ConfigError for another word."""
    known = {**parts(), **dict.fromkeys(ROLES)}
    if part not in known:
        raise ConfigError(f"there is no part {part!r}.{did_you_mean(part, known)}")
    return known[part] or part


@dataclass(frozen=True)
class Match:
    """A network whose markers stand in a file behind `prefix`.

    Attributes:
        format: the way in which the file names its tensors; the usual one where they are ours.
        ours: they are our names.
        others: beginnings of names that belong to other networks of the file, or to another copy of
            this one.
        ignored: patterns of keys that hold no weights of any network of the file.
        based: the network of another family that these weights are meant for as a start.
        alike: the families that it may be, by the file's names and shapes; (): as the network says.
    """

    format: Format
    prefix: str
    ours: bool
    others: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    based: Network | None = None
    alike: tuple[str, ...] = ()

    @property
    def network(self) -> Network:
        """The network that it is."""
        return self.format.network

    @property
    def markers(self) -> tuple[str, ...]:
        """What it was recognised by."""
        return self.network.our_markers if self.ours else self.format.markers

    @property
    def reason(self) -> str:
        """Why the file is taken for this."""
        side, use = (
            "ours of " if self.ours else "",
            f", as the start of {self.based.family}" if self.based else "",
        )
        names = self.alike or self.network.alike
        others = [name for name in names if name != self.network.family]
        alike = f"; or {' or '.join(others)}, whose tensors are the same" if others else ""
        return f"{side}{self.format.title}{use}{alike} (it has {self.prefix}{self.markers[0]})"


def of_images(*given: str) -> list[str]:
    """The families that are conditioned on images in one of the ways `given` (`Images.given`)."""
    return [
        network.family
        for network in networks("network")
        if network.denoiser and network.denoiser.images
        if network.denoiser.images.given in given
    ]


def find(
    names: Iterable[str],
    family: str | None = None,
    part: str | None = None,
    extras: bool = False,
) -> list[Match]:
    """Every network in a file, at most one behind a prefix for each part; the one with most markers
    wins.

    Args:
        family, part: only these; the networks that families share belong to each.
        extras: also those that are found only where they are asked for.

    Raises:
        ConfigError: an unknown family or part.
    """
    names = Names(names)
    matches: list[Match] = []
    for network in _chosen(family, part):
        usual = network.formats[0]
        matches += [Match(usual, prefix, True) for prefix in prefixes(names, network.our_markers)]
        for form in network.formats:
            matches += [Match(form, prefix, False) for prefix in prefixes(names, form.markers)]
    best: dict[tuple[str, str], Match] = {}
    for match in sorted(matches, key=lambda match: -len(match.markers)):
        best.setdefault((match.network.part, match.prefix), match)
    found = list(best.values())
    return found if extras or part or family else _without_extras(found)


def _without_extras(matches: list[Match]) -> list[Match]:
    """The matches without what does not belong to a network that was found, unless it is all there
    is.
    """
    wanted = {role for m in matches if m.network.denoiser for role in m.network.denoiser.usual}
    kept = [m for m in matches if not m.network.asked_for or m.network.role in wanted]
    return kept or matches


def _chosen(family: str | None, part: str | None) -> Sequence[Network]:
    role = role_of(part) if part else None
    entry = get(family) if family else None
    return [
        network
        for network in networks(role)
        if part in (None, network.part, network.role)
        and (entry is None or network is entry or _beside(network, entry))
    ]


def _beside(network: Network, entry: Network) -> bool:
    """Whether a network may stand beside the one that denoises."""
    if not network.shared or entry.shared:
        return False
    usual = entry.denoiser.usual if entry.denoiser else {}
    return not network.asked_for or network.role in usual
