"""What a program has asked for already: results kept by their arguments while it holds a model.

A command reads its files anew every time. A model that a program has loaded stays what it was when
it was loaded, and none of its calls reads the weights again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

Memory = MutableMapping[Hashable, Any]
T = TypeVar("T", bound=Callable[..., Any])
_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Inside, functions under `remembered` look into `memory` first."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def remembered(function: T) -> T:
    """Keep what `function` returns, by its arguments, inside `remembering`; outside, nothing."""

    @functools.wraps(function)
    def asked(*given: Any, **named: Any) -> Any:
        memory = _memory.get()
        if memory is None:
            return function(*given, **named)
        key = (function.__qualname__, known_by(given), known_by(named))
        if key not in memory:
            memory[key] = function(*given, **named)
        return memory[key]

    return asked  # type: ignore[return-value]


def known_by(value: Any) -> str:
    """A text that equal arguments share: texts, numbers, and dataclasses of them."""
    return json.dumps(value, sort_keys=True, default=_fields)


def _fields(value: Any) -> Any:
    plain = is_dataclass(value) and not isinstance(value, type)
    return asdict(value) if plain else str(value)
