"""What stands for the objects of a pickle: tensors that are not read, and things stepped over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindlong.checkpoints.tensor_ref import TensorRef

MAX_VISITS = 200_000
_NUMBERS = {code: np.dtype(code) for code in ("b1", "f8", "f4", "f2", "i8", "i4", "i2", "i1")}
_NUMBERS |= {code: np.dtype(code) for code in ("u1", "u2", "u4", "u8")}


@dataclass(eq=False)
class Inert:
    """A thing that is neither imported nor built, only stepped over.

    Attributes:
        name: of its class or function.
        items: what was put into it by key, as into a table (an OrderedDict of one's own is one).
        inside: everything else that it was given.
    """

    name: str
    items: dict = field(default_factory=dict)
    inside: list = field(default_factory=list)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Unread:
    """A tensor in a form that is not read here; `words` say which."""

    words: str


def tensors_inside(thing: Inert) -> int:
    """How many tensors lie in a thing that was stepped over, beyond what its table holds."""
    seen: dict[int, object] = {}
    stack, count = list(thing.inside), 0
    while stack and len(seen) < MAX_VISITS:
        value = stack.pop()
        if isinstance(value, TensorRef | Unread):
            count += 1
        elif isinstance(value, dict | list | tuple | Inert) and id(value) not in seen:
            seen[id(value)] = value
            stack.extend(_children(value))
    return count


def _children(value: Any) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, Inert):
        yield from value.items.values()
        yield from value.inside
    else:
        yield from value


def numpy_number(arguments: tuple) -> int | float | bool | None:
    """The number that numpy's `scalar(dtype, bytes)` makes; None where it is none of the plain
    kinds.
    """
    if len(arguments) != 2 or not isinstance(arguments[0], Inert):
        return None
    code, big = _format(arguments[0])
    raw, kind = _bytes(arguments[1]), _NUMBERS.get(code)
    if kind is None or len(raw) != kind.itemsize:
        return None
    return np.frombuffer(raw, kind.newbyteorder(">" if big else "<"))[0].item()


def _format(dtype: Inert) -> tuple[str, bool]:
    """The code of `numpy.dtype(code, False, True)`, and whether its bytes stand in reverse."""
    given, state = (*dtype.inside, (), ())[:2]
    code = given[0] if isinstance(given, tuple) and given else ""
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    return (code if isinstance(code, str) else ""), order == ">"


def _bytes(value: object) -> bytes:
    """Bytes, or what protocol 2 writes for them: `_codecs.encode(text, "latin1")`."""
    if isinstance(value, Inert) and value.inside and isinstance(value.inside[0], tuple):
        text = value.inside[0][0] if value.inside[0] else ""
        try:
            return text.encode("latin1") if isinstance(text, str) else b""
        except UnicodeError:
            return b""
    return value if isinstance(value, bytes) else b""
