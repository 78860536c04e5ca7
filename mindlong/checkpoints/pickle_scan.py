"""A look at a pickle without running it: which instructions it has, and which names it asks for.

A pickle is a program. The ones that PyTorch writes for weights use a small part of the language;
this list is that part, and a program with anything else is not read.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint

MAX_BYTES = 64 << 20  # of a weight file's program; 1500 tensors need about 0.2 MB
MAX_INSTRUCTIONS = 1_000_000  # the same 1500 tensors need 45 000
_PLAIN_WORDS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 "
    "LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES "
    "BYTEARRAY8 SHORT_BINSTRING BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST "
    "APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET BINPUT "
    "LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ NEWOBJ_EX "
    "BINPERSID"
)
PLAIN = frozenset(_PLAIN_WORDS.split())
MEMO, GET = ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"), ("BINGET", "LONG_BINGET", "GET")
STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")


@dataclass
class Scan:
    """What a pickle asks for.

    Attributes:
        names: `module.name` of everything it wants imported, in order of appearance; `?` where it
            is computed.
        foreign: instructions outside `PLAIN`, by name.
        instructions: how many there are.
        problem: why the program cannot be read to its end, or "".
    """

    names: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    instructions: int = 0
    problem: str = ""


def instructions(program: bytes, what: str) -> Iterator[tuple[str, object]]:
    """(name, argument) of every instruction, up to STOP.

    Raises:
        UnsafeCheckpoint: an instruction that weights have no use for, or far too many of them.
        CorruptCheckpoint: the program is damaged or ends early.
    """
    if len(program) > MAX_BYTES:
        raise UnsafeCheckpoint(
            f"{what}: a program of {len(program)} bytes; weight files need far less"
        )
    for count, (name, argument) in enumerate(_decoded(program, what), start=1):
        if name not in PLAIN:
            raise UnsafeCheckpoint(
                f"{what}: uses the pickle instruction {name}, which weights have no use for"
            )
        if count > MAX_INSTRUCTIONS:
            raise UnsafeCheckpoint(
                f"{what}: more than {MAX_INSTRUCTIONS} pickle instructions; weights need far fewer"
            )
        yield name, argument


def scan(program: bytes) -> Scan:
    """Everything a pickle asks for, even one that cannot be read: for a report, nothing is run."""
    found, asked = Scan(), _Asked()
    try:
        for name, argument in _decoded(program[:MAX_BYTES], "the pickle"):
            found.instructions += 1
            asked.see(name, argument)
            if name not in PLAIN and name not in found.foreign:
                found.foreign.append(name)
            if found.instructions > MAX_INSTRUCTIONS:
                found.problem = f"more than {MAX_INSTRUCTIONS} instructions"
                break
    except CorruptCheckpoint as error:
        found.problem = str(error)
    found.names = list(asked.names)
    return found


class _Asked:
    """The names that instructions ask for, by the strings before them; nothing else is followed."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.recent: list[
            str
        ] = []  # the last strings pushed: STACK_GLOBAL takes its name from there
        self.memo: dict[int, str | None] = {}
        self.pushed: str | None = None  # by the instruction before, where it was a string

    def see(self, name: str, argument: Any) -> None:
        if name in MEMO:
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.pushed
            return
        kept = self.memo.get(int(argument)) if name in GET else None
        self.pushed = str(argument) if name in STRINGS else kept
        if self.pushed is not None:
            self.recent = [*self.recent[-1:], self.pushed]
        elif name in ("GLOBAL", "INST"):
            self.names[str(argument).replace(" ", ".", 1)] = None
        elif name == "STACK_GLOBAL":
            self.names[".".join(self.recent) if len(self.recent) == 2 else "?"] = None


def split(data: bytes, most: int = 5) -> list[bytes]:
    """The first pickles of a file that holds several behind one another, as PyTorch wrote before
    1.6.
    """
    found: list[bytes] = []
    rest = io.BytesIO(data)
    while len(found) < most and rest.tell() < len(data):
        begin = rest.tell()
        try:
            for _ in zip(pickletools.genops(rest), range(MAX_INSTRUCTIONS), strict=False):
                pass
        except (ValueError, IndexError, OverflowError, MemoryError):
            return found or [data]
        found.append(data[begin : rest.tell()])
    return found


def _decoded(program: bytes, what: str) -> Iterator[tuple[str, object]]:
    try:
        for opcode, argument, _ in pickletools.genops(program):
            yield opcode.name, argument
    except (ValueError, IndexError, UnicodeError, OverflowError, MemoryError) as error:
        raise CorruptCheckpoint(f"{what}: its pickle is damaged ({str(error)[:80]})") from error
