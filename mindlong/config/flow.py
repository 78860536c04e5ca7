"""Lists and mappings as they are written on a command line: [a red circle, moving right],
{0-7: a cat, 8-15: a dog}.

Nothing in them is special but the commas between their parts, the colon behind a key, and quotes
around a part: a prompt may hold #, braces and apostrophes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import yaml

from mindlong.utils.errors import ConfigError

QUOTED = re.compile(r"\s*('(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\")\s*(?=[,:\]}]|$)", re.S)
KEY = re.compile(r"\s*('(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|[^:]*?)\s*:(?:\s+|$|(?=['\"\[{]))", re.S)
PAIRS = {"[": "]", "{": "}"}


class Plain(str):
    """Words without quotes: what they mean (a text, a number, yes) depends on their key."""

    __slots__ = ()


def is_flow(text: str, opening: str) -> bool:
    """Whether a text is a list ("[") or a mapping ("{") from its first letter to its last."""
    text = text.strip()
    return len(text) > 1 and text[0] == opening and text[-1] == PAIRS[opening]


def parts(text: str) -> list[str]:
    """What stands between the commas of a list or mapping, brackets taken off; commas within
    quotes or inner brackets part nothing.
    """
    inner, found, at, start, depth = text.strip()[1:-1], [], 0, 0, 0
    begins = True
    while at < len(inner):
        quoted = QUOTED.match(inner, at) if begins else None
        if quoted:
            at, begins = quoted.end(), False
            continue
        letter = inner[at]
        depth = max(depth + (letter in "[{") - (letter in "]}"), 0)
        if letter == "," and not depth:
            found.append(inner[start:at])
            start = at + 1
        begins = letter in ",:[{" or (begins and letter.isspace())
        at += 1
    found.append(inner[start:])
    return [part.strip() for part in found if part.strip()]


def written(texts: Iterable[str]) -> str:
    """The list of these texts as it is typed; those that would be read as something else stand in
    quotes.
    """
    return f"[{', '.join(text if _stays(text) else _in_quotes(text) for text in texts)}]"


def _stays(text: str) -> bool:
    """Whether a text is itself where it stands without quotes, alone or among others."""
    alone = text.isprintable() and parts(f"[{text}]") == [text] and unquoted(text) == text
    return alone and parts(f"[{text}, x]") == [text, "x"]


def _in_quotes(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def entries(text: str) -> list[tuple[str, str]]:
    """(key, value) of every entry of a mapping. Raises ConfigError for a part without a key."""
    found = []
    for part in parts(text):
        match = KEY.match(part) or re.match(r"\s*([^:]*):", part)
        if not match:
            raise ConfigError(
                f"{part!r} has no key; entries are written KEY: VALUE, and a value that holds a "
                "comma stands in quotes"
            )
        found.append((unquoted(match[1]), part[match.end() :].strip()))
    return found


def unquoted(text: str) -> str:
    """A text without the quotes around it; a Plain where there are none."""
    text = text.strip()
    match = QUOTED.match(text)
    if not match or match.end() != len(text):
        return Plain(text)
    try:
        return str(yaml.safe_load(text))
    except yaml.YAMLError:
        return text[1:-1]
