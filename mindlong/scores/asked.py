"""What the commands that measure have in common: numbers within limits, names of videos and of
ways, and a JSON file of what was found.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindlong.utils.atomic import write_text
from mindlong.utils.errors import ConfigError

ANY = math.inf  # a number may be as large as it likes


def in_limits(args: argparse.Namespace, limits: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers, alone or in lists, outside of (least, most); an option that is not given has
    none. Raises ConfigError.
    """
    for name, (least, most) in limits.items():
        held = getattr(args, name)
        for value in held if isinstance(held, list) else [held]:
            if value is not None and not least <= value <= most:
                bound = f"at least {least}" if value < least else f"at most {most}"
                raise ConfigError(f"{name} is {value}; it must be {bound}")


def twice(given: Sequence[Any]) -> Any:
    """The first thing that is given again, None where all differ."""
    return next((one for number, one in enumerate(given) if one in given[:number]), None)


def names_of(videos: Sequence[Path]) -> list[str]:
    """What a table and a JSON file call videos: the name of the file, or the whole path where two
    have that name. Raises ConfigError where a video is named twice.
    """
    if twice(videos):
        raise ConfigError("a video is named twice")
    names = [path.name for path in videos]
    return [p.name if names.count(p.name) == 1 else str(p) for p in videos]


def refuse_equal(names: Sequence[str], what: str) -> None:
    """Raises ConfigError where two `what` are called the same: of a table or a JSON file only one
    would be left.
    """
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{names.count(name)} {what} are called {name!r}; --names needs a name of its own for each"
            )


def write_json(path: Path, found: Any) -> None:
    """Write what json can hold; JSON has no NaN and no infinity, so such numbers become null."""
    write_text(path, json.dumps(_finite(found), indent=1, allow_nan=False) + "\n")


def _finite(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _finite(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
