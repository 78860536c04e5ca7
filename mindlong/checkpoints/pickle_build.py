"""From a pickle's instructions to tables of tensors, by an interpreter of our own that imports and
calls nothing.

Names resolve through closed lists (`pickle_names`) to marks that only this file understands.
Objects of harmless names, and of those that the user allows, are stepped over unbuilt. All other
names are refused together, in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mindlong.checkpoints import pickle_names as names
from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint
from mindlong.checkpoints.pickle_names import Known
from mindlong.checkpoints.pickle_scan import MAX_INSTRUCTIONS, instructions
from mindlong.checkpoints.pickle_tensors import naturals, of_named_format, storage_of, tensor
from mindlong.checkpoints.pickle_values import Inert, Unread, numpy_number
from mindlong.checkpoints.tensor_ref import TensorRef

_MARK = object()


def build(program: bytes, what: str, inert: Sequence[str] = ()) -> object:
    """The value of a pickle: dicts, lists, tuples, strings, numbers, `TensorRef`, `Unread` and
    `Inert`.

    Args:
        what: the file's name, for errors.
        inert: patterns of further names, such as `mypackage.*`, whose objects are stepped over.

    Raises:
        UnsafeCheckpoint: it asks for anything else; all names stand in the sentence.
        CorruptCheckpoint: it is damaged.
    """
    machine = _Machine(what, inert)
    try:
        value = _run(machine, program, what)
    except (CorruptCheckpoint, UnsafeCheckpoint):
        if not machine.strange:
            raise
    if machine.strange:
        raise machine.unsafe(names.refusal(machine.strange))
    return value


def _run(machine: _Machine, program: bytes, what: str) -> object:
    try:
        for name, argument in instructions(program, what):
            if name == "STOP":
                return machine.result()
            machine.step(name, argument)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise CorruptCheckpoint(
            f"{what}: its pickle contradicts itself ({type(error).__name__})"
        ) from error
    raise CorruptCheckpoint(f"{what}: its pickle ends early")


class _Machine:
    """A pickle's stack and memo.

    Attributes:
        strange: names that neither the lists nor the user know, in order of appearance.
    """

    def __init__(self, what: str, inert: Sequence[str]) -> None:
        self.what, self.inert = what, tuple(inert)
        self.strange: dict[str, None] = {}
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.ordered: dict[int, dict] = {}  # made by OrderedDict; they may carry a state (dropped)
        self.copied = 0

    def step(self, name: str, argument: object) -> None:
        """Do one instruction."""
        if name in _PUSH:
            self.stack.append(argument)
        elif name in _CONSTANT:
            self.stack.append(_CONSTANT[name]())
        elif name not in ("PROTO", "FRAME"):
            getattr(self, f"do_{_SAME.get(name, name).lower()}")(argument)

    def result(self) -> object:
        """What is left at STOP."""
        value = self.stack.pop()
        if self.stack:
            raise CorruptCheckpoint(f"{self.what}: its pickle leaves {len(self.stack)} things over")
        return value

    def unsafe(self, sentence: str) -> UnsafeCheckpoint:
        return UnsafeCheckpoint(f"{self.what}: {sentence}. Nothing of it was run")

    def items(self) -> list:
        """What was pushed since the last mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise CorruptCheckpoint(f"{self.what}: its pickle lacks a mark")

    def do_mark(self, _: object) -> None:
        self.stack.append(_MARK)

    def do_pop(self, _: object) -> None:
        self.stack.pop()

    def do_pop_mark(self, _: object) -> None:
        self.items()

    def do_dup(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def do_tuple(self, _: object) -> None:
        self.stack.append(tuple(self.items()))

    def do_tuple1(self, _: object) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def do_tuple2(self, _: object) -> None:
        self.pack(2)

    def do_tuple3(self, _: object) -> None:
        self.pack(3)

    def pack(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def do_append(self, _: object) -> None:
        value = self.stack.pop()
        self.extend([value])

    def do_appends(self, _: object) -> None:
        self.extend(self.items())

    def extend(self, values: list) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.inside.extend(values)
        elif type(target) is list:
            target.extend(values)
        else:
            raise self.unsafe(f"it appends to {_kind(target)}")

    def do_empty_set(self, _: object) -> None:
        self.stack.append(Inert("builtins.set"))

    def do_additems(self, _: object) -> None:
        values = self.items()
        if not isinstance(self.stack[-1], Inert):
            raise self.unsafe(f"it adds to {_kind(self.stack[-1])}")
        self.stack[-1].inside.extend(values)

    def do_frozenset(self, _: object) -> None:
        self.stack.append(Inert("builtins.frozenset", inside=self.items()))

    def do_setitem(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def do_setitems(self, _: object) -> None:
        self.update(self.items())

    def update(self, values: list) -> None:
        target = self.stack[-1]
        if type(target) is not dict and not isinstance(target, Inert):
            raise self.unsafe(f"it sets items of {_kind(target)}")
        table = target.items if isinstance(target, Inert) else target
        for key, value in zip(values[::2], values[1::2], strict=True):
            self.put(table, key, value)

    def put(self, table: dict, key: object, value: object) -> None:
        if not isinstance(key, str | int | float | bytes | Inert | None) and not (
            type(key) is tuple and all(isinstance(k, str | int | float) for k in key)
        ):
            raise self.unsafe(f"a table has {_kind(key)} as a key")
        table[key] = value

    def do_memo(self, argument: int) -> None:
        self.memo[int(argument)] = self.stack[-1]

    def do_memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, argument: int) -> None:
        self.stack.append(self.memo[int(argument)])

    def do_global(self, argument: object) -> None:
        module, name = str(argument).split(" ", 1)
        self.stack.append(self.resolve(module, name))

    def do_stack_global(self, _: object) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise self.unsafe("it computes the name of something to import")
        self.stack.append(self.resolve(module, name))

    def resolve(self, module: str, name: str) -> Known | Inert:
        full = f"{module}.{name}"
        found = names.known(full)
        if found is not None:
            return found
        if not names.is_inert(full, self.inert):
            self.strange[full] = None
        return Inert(full)

    def do_reduce(self, _: object) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Inert):
            self.stack.append(Inert(function.name, inside=[arguments]))
        elif not isinstance(function, Known) or type(arguments) is not tuple:
            raise self.unsafe(f"it calls {_kind(function)}")
        else:
            self.stack.append(self.call(function, arguments))

    def call(self, function: Known, arguments: tuple) -> object:
        role = function.role
        if role == names.DICT:
            return self.table(arguments[0] if arguments else [])
        if role == names.SIZE:
            return naturals(arguments[0], self.what)
        if role == names.TENSOR:
            storage, offset, shape, stride = arguments[:4]
            return tensor(storage, offset, shape, stride, self.what)
        if role == names.TENSOR3:
            return of_named_format(arguments, self.what)
        if role == names.UNREAD:
            return Unread(function.words)
        if role == names.SCALAR:
            number = numpy_number(arguments)
            return Inert("numpy scalar", inside=[arguments]) if number is None else number
        return self.wrapped(role, arguments)

    def wrapped(self, role: str, arguments: tuple) -> object:
        """A tensor with something around it: a Parameter, or a class or attributes of its own."""
        if role == names.PARAMETER and isinstance(arguments[0], TensorRef | Unread):
            return arguments[0]
        if role == names.TYPED and isinstance(arguments[0], Known) and type(arguments[2]) is tuple:
            inner = arguments[0].role in (names.TENSOR, names.TENSOR3, names.UNREAD)
            if inner:
                return self.call(arguments[0], arguments[2])
        raise self.unsafe(f"it calls {role} with {_kind(arguments[0])}")

    def table(self, pairs: Sequence) -> dict:
        self.copied += len(pairs)  # one list may be named by many calls
        if self.copied > MAX_INSTRUCTIONS:
            raise self.unsafe("it copies one list over and over")
        made: dict = {}
        self.ordered[id(made)] = made
        for key, value in pairs:
            self.put(made, key, value)
        return made

    def do_newobj(self, _: object) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, Inert):
            raise self.unsafe(f"it makes an object of {_kind(made)}")
        self.stack.append(Inert(made.name, inside=[arguments]))

    def do_newobj_ex(self, _: object) -> None:
        named = self.stack.pop()
        self.do_newobj(None)
        self.stack[-1].inside.append(named)

    def do_long4(self, _: object) -> None:
        self.stack.append(Inert("a number of many digits"))

    def do_build(self, _: object) -> None:
        """A state for what is on the stack: only OrderedDict has one (torch's version marks), and
        it is dropped; of things stepped over it is kept aside.
        """
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.inside.append(state)
        elif type(target) is not dict or id(target) not in self.ordered or type(state) is not dict:
            raise self.unsafe(f"it sets the state of {_kind(target)}")

    def do_binpersid(self, _: object) -> None:
        self.stack.append(storage_of(self.stack.pop(), self.what))


_CONSTANT: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_PUSH_WORDS = (
    "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES "
    "BYTEARRAY8 BINSTRING SHORT_BINSTRING"
)
_PUSH = frozenset(_PUSH_WORDS.split())
_SAME = {
    "BINPUT": "memo",
    "LONG_BINPUT": "memo",
    "BINGET": "get",
    "LONG_BINGET": "get",
}


def _kind(value: object) -> str:
    """What a value is, in a word, without its content."""
    return value.name if isinstance(value, Inert) else f"a {type(value).__name__}"
