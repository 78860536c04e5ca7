"""Text from strangers (names in files, paths) as text that is safe to print."""

from __future__ import annotations


def printable(text: object, keep: str = "", most: int = 0) -> str:
    r"""`text` with everything that could move the cursor, fake a line or break the encoding written
    as an escape (`\n`, `\x1b`, `\ud800`, `\u202e`); all else, letters of any script, stays.

    Args:
        keep: characters that stay as they are, such as a line break of our own.
        most: a longer text is cut to so many characters, with `...` behind; 0: never.
    """
    made = "".join(c if c in keep or c.isprintable() else _escape(c) for c in str(text))
    return made[: most - 3] + "..." if most and len(made) > most else made


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
