"""Which keys the `model` section has, by family, and the network that it describes."""

from __future__ import annotations

from mindlong.networks import table
from mindlong.utils.errors import ConfigError, did_you_mean


def family_schema(family: str | None, where: str) -> type:
    """The dataclass of a family's model section. Raises ConfigError where the family is missing or
    unknown.
    """
    known = table.families()
    if family is None:
        raise ConfigError(f"{where}: model.family is missing; it must be one of {', '.join(known)}")
    if family not in known:
        raise ConfigError(f"{where}: model.family is {family!r}.{did_you_mean(str(family), known)}")
    return table.get(family).keys
