"""Everything that a cell's graph is compiled from, as text: two cells with one text have one graph.

MindSpore compiles what `construct` finds: the classes' code, the attributes of every cell below,
and the names, shapes and types of parameters. Code of this package is told apart by the digest of
its files, code of MindSpore by its version, code from elsewhere by the digest of its file. What
cannot be told apart is an error, and such a cell is compiled as ever.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

import mindlong

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), slice, range, PurePath)
OURS = Path(mindlong.__file__).parent
KNOWN = ("mindlong", "mindspore", "numpy", "builtins")  # whose code the version or digest tells
# attributes that MindSpore itself gives every cell; of these only some change a graph
_BARE = frozenset(vars(nn.Cell()))
_TELLING = ("training", "requires_grad", "mixed_precision_type", "cell_type", "_amp_level")
_LATER = {"sequence_modified", "__compile_cell_hook__", "__parse_method__", "current_phase"}


class Untold(Exception):
    """Something in a cell has no text that tells it apart from others."""


def described(cell: nn.Cell, inputs: Sequence[Tensor | None]) -> str:
    """The text of a cell called with tensors like `inputs`. Raises Untold."""
    given = ["no input" if x is None else f"input {x.dtype} {x.shape}" for x in inputs]
    return "\n".join([*given, f"code {code_digest()}", *_Walk().lines("", cell)])


@functools.lru_cache(None)
def code_digest() -> str:
    """The digest of this package's code, Python and C++."""
    found = hashlib.sha256()
    for path in sorted(p for p in OURS.rglob("*") if p.suffix in (".py", ".cc", ".h")):
        found.update(str(path.relative_to(OURS)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


class _Walk:
    """One walk through a cell; what was met before is named by the number of its first meeting."""

    def __init__(self) -> None:
        self.met: dict[int, tuple[int, Any]] = {}  # the object is held, or its id were free again

    def lines(self, name: str, value: Any) -> Iterator[str]:
        """A line for everything below `value`, which is called `name`."""
        if isinstance(value, PLAIN):
            yield f"{name} = {value!r}"
            return
        if id(value) in self.met:
            yield f"{name} = #{self.met[id(value)][0]}"
            return
        self.met[id(value)] = (len(self.met), value)
        yield from self._opened(name, value)

    def _opened(self, name: str, value: Any) -> Iterator[str]:
        for kind, opened in _KINDS:
            if isinstance(value, kind):
                yield from opened(self, name, value)
                return
        if _module(type(value)) == "mindspore._c_expression" and " 0x" not in repr(value):
            yield f"{name} = {value!r}"
            return
        if _module(type(value)).split(".")[0] != "mindlong" or not hasattr(value, "__dict__"):
            raise Untold(f"{name} is of the type {type(value)}")
        yield f"{name} : {_named(type(value))}"
        yield from self._items(name, vars(value).items())

    def _items(self, name: str, items: Any) -> Iterator[str]:
        for key, value in items:
            yield from self.lines(f"{name}.{key}", value)

    def _cell(self, name: str, cell: nn.Cell) -> Iterator[str]:
        own = vars(cell)
        if any(own.get(key) for key in _BARE if "hook" in key and key != "_is_recursion_hook"):
            raise Untold(f"{name} has a hook")
        yield f"{name} : cell {_named(type(cell))}"
        yield from self._items(name, ((key, own.get(key)) for key in _TELLING))
        mine = {key: own[key] for key in own if key not in _BARE | _LATER}
        yield from self._items(name, sorted(mine.items()))
        for table in ("_params", "_buffers", "_params_list", "_primitives", "_cells"):
            yield from self._items(name, own.get(table, {}).items())

    def _parameter(self, name: str, value: Parameter) -> Iterator[str]:
        yield f"{name} = parameter {value.name} {value.dtype} {value.shape} {value.requires_grad}"

    def _tensor(self, name: str, value: Tensor) -> Iterator[str]:
        yield f"{name} = tensor {value.dtype} {value.shape} {_digest(_numbers(value))}"

    def _array(self, name: str, value: np.ndarray) -> Iterator[str]:
        if value.dtype.hasobject:
            raise Untold(f"{name} is an array of objects")
        yield f"{name} = array {value.dtype} {value.shape} {_digest(value)}"

    def _primitive(self, name: str, value: ops.Primitive) -> Iterator[str]:
        yield f"{name} : operator {_named(type(value))} {value.name}"
        told = {key: x for key, x in value.attrs.items() if key != "instance"}
        yield from self._items(name, sorted(told.items()))
        yield from self.lines(f"{name}.function", getattr(value, "func", None))

    def _gradient(self, name: str, value: ops.GradOperation) -> Iterator[str]:
        flags = (value.get_all, value.get_by_list, value.sens_param)
        yield f"{name} = gradient {flags}"
        yield from self.lines(f"{name}.of", value.fn)

    def _function(self, name: str, value: Any) -> Iterator[str]:
        yield f"{name} = function {_named(value)}"
        yield from self._items(name, enumerate(value.__defaults__ or ()))
        for i, kept in enumerate(value.__closure__ or ()):
            yield from self.lines(f"{name}.closure.{i}", kept.cell_contents)

    def _partial(self, name: str, value: functools.partial) -> Iterator[str]:
        yield from self.lines(f"{name}.func", value.func)
        yield from self.lines(f"{name}.args", value.args)
        yield from self.lines(f"{name}.keywords", value.keywords)

    def _method(self, name: str, value: types.MethodType) -> Iterator[str]:
        yield f"{name} = method {_named(value.__func__)}"
        yield from self.lines(f"{name}.self", value.__self__)

    def _mapping(self, name: str, value: dict) -> Iterator[str]:
        yield f"{name} : {len(value)} keys"
        for key in sorted(value, key=repr):
            if not isinstance(key, (*PLAIN, tuple)):
                raise Untold(f"{name} has a key of the type {type(key)}")
            yield from self.lines(f"{name}[{key!r}]", value[key])

    def _sequence(self, name: str, value: Sequence) -> Iterator[str]:
        yield f"{name} : {type(value).__name__} of {len(value)}"
        yield from self._items(name, enumerate(value))

    def _set(self, name: str, value: set) -> Iterator[str]:
        yield from self.lines(name, tuple(sorted(value, key=repr)))

    def _word(self, name: str, value: Any) -> Iterator[str]:
        yield f"{name} = {value!r}"

    def _named_thing(self, name: str, value: Any) -> Iterator[str]:
        yield f"{name} = {_named(value)}"

    def _module(self, name: str, value: types.ModuleType) -> Iterator[str]:
        yield f"{name} = module {value.__name__}"


_LRU = type(functools.lru_cache(lambda: None))
_KINDS: tuple[tuple[Any, Any], ...] = (  # the first that fits; a kind before those it is one of
    (nn.Cell, _Walk._cell),
    (Parameter, _Walk._parameter),
    (Tensor, _Walk._tensor),
    ((np.ndarray, np.generic), lambda walk, name, x: walk._array(name, np.asarray(x))),
    (ops.Primitive, _Walk._primitive),
    (ops.GradOperation, _Walk._gradient),
    (_LRU, lambda walk, name, x: walk._function(name, x.__wrapped__)),
    (types.FunctionType, _Walk._function),
    (functools.partial, _Walk._partial),
    (types.MethodType, _Walk._method),
    ((types.BuiltinFunctionType, type), _Walk._named_thing),
    (types.ModuleType, _Walk._module),
    ((Enum, ms.Type), _Walk._word),
    (dict, _Walk._mapping),
    ((list, tuple), _Walk._sequence),
    ((set, frozenset), _Walk._set),
)


def _module(thing: Any) -> str:
    return getattr(thing, "__module__", None) or ""


def _named(thing: Any) -> str:
    """The name of a class or function, with the digest of its file where nothing else tells it."""
    module = _module(thing)
    said = f"{module}.{thing.__qualname__}"
    if module.split(".")[0] in KNOWN:
        return said
    try:
        return f"{said} in {_file_digest(inspect.getsourcefile(thing) or '')}"
    except (TypeError, OSError) as error:
        raise Untold(f"{said} has no source: {error}") from None


@functools.lru_cache(1024)
def _file_digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _numbers(tensor: Tensor) -> np.ndarray:
    wide = tensor.dtype == ms.bfloat16
    return (tensor.astype(ms.float32) if wide else tensor).asnumpy()


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def digest_of(tensors: Sequence[Tensor]) -> str:
    """The digest of the numbers of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        array = np.ascontiguousarray(_numbers(tensor))
        found.update(f"{tensor.dtype} {tensor.shape}".encode())
        found.update(memoryview(array.reshape(-1).view(np.uint8)))
    return found.hexdigest()
