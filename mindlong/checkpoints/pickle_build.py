"""From a pickle's instructions to tables of tensors, by an interpreter of our own that imports and
calls nothing.

Names resolve through a closed list to marks that only this file understands: OrderedDict,
torch.Size, the three functions that PyTorch writes before a tensor, and its storage classes.
Everything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mindlong.checkpoints.dtypes import BY_STORAGE, Format
from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint
from mindlong.checkpoints.pickle_scan import MAX_INSTRUCTIONS, instructions
from mindlong.checkpoints.report import matches
from mindlong.checkpoints.tensor_ref import Storage, TensorRef

MAX_DIMS = 32
DICT, SIZE, TENSOR, PARAMETER = "OrderedDict", "Size", "tensor", "parameter"
KNOWN = {
    "collections.OrderedDict": DICT,
    "torch.Size": SIZE,
    "torch._utils._rebuild_tensor": TENSOR,
    "torch._utils._rebuild_tensor_v2": TENSOR,
    "torch._utils._rebuild_parameter": PARAMETER,
}
_MARK = object()


def is_known(name: str) -> bool:
    """True for `module.name` of the closed list."""
    module, _, last = name.rpartition(".")
    return name in KNOWN or (module in ("torch", "torch.storage") and last in BY_STORAGE)


@dataclass(frozen=True)
class Known:
    """A name of the closed list, or a storage class (then with its format)."""

    role: str
    form: Format | None = None


@dataclass(frozen=True)
class Inert:
    """A thing the user allowed by pattern: it is neither imported nor built, only stepped over."""

    name: str


def build(program: bytes, what: str, inert: Sequence[str] = ()) -> object:
    """The value of a pickle: dicts, lists, tuples, strings, numbers and `TensorRef`.

    Args:
        what: the file's name, for errors.
        inert: patterns of further names, such as `pytorch_lightning.*`, whose objects are stepped
            over.

    Raises:
        UnsafeCheckpoint: it asks for anything else.
        CorruptCheckpoint: it is damaged.
    """
    machine = _Machine(what, inert)
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
    """A pickle's stack and memo."""

    def __init__(self, what: str, inert: Sequence[str]) -> None:
        self.what, self.inert = what, tuple(inert)
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.ordered: dict[
            int, dict
        ] = {}  # made by OrderedDict, by identity; they may carry a state (dropped)
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
        if type(target) is list:
            target.extend(values)
        elif not isinstance(target, Inert):
            raise self.unsafe(f"it appends to {_kind(target)}")

    def do_setitem(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def do_setitems(self, _: object) -> None:
        self.update(self.items())

    def update(self, values: list) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            return
        if type(target) is not dict:
            raise self.unsafe(f"it sets items of {_kind(target)}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            self.put(target, key, value)

    def put(self, target: dict, key: object, value: object) -> None:
        if not isinstance(key, (str, int, float, type(None), Inert)):
            raise self.unsafe(f"a table has {_kind(key)} as a key")
        target[key] = value

    def do_memo(self, argument: object) -> None:
        self.memo[int(argument)] = self.stack[-1]

    def do_memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_get(self, argument: object) -> None:
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
        if full in KNOWN:
            return Known(KNOWN[full])
        if module in ("torch", "torch.storage") and name in BY_STORAGE:
            return Known("storage", BY_STORAGE[name])
        if matches(full, self.inert):
            return Inert(full)
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            raise self.unsafe(f"it holds tensors of {full}, a number format that is not read here")
        raise self.unsafe(f"it asks for {full[:200]!r}, which weights have no use for")

    def do_reduce(self, _: object) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Inert):
            self.stack.append(Inert(f"{function.name}(...)"))
        elif not isinstance(function, Known) or type(arguments) is not tuple:
            raise self.unsafe(f"it calls {_kind(function)}")
        else:
            self.stack.append(self.call(function.role, arguments))

    def call(self, role: str, arguments: tuple) -> object:
        if role == DICT:
            return self.table(arguments[0] if arguments else [])
        if role == SIZE:
            return self.naturals(arguments[0])
        if role == TENSOR:
            return self.tensor(*arguments[:4])
        if role == PARAMETER and isinstance(arguments[0], TensorRef):
            return arguments[0]
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

    def tensor(self, storage: object, offset: object, shape: object, stride: object) -> TensorRef:
        if not isinstance(storage, Storage):
            raise self.unsafe(f"it makes a tensor of {_kind(storage)}")
        shape, stride = self.naturals(shape), self.naturals(stride)
        if len(shape) != len(stride):
            raise CorruptCheckpoint(
                f"{self.what}: a tensor of shape {shape[:8]} with strides {stride[:8]}"
            )
        ref = TensorRef(storage, self.natural(offset), shape, stride)
        if ref.offset + ref.extent > storage.count:
            raise CorruptCheckpoint(
                f"{self.what}: a tensor of shape {list(shape)}, offset {ref.offset} and strides "
                f"{list(stride)} reaches beyond its storage of {storage.count} numbers"
            )
        if ref.count > storage.count:
            raise CorruptCheckpoint(
                f"{self.what}: a tensor of shape {list(shape)} is laid over a storage of only "
                f"{storage.count} numbers"
            )
        return ref

    def naturals(self, values: object) -> tuple[int, ...]:
        if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMS:
            raise CorruptCheckpoint(
                f"{self.what}: a shape or stride of a tensor is not a short list of numbers"
            )
        return tuple(self.natural(n) for n in values)

    def natural(self, value: object) -> int:
        if type(value) is not int or not 0 <= value < 2**62:
            raise CorruptCheckpoint(
                f"{self.what}: a size, stride or offset of a tensor is {str(value)[:40]}"
            )
        return value

    def do_newobj(self, _: object) -> None:
        _, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, Inert):
            raise self.unsafe(f"it makes an object of {_kind(made)}")
        self.stack.append(made)

    def do_build(self, _: object) -> None:
        """A state for what is on the stack: only OrderedDict has one (torch's version marks), and
        it is dropped.
        """
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            return
        if type(target) is not dict or id(target) not in self.ordered or type(state) is not dict:
            raise self.unsafe(f"it sets the state of {_kind(target)}")

    def do_binpersid(self, _: object) -> None:
        self.stack.append(self.storage(self.stack.pop()))

    def storage(self, value: object) -> Storage:
        if type(value) is not tuple or len(value) != 5 or value[0] != "storage":
            raise self.unsafe("it refers to something outside the file that is not a storage")
        _, kind, key, _, count = value
        sound = (
            isinstance(kind, Known)
            and kind.form
            and isinstance(key, str)
            and key.isascii()
            and key.isdecimal()
        )
        if not sound:
            raise self.unsafe("it refers to a storage of an unknown kind")
        return Storage(key, kind.form, self.natural(count))


_CONSTANT = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_PUSH = frozenset(
    (
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINSTRING",
        "SHORT_BINSTRING",
    )
)
_SAME = {"BINPUT": "memo", "LONG_BINPUT": "memo", "BINGET": "get", "LONG_BINGET": "get"}


def _kind(value: object) -> str:
    """What a value is, in a word, without its content."""
    return value.name if isinstance(value, Inert) else f"a {type(value).__name__}"
