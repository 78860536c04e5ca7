"""Names and texts of strangers as they may be printed: what would move the cursor, forge a line or
break the output is escaped.
"""

from __future__ import annotations

import os

_JOINERS = "\u200c\u200d"  # parts of words in several scripts


def shown(name: object, keep: str = "", most: int = 0) -> str:
    r"""`name` (a path, a text, an error) on one line, fit for a terminal, a log and a JSON file.

    Control characters, marks that reverse the direction of writing and lone surrogates are escaped;
    a byte of a path that is not UTF-8 becomes `\xff`. Letters of every script stay.

    Args:
        keep: letters that stay as they are, such as a line break of our own.
        most: a longer text is cut to so many letters, `...` at its end; 0: never.
    """
    plain = os.fspath(name) if isinstance(name, os.PathLike) else name
    text = os.fsdecode(plain) if isinstance(plain, bytes) else str(plain)
    if not text.isprintable():
        text = "".join(letter if letter in keep else _escaped(letter) for letter in text)
    return text[: most - 3] + "..." if most and len(text) > most else text


def _escaped(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python could not decode
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
