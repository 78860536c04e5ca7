"""The tensors that a pickle describes: windows on storages, every number of them checked."""

from __future__ import annotations

from mindlong.checkpoints.dtypes import FORMATS, MAX_DIMS, problem_of_shape
from mindlong.checkpoints.faults import CorruptCheckpoint, UnsafeCheckpoint
from mindlong.checkpoints.pickle_names import STORAGE, Known
from mindlong.checkpoints.pickle_values import Inert, Unread
from mindlong.checkpoints.tensor_ref import Storage, TensorRef

BYTES = FORMATS["uint8"]


def tensor(storage: object, offset: object, shape: object, stride: object, what: str):
    """A `TensorRef`, or `Unread` where its storage holds numbers that are not read.

    Args:
        what: the file's name, for errors.

    Raises:
        UnsafeCheckpoint: it is made of something else. CorruptCheckpoint: its sizes contradict each
            other.
    """
    if isinstance(storage, Unread):
        return storage
    if not isinstance(storage, Storage):
        raise UnsafeCheckpoint(f"{what}: it makes a tensor of a {type(storage).__name__}")
    shape, stride = naturals(shape, what), naturals(stride, what)
    if len(shape) != len(stride):
        raise CorruptCheckpoint(f"{what}: a tensor of shape {shape[:8]} with strides {stride[:8]}")
    problem = problem_of_shape(shape, storage.form)
    if problem:
        raise CorruptCheckpoint(f"{what}: a tensor has the {problem}")
    return _checked(TensorRef(storage, natural(offset, what), shape, stride), what)


def of_named_format(arguments: tuple, what: str):
    """`_rebuild_tensor_v3`: the storage is bytes, the format stands behind."""
    storage, dtype = arguments[0], arguments[6]
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Inert) else "?"
    if name not in FORMATS or not isinstance(storage, Storage):
        return Unread(name)
    typed = Storage(storage.key, FORMATS[name], storage.count // FORMATS[name].size)
    offset, shape, stride = arguments[1:4]
    return tensor(typed, offset, shape, stride, what)


def storage_of(value: object, what: str) -> Storage | Unread:
    """The storage that a pickle refers to by number. Raises UnsafeCheckpoint for anything else."""
    if type(value) is not tuple or len(value) != 5 or value[0] != "storage":
        raise UnsafeCheckpoint(
            f"{what}: it refers to something outside the file that is not a storage. Nothing of it was run"
        )
    _, kind, key, _, count = value
    named = isinstance(key, str) and key.isascii() and key.isdecimal()
    if not (named and isinstance(kind, Known) and kind.role == STORAGE):
        raise UnsafeCheckpoint(
            f"{what}: it refers to a storage of an unknown kind. Nothing of it was run"
        )
    if kind.words:
        return Unread(kind.words)
    return Storage(key, kind.form or BYTES, natural(count, what))


def naturals(values: object, what: str) -> tuple[int, ...]:
    """A shape or stride. Raises CorruptCheckpoint where it is none."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMS:
        raise CorruptCheckpoint(
            f"{what}: a shape or stride of a tensor is not a short list of numbers"
        )
    return tuple(natural(n, what) for n in values)


def natural(value: object, what: str) -> int:
    """A size, stride or offset. Raises CorruptCheckpoint where it is none."""
    if type(value) is not int or not 0 <= value < 2**62:
        shown = str(value)[:40] if not isinstance(value, int) else "out of any range"
        raise CorruptCheckpoint(f"{what}: a size, stride or offset of a tensor is {shown}")
    return value


def _checked(ref: TensorRef, what: str) -> TensorRef:
    held = ref.storage.count
    if ref.offset + ref.extent > held:
        raise CorruptCheckpoint(
            f"{what}: a tensor of shape {list(ref.shape)}, offset {ref.offset} and strides "
            f"{list(ref.stride)} reaches beyond its storage of {held} numbers"
        )
    if ref.count > held:
        raise CorruptCheckpoint(
            f"{what}: a tensor of shape {list(ref.shape)} is laid over a storage of only {held} numbers"
        )
    return ref
