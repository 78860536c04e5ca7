"""Files that hold tensors but no network that is known here: what they are, from their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mindlong.networks.stranger_marks import ADDITIONS, INSTEAD, MODELS, QUANTISED, STATE, Row

MANY, LONG = 100_000, 300  # names looked at, and letters of each


def describe(weights: Mapping[str, Any]) -> str:
    """The end of a sentence on a file in which no known network was found."""
    names = list(weights)
    if not names:
        return "holds no tensors"
    text = _text(names)
    if re.search(QUANTISED, text, re.MULTILINE):
        return (
            "holds quantised weights (bitsandbytes, GPTQ, scaled float8 or the like), which are not read "
            "here; take the float16, bfloat16 or float32 file of the same model"
        )
    what = _first(ADDITIONS, text) or _first(MODELS, text)
    if what:
        return f"is {what}; it is not read here ({len(names)} tensors, first {names[0][:100]!r})"
    if re.search(STATE, text):
        return "holds the state of an optimizer, not weights"
    shown = ", ".join(repr(name[:100]) for name in names[:3])
    return (
        f"holds {len(names)} tensors ({shown}, ...) and none of the networks known here; "
        "tools/inspect_checkpoint.py lists them"
    )


def model(names: Iterable[str]) -> str:
    """What a network is that is not known here, as the end of a sentence; "" where no mark fits."""
    what = _first(MODELS, _text(names))
    return f"is {what}; it is not read here" if what else ""


def instead(part: str, names: Iterable[str]) -> str:
    """What a network is whose names hold all marks of a known one, as the end of a sentence; ""
    where it is the known one.

    Args:
        part: what it was taken for: unet, vae, text_encoder.
        names: its tensors, without what stands before them in the file.
    """
    what = _first(INSTEAD.get(part, ()), _text(names))
    return f"is {what}; it is not read here" if what else ""


def _first(rows: Sequence[Row], text: str) -> str:
    fitting = (
        what for what, *marks in rows if all(re.search(m, text, re.MULTILINE) for m in marks)
    )
    return next(fitting, "")


def _text(names: Iterable[str]) -> str:
    """Names, one a line."""
    return "\n".join(name[:LONG] for name, _ in zip(names, range(MANY), strict=False))
