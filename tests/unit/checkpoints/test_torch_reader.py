"""PyTorch's zip files come out as the arrays that went in, read without PyTorch."""

import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints.dtypes import FORMATS, encode
from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.torch_reader import TorchFile
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.utils.errors import ConfigError, UserError

DRAW = np.random.default_rng(0)
KINDS = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def some(kind, shape=(2, 3, 4)):
    return (DRAW.standard_normal(shape) * 50).astype(kind)


def bits(shape):
    """float32 numbers that bfloat16 holds exactly, all 65536 of its patterns among them where the
    shape allows.
    """
    patterns = np.arange(np.prod(shape)) % 65536
    return (patterns.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_number_format_and_pickle_protocol(tmp_path, protocol):
    arrays = {kind: some(kind) for kind in KINDS} | {
        "scalar": np.array(2.5, np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    tree = OrderedDict(
        (name, tf.tensor(i, array)) for i, (name, array) in enumerate(arrays.items())
    )
    opened = open_weights(tf.write(tmp_path / "a.pt", tree, protocol))
    assert opened.names() == list(arrays) and opened.kind == "PyTorch"
    for name, array in arrays.items():
        assert same(opened.read(name), array) and opened.shape(name) == array.shape, name
        assert opened.dtype(name) == array.dtype.name


def test_bfloat16_comes_as_the_float32_of_its_bits(tmp_path):
    wanted = bits((256, 256))
    raw = (wanted.view(np.uint32) >> 16).astype("<u2")
    storage = tf.Storage(0, "BFloat16Storage", raw.tobytes())
    tree = {
        "b": tf.Tensor(storage, 0, (256, 256), (256, 1)),
        "one": tf.Tensor(storage, 300, (), ()),
    }
    opened = open_weights(tf.write(tmp_path / "a.pt", tree))
    assert opened.dtype("b") == "bfloat16" and same(opened.read("b"), wanted)
    assert (
        opened.read("one").shape == () and opened.read("one").tobytes() == wanted[1, 44].tobytes()
    )
    assert encode(np.float32(1.5).reshape(()), FORMATS["bfloat16"]).shape == ()


def test_windows_strides_and_ties(tmp_path):
    base = some("float32", (6, 8))
    storage = tf.Storage(0, "FloatStorage", base.tobytes())
    tree = {
        "whole": tf.Tensor(storage, 0, (6, 8), (8, 1)),
        "tied": tf.Tensor(storage, 0, (6, 8), (8, 1)),
        "parameter": tf.Tensor(storage, 0, (6, 8), (8, 1), parameter=True),
        "turned": tf.Tensor(storage, 0, (8, 6), (1, 8)),
        "part": tf.Tensor(storage, 19, (3, 4), (8, 1)),
        "every_other": tf.Tensor(storage, 1, (6, 4), (8, 2)),
        "row": tf.Tensor(storage, 8, (1, 8), (1, 1)),
        "diagonal": tf.Tensor(storage, 0, (6,), (9,)),
        "permuted": tf.Tensor(storage, 0, (2, 3, 8), (24, 8, 1)),
        "nothing": tf.Tensor(storage, 48, (0, 5), (5, 1)),
    }
    wanted = {
        "whole": base,
        "tied": base,
        "parameter": base,
        "turned": base.T,
        "part": base[2:5, 3:7],
        "every_other": base[:, 1::2],
        "row": base[1:2],
        "diagonal": np.diag(base),
        "permuted": base.reshape(2, 3, 8),
        "nothing": np.zeros((0, 5), np.float32),
    }
    opened = TorchFile(tf.write(tmp_path / "a.pt", tree))
    for name, array in wanted.items():
        got = opened.read(name)
        assert same(got, np.ascontiguousarray(array)) and got.flags.c_contiguous, name
        got[...] = 0  # fresh memory: changes nobody else's
    assert opened.tied("whole", "parameter") and not opened.tied("whole", "part")


def test_tables_become_dotted_names_and_numbers_stay_beside(tmp_path):
    tree = {
        "step": 123,
        "lr": 0.5,
        "note": "hello",
        "big": -(2**40),
        "flag": True,
        "none": None,
        3: 4,
        "model": OrderedDict(w=tf.tensor(0, some("float32"))),
        "list": [tf.tensor(1, some("int64")), 7],
    }
    opened = open_weights(tf.write(tmp_path / "a.pt", tree))
    assert opened.names() == ["model.w", "list.0"]
    assert opened.metadata == {
        "step": 123,
        "lr": 0.5,
        "note": "hello",
        "big": -(2**40),
        "flag": True,
        "none": None,
        "3": 4,
        "list.1": 7,
    }


def test_a_single_tensor_and_torchs_version_marks_are_read(tmp_path):
    assert open_weights(tf.write(tmp_path / "a.pt", tf.tensor(0, some("float32")))).names() == [
        "tensor"
    ]
    marked = OrderedDict(w=tf.tensor(0, some("float32")))
    marked._metadata = OrderedDict({"": {"version": 1}})
    assert open_weights(tf.write(tmp_path / "b.pt", {"state_dict": marked})).names() == [
        "state_dict.w"
    ]


def test_things_the_user_allows_are_stepped_over_unbuilt(tmp_path):
    import string

    tree = {"w": tf.tensor(0, some("float32")), "form": string.Template("a $b")}
    path = tf.write(tmp_path / "a.pt", tree)
    with pytest.raises(UserError, match="asks for 'string.Template'.*--inert 'string.*'"):
        open_weights(path)
    with pytest.raises(UserError, match="string"):
        open_weights(path, inert=["another.*"])
    opened = open_weights(path, inert=["string.Template"])
    assert opened.names() == ["w"] and opened.metadata == {}
    assert opened.notes == ("beside the weights, stepped over unbuilt: string.Template x 1",)


def test_what_is_written_here_is_read_back_and_shares_its_ties(tmp_path):
    array, brain = some("float32"), bits((5, 3))
    tree = {
        "step": 7,
        "rate": 1e-4,
        "name": "ü",
        "yes": True,
        "none": None,
        "far": 2**70,
        "minus": -300,
        "model": {
            "a": array,
            "tie": array,
            "b": Lazy((5, 3), "bfloat16", lambda: brain),
            **{kind: some(kind) for kind in KINDS},
            "s": np.float32(3),
            "e": np.zeros((2, 0), np.float16),
        },
    }
    path = tmp_path / "out.pt"
    write_torch(path, tree)
    opened = TorchFile(path)
    assert {**opened.scalars} == {k: v for k, v in tree.items() if k != "model"}
    for name, value in tree["model"].items():
        assert same(
            opened.read(f"model.{name}"),
            np.asarray(value.read() if isinstance(value, Lazy) else value),
        ), name
    assert (
        opened.tied("model.a", "model.tie")
        and sum(n.startswith("data/") for n in opened.records) == 13
    )
    assert all(record.begin % 64 == 0 for record in opened.records.values())
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_casts_floats_only_and_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / "out.pt"
    write_torch(path, {"w": np.array([1.0, 2.5], np.float32), "n": np.arange(3)}, dtype="float16")
    opened = open_weights(path)
    assert (opened.dtype("w"), opened.dtype("n")) == ("float16", "int64")
    with pytest.raises(
        UserError, match="w holds values up to 7e\\+04, beyond the range of float16; use bfloat16"
    ):
        write_torch(path, {"w": np.array([7e4], np.float32)}, dtype="float16")
    with pytest.raises(ConfigError, match="w is a set"):
        write_torch(path, {"w": {1}})
    with pytest.raises(ConfigError, match="cannot be stored"):
        write_torch(path, {"w": np.zeros(2, np.complex64)})
    assert same(open_weights(path).read("w"), np.array([1.0, 2.5], np.float16)), (
        "a failed write changed the file"
    )


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan_and_infinity():
    words = DRAW.integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    values = np.concatenate(
        [words.view(np.float32), bits((65536,)), np.float32([1 + 2**-8, 1 + 3 * 2**-8, -0.0])]
    )
    values = values[np.isnan(values) | np.isinf(values) | (np.abs(values) < 3.38e38)]
    got = (encode(values, FORMATS["bfloat16"]).astype(np.uint32) << 16).view(np.float32)
    finite = np.isfinite(values)
    exact = values[finite].astype(np.float64)
    down = (values[finite].view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    up = (
        ((values[finite].view(np.uint32) & 0xFFFF0000) + 0x10000)
        .view(np.float32)
        .astype(np.float64)
    )
    error = np.abs(got[finite].astype(np.float64) - exact)
    nearest = np.minimum(np.abs(down - exact), np.abs(up - exact))
    assert (error == nearest).all()
    tied = np.abs(down - exact) == np.abs(up - exact)
    assert ((got[finite].view(np.uint32)[tied] >> 16) % 2 == 0).all()
    assert (np.isnan(got) == np.isnan(values)).all() and (
        got[np.isinf(values)] == values[np.isinf(values)]
    ).all()
    assert same(got[-3:], np.float32([1.0, 1 + 2**-6, -0.0]))


def test_a_changed_number_is_noticed_also_through_a_window(tmp_path):
    base = some("float32", (50, 20))
    storage = tf.Storage(0, "FloatStorage", base.tobytes())
    tree = {
        "whole": tf.Tensor(storage, 0, (50, 20), (20, 1)),
        "part": tf.Tensor(storage, 0, (2, 20), (20, 1)),
        "turned": tf.Tensor(storage, 0, (20, 2), (1, 20)),
    }
    path = tf.write(tmp_path / "a.pt", tree)
    data = bytearray(path.read_bytes())
    data[data.index(base.tobytes()) + 3999] ^= 1  # behind both windows
    path.write_bytes(data)
    for name in tree:
        with pytest.raises(CorruptCheckpoint, match=rf"{name}.*changed after"):
            TorchFile(path).read(name)


@pytest.mark.parametrize("window", ["whole", "part", "turned", "brain"])
def test_reading_needs_little_more_memory_than_the_tensor(tmp_path, window):
    base = np.zeros((1000, 1000), np.float32)
    storage, brain = (
        tf.Storage(0, "FloatStorage", base.tobytes()),
        tf.Storage(1, "BFloat16Storage", bytes(2_000_000)),
    )
    tree = {
        "whole": tf.Tensor(storage, 0, (1000, 1000), (1000, 1)),
        "part": tf.Tensor(storage, 0, (10, 1000), (1000, 1)),
        "turned": tf.Tensor(storage, 0, (1000, 1000), (1, 1000)),
        "brain": tf.Tensor(brain, 0, (1000, 1000), (1000, 1)),
    }
    opened = TorchFile(tf.write(tmp_path / "a.pt", tree))
    buffers = {
        "whole": 4.0,
        "part": 0.04,
        "turned": 8.0,
        "brain": 6.0,
    }  # MB: what is returned, and the stored form
    opened.read("part")  # imports and caches
    opened.verified.clear()
    tracemalloc.start()
    opened.read(window)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak < buffers[window] * 1.05 + 0.7, "the tensor, and pieces to compare checksums"


def test_converting_holds_one_tensor_at_a_time(tmp_path):
    tree = {str(i): tf.tensor(i, np.full(250_000, i, np.float32)) for i in range(12)}
    opened = open_weights(tf.write(tmp_path / "a.pt", tree))
    tracemalloc.start()
    write_torch(tmp_path / "b.pt", opened.rows, dtype="float16")
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak < 1.3 * 1.0 + 0.5 + 1.5, "the largest tensor has 1 MB, its cast 0.5 MB"
