"""Patterns of layers' names as PEFT has them in alpha_pattern: regular expressions of the name or
of its last words.

They come in files of strangers, and Python's own `re` needs longer than anybody waits for some of
them. So the parts that such patterns use are matched here by walking over all places of the name at
once, which takes no longer than the pattern is long times the name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 300  # characters of a pattern
DEEPEST = 20  # groups inside one another
_PLAIN = re.compile(r"[\w.-]+")
_TOKEN = re.compile(r"\\[dw]|\\\W|\[\^?[\w.-]+\]|[()|*+?^$.]|[\w-]")
_ENDS = ("", "|", ")")

Places = frozenset[int]
Step = Callable[[str, Places], Places]  # name, places reached in it -> places reached then


def is_plain(pattern: str) -> bool:
    """Whether a pattern is a name, or the end of one."""
    return _PLAIN.fullmatch(pattern) is not None


@dataclass(frozen=True)
class ModulePattern:
    """A pattern that is ready to be matched.

    Attributes:
        text: as the file has it. step: how it is walked; None for a plain name.
    """

    text: str
    step: Step | None

    @staticmethod
    @functools.lru_cache(maxsize=4096)
    def of(text: str) -> ModulePattern:
        """Read a pattern. Raises ValueError, the end of a sentence on the pattern."""
        return ModulePattern(text, None if is_plain(text) else _read(text))

    def names(self, name: str) -> bool:
        """Whether PEFT takes the pattern for a layer: `re.match(rf"(.*\\.)?({text})$", name)`."""
        if self.step is None:
            return _ends_so(name, self.text)
        starts = frozenset({0, *(place + 1 for place, char in enumerate(name) if char == ".")})
        return len(name) in self.step(name, starts)


def _ends_so(name: str, plain: str) -> bool:
    """Whether a plain pattern, whose dots are any character, is the name or its last words."""
    start = len(name) - len(plain)
    if start < 0 or (start and name[start - 1] != "."):
        return False
    return all(p in (".", c) for p, c in zip(plain, name[start:], strict=True))


def _read(text: str) -> Step:
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters, more than {LONGEST}")
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text:
        raise ValueError("is a pattern of a kind that is not read here")
    reader = _Reader([*tokens, ""])
    step = reader.choice(0)
    if reader.now:
        raise ValueError("has a ) without its (")
    return step


class _Reader:
    """Makes a step of tokens, the last of which is empty."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    @property
    def now(self) -> str:
        """The token that comes next."""
        return self.tokens[self.place]

    def take(self) -> str:
        """The next token, behind which the reader stands then."""
        self.place += 1
        return self.tokens[self.place - 1]

    def choice(self, depth: int) -> Step:
        """Sequences with | between them."""
        branches = [self.sequence(depth)]
        while self.now == "|":
            self.take()
            branches.append(self.sequence(depth))
        return functools.partial(_any_of, branches)

    def sequence(self, depth: int) -> Step:
        """Items one behind the other."""
        steps = []
        while self.now not in _ENDS:
            steps.append(self.item(depth))
        return functools.partial(_all_of, steps)

    def item(self, depth: int) -> Step:
        """A character, an end or a group, with how often it comes."""
        token = self.take()
        if token in "*+?":
            raise ValueError(f"has a {token} behind nothing that it could repeat")
        if token in "^$":
            return functools.partial(_at, token == "$")
        step = self.group(depth) if token == "(" else functools.partial(_one, _character(token))
        return self.repeated(step, token == "(")

    def group(self, depth: int) -> Step:
        """What stands between ( and )."""
        if depth >= DEEPEST:
            raise ValueError(f"has more than {DEEPEST} groups inside one another")
        step = self.choice(depth + 1)
        if self.take() != ")":
            raise ValueError("has a ( without its )")
        return step

    def repeated(self, step: Step, group: bool) -> Step:
        """A step as often as the next token says."""
        if self.now not in ("*", "+", "?"):
            return step
        often = self.take()
        if self.now in ("*", "+", "?"):
            raise ValueError("repeats a repetition, which is not read here")
        if often == "?":
            return functools.partial(_perhaps, step)
        if group:
            raise ValueError("repeats a group, which is not read here")
        return functools.partial(_repeated, step, often == "+")


def _character(token: str) -> re.Pattern[str]:
    try:
        return re.compile(token)
    except re.error:  # such as [z-a]
        raise ValueError(f"has {token}, which is no set of characters") from None


def _any_of(branches: list[Step], name: str, places: Places) -> Places:
    return frozenset().union(*(step(name, places) for step in branches))


def _all_of(steps: list[Step], name: str, places: Places) -> Places:
    for step in steps:
        places = step(name, places)
    return places


def _at(end: bool, name: str, places: Places) -> Places:
    return places & {len(name) if end else 0}


def _one(token: re.Pattern[str], name: str, places: Places) -> Places:
    return frozenset(p + 1 for p in places if p < len(name) and token.fullmatch(name[p]))


def _perhaps(step: Step, name: str, places: Places) -> Places:
    return places | step(name, places)


def _repeated(step: Step, once: bool, name: str, places: Places) -> Places:
    new = step(name, places)
    found = new if once else places | new
    while new:
        new = step(name, new) - found
        found |= new
    return found
