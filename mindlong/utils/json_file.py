"""Small JSON files of strangers: a table, or one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mindlong.utils.errors import InputFileError
from mindlong.utils.shown import shown

MAX_BYTES = 64 << 20


def read_table(
    path: Path, what: str = "", most: int = MAX_BYTES, error: type[InputFileError] = InputFileError
) -> dict[str, Any]:
    """The table (object) in a JSON file.

    Args:
        what: what the file should be, as "an index of shards".
        most: bytes that such a file has at most.
        error: the type that is raised.

    Raises:
        InputFileError: it is missing, no file, too large, not JSON or not a table.
    """
    place, meant = shown(path), f", {what}" if what else ""
    try:
        if not path.is_file():
            raise error(f"{place}: there is no such file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as caught:
        raise error(f"{place} cannot be read ({caught.strerror})") from None
    if len(data) > most:
        raise error(f"{place} has more than {most} bytes; it should be a small JSON file{meant}")
    try:
        table = json.loads(data.decode("utf-8-sig"), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as caught:
        reason = (
            shown(str(caught), most=80) if isinstance(caught, ValueError) else "nested too deep"
        )
        raise error(
            f"{place} is not readable JSON ({reason}); it should be a table{meant}"
        ) from None
    if not isinstance(table, dict):
        raise error(f"{place} holds a {type(table).__name__}; it should be a table{meant}")
    return table


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]}, which is not finite")
    return number
