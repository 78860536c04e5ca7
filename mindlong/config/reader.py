"""A task or a pipeline as what reads keys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reader:
    """A task or a pipeline and the keys that it reads.

    Attributes:
        name: in messages, "pipeline pixel".
        reads: keys and sections. Of a section those keys are read whose own condition holds; "KEY!"
            is read whatever its condition says; "-KEY" and "-SECTION" are not read. The longest
            word that fits a key counts.
        others: the other readers, for messages.
    """

    name: str
    reads: tuple[str, ...]
    others: tuple[Reader, ...] = ()

    def covers(self, key: str) -> bool:
        """Whether the key is among those declared."""
        fitting = [word for word in self.reads if under(key, word.strip("-!"))]
        deciding = max(
            fitting, key=lambda word: (len(word.strip("-!")), word[0] == "-"), default="-"
        )
        return deciding[0] != "-"

    def always(self, key: str) -> bool:
        """Whether the key is read whatever its own condition says."""
        return f"{key}!" in self.reads

    def owners(self, key: str) -> str:
        """Which others read the key, in words."""
        found = [other.name for other in self.others if other.covers(key)]
        if not found:
            return "nothing reads it"
        kind = found[0].rpartition(" ")[0]
        listed = ", ".join(name.removeprefix(f"{kind} ") for name in found)
        return f"it belongs to {kind} {listed}"


def under(key: str, word: str) -> bool:
    """Whether a key is the one that a word names, or lies in the section that it names."""
    return key == word or key.startswith(f"{word}.")
