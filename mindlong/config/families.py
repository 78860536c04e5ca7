"""Which keys the `model` section has, by family."""

from __future__ import annotations

from mindlong.config.models import SCHEMAS
from mindlong.utils.errors import ConfigError, did_you_mean


def family_schema(family: str | None, where: str) -> type:
    """The dataclass of a family's model section. Raises ConfigError where the family is missing or
    unknown.
    """
    if family is None:
        raise ConfigError(
            f"{where}: model.family is missing; it must be one of {', '.join(SCHEMAS)}"
        )
    if family not in SCHEMAS:
        raise ConfigError(
            f"{where}: model.family is {family!r}.{did_you_mean(str(family), SCHEMAS)}"
        )
    return SCHEMAS[family]
