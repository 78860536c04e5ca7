"""PyTorch files made without PyTorch and without the package: Python's own pickle and zipfile, and
stand-ins for torch's names.

Also hostile ones: what `evil` pickles is a call, which a careless reader would make.
"""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from unittest import mock

import numpy as np

NUMPY = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
STORAGE = {np.dtype(code): name for name, code in NUMPY.items() if name != "BFloat16Storage"}


def _stubs():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch._utils = utils

    def _rebuild_tensor_v2(*arguments): ...

    def _rebuild_parameter(*arguments): ...

    for function in (_rebuild_tensor_v2, _rebuild_parameter):
        function.__module__ = "torch._utils"
        function.__qualname__ = function.__name__
        setattr(utils, function.__name__, function)
    for name in (*NUMPY, "ComplexFloatStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    return {"torch": torch, "torch._utils": utils}


class Storage:
    """A run of numbers as it lies in the file."""

    def __init__(self, key, name, data, count=None):
        self.key, self.name, self.data = str(key), name, data
        size = np.dtype(NUMPY.get(name, "<f4")).itemsize
        self.count = len(data) // size if count is None else count


class Tensor:
    """A window on a storage, as `_rebuild_tensor_v2` is told."""

    def __init__(self, storage, offset, shape, stride, parameter=False):
        self.storage, self.offset, self.shape, self.stride, self.parameter = (
            storage,
            offset,
            shape,
            stride,
            parameter,
        )

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        arguments = (self.storage, self.offset, self.shape, self.stride, False, OrderedDict())
        if not self.parameter:
            return utils._rebuild_tensor_v2, arguments
        plain = Tensor(self.storage, self.offset, self.shape, self.stride)
        return utils._rebuild_parameter, (plain, True, OrderedDict())


def tensor(key, array, **more):
    """A C-ordered array as a tensor with a storage of its own."""
    array = np.asarray(array)
    data = np.array(array, order="C")
    stride = tuple(s // data.itemsize for s in data.strides)
    return Tensor(
        Storage(key, STORAGE[array.dtype], data.tobytes()), 0, array.shape, stride, **more
    )


class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol, kept):
        super().__init__(file, protocol)
        self.kept = kept

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.kept[value.key] = value.data
        return ("storage", getattr(sys.modules["torch"], value.name), value.key, "cpu", value.count)


def program(tree, protocol=2):
    """The pickle of `tree`, and the bytes of its storages by key."""
    kept, out = {}, io.BytesIO()
    with mock.patch.dict(sys.modules, _stubs()):
        _Pickler(out, protocol, kept).dump(tree)
    return out.getvalue(), kept


def write(path, tree, protocol=2, **more):
    """A file as torch.save would write it."""
    return write_raw(path, *program(tree, protocol), **more)


def write_raw(
    path,
    data_pkl,
    kept=None,
    root="archive",
    records=None,
    byteorder=b"little",
    method=zipfile.ZIP_STORED,
):
    """A file with the given pickle and storages; `records` are further ones (name without the root
    -> bytes).
    """
    inner = {
        "data.pkl": data_pkl,
        "byteorder": byteorder,
        **{f"data/{k}": v for k, v in (kept or {}).items()},
        "version": b"3\n",
        **(records or {}),
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in inner.items():
            if data is not None:
                archive.writestr(f"{root}/{name}", data)
    return path


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments
