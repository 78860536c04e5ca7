"""What programs keep beside weights is stepped over unbuilt, or all of it is named at once."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import io
import json
import pathlib
import pickle
import struct
import types
import uuid

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints.faults import ForeignFile, UnsafeCheckpoint
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.pickle_names import is_harmless, runs_programs


class Colour(enum.Enum):
    RED = 1


class Ordered(collections.OrderedDict):
    """A table of one's own, as settings libraries have them."""


class Settings:
    def __init__(self, **held):
        self.__dict__.update(held)


class Stateful:
    """Pickles as an object whose state is set."""

    def __reduce__(self):
        return np.dtype, ("f4",), (3, "<", None, None, None, -1, -1, 0)


HARMLESS = {
    "a namespace": argparse.Namespace(lr=3, names=["a"]),
    "a simple namespace": types.SimpleNamespace(a=1),
    "an array": np.arange(3),
    "an array of halves": np.ones((2, 2), np.float16),
    "a text of numpy": np.str_("a"),
    "a dtype": np.dtype("float32"),
    "a dtype with state": Stateful(),
    "a type": np.float32,
    "a generator of numpy": np.random.default_rng(0),
    "the state of a generator": np.random.get_state(),
    "bytes": b"abc",
    "a bytearray": bytearray(b"abc"),
    "complex": 1 + 2j,
    "a set": {1, 2},
    "a frozenset": frozenset([1]),
    "a slice": slice(1, 2),
    "a range": range(3),
    "a path": pathlib.PurePosixPath("/a/b"),
    "a date": datetime.datetime(2024, 1, 2),
    "a date with a zone": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    "a timedelta": datetime.timedelta(1),
    "a decimal": decimal.Decimal("1.5"),
    "a fraction": fractions.Fraction(1, 3),
    "a uuid": uuid.UUID(int=3),
    "a defaultdict": collections.defaultdict(list, {"a": [1]}),
    "a counter": collections.Counter("aab"),
    "a deque": collections.deque([1, 2], 5),
    "a type of Python": int,
    "no type": type(None),
    "a very long number": 2**3000,
    "a tuple as a key": {("a", 1): 2},
}


def saved(path, value, protocol=2):
    return tf.write(path, {"w": tf.tensor(0, np.arange(6.0)), "beside": [value]}, protocol)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_values_are_stepped_over(tmp_path, name, protocol):
    opened = open_weights(saved(tmp_path / "a.pt", HARMLESS[name], protocol))
    assert opened.names() == ["w"] and opened.read("w").tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises((UnsafeCheckpoint, ForeignFile)):
        open_weights(tf.write(tmp_path / "b.pt", [HARMLESS[name]], protocol))  # they are no weights


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "value",
    [
        np.float32(1.5),
        np.float64(-2.25),
        np.float16(0.5),
        np.int64(-7),
        np.uint8(200),
        np.bool_(True),
    ],
    ids=lambda v: v.dtype.name,
)
def test_numbers_of_numpy_are_read_as_numbers(tmp_path, value, protocol):
    opened = open_weights(saved(tmp_path / "a.pt", value, protocol))
    assert opened.metadata == {"beside.0": value.item()}


def test_a_number_of_numpy_in_reverse_order_is_read_right(tmp_path):
    value = np.dtype(">i4").type(258)
    big = np.array(258, ">i4")[()]
    assert open_weights(saved(tmp_path / "a.pt", big)).metadata == {"beside.0": int(value)}


def test_everything_at_once_is_counted_in_one_note(tmp_path):
    tree = {"w": tf.tensor(0, np.ones(3)), "a": argparse.Namespace(x=1), "b": argparse.Namespace()}
    (note,) = open_weights(tf.write(tmp_path / "a.pt", tree)).notes
    assert note == "beside the weights, stepped over unbuilt: argparse.Namespace x 2"


@pytest.mark.skipif(
    Colour.RED.__reduce_ex__(2)[0] is getattr,
    reason="this Python (some 3.11) pickles enumerations by getattr, which is refused",
)
def test_all_unknown_names_stand_in_one_sentence_with_the_way_out(tmp_path):
    value = [Colour.RED, Settings(a=1), pickle.PickleError("x"), uuid.SafeUUID.safe]
    path = saved(tmp_path / "a.pt", value[:2] + value[3:])
    module = __name__
    with pytest.raises(UnsafeCheckpoint) as caught:
        open_weights(path)
    sentence = str(caught.value)
    for name in (f"'{module}.Colour'", f"'{module}.Settings'", "'uuid.SafeUUID'"):
        assert name in sentence
    assert (
        f"`--inert '{module}.*' --inert 'uuid.*'`" in sentence
        and "Nothing of it was run" in sentence
    )
    opened = open_weights(path, [f"{module}.*", "uuid.*"])
    assert opened.names() == ["w"]


def test_names_that_run_programs_are_named_without_a_way_around(tmp_path):
    import os

    value = [tf.Call(os.system, "touch harmed"), Settings(a=1), tf.Call(eval, "1")]
    with pytest.raises(UnsafeCheckpoint) as caught:
        open_weights(saved(tmp_path / "a.pt", value))
    sentence = str(caught.value)
    assert "posix.system" in sentence and "eval" in sentence and "can run programs" in sentence
    assert "--inert" not in sentence


def test_a_hundred_names_are_one_short_sentence(tmp_path):
    program = b"\x80\x02}X\x01\x00\x00\x00w]("
    program += b"".join(f"cpackage{i}.module\nClass{i}\n".encode() for i in range(100)) + b"es."
    with pytest.raises(UnsafeCheckpoint) as caught:
        open_weights(tf.write_raw(tmp_path / "a.pt", program))
    assert "more names" in str(caught.value) and len(str(caught.value)) < 1500


def test_names_with_escapes_in_them_are_escaped(tmp_path):
    program = b"\x80\x02}X\x01\x00\x00\x00wc\x1b[2Jevil\nA\x07\ns."
    with pytest.raises(UnsafeCheckpoint) as caught:
        open_weights(tf.write_raw(tmp_path / "a.pt", program))
    assert str(caught.value).isprintable()


def test_a_table_of_a_class_of_ones_own_is_a_table(tmp_path):
    held = Ordered(a=tf.tensor(0, np.ones(3)), step=4)
    path = tf.write(tmp_path / "a.pt", {"model": held})
    with pytest.raises(UnsafeCheckpoint, match="Ordered"):
        open_weights(path)
    opened = open_weights(path, [f"{__name__}.Ordered"])
    assert opened.names() == ["model.a"] and opened.metadata == {"model.step": 4}
    default = collections.defaultdict(dict, {"a": tf.tensor(0, np.ones(3))})
    assert open_weights(tf.write(tmp_path / "b.pt", default)).names() == ["a"]


def test_tensors_inside_something_stepped_over_are_not_lost_silently(tmp_path):
    tree = {
        "w": tf.tensor(0, np.ones(3)),
        "ema": argparse.Namespace(shadow=[tf.tensor(1, np.ones(2))]),
    }
    notes = open_weights(tf.write(tmp_path / "a.pt", tree)).notes
    assert "1 tensors lie inside an object of argparse.Namespace and are not read" in notes


def test_a_thing_that_holds_itself_is_no_way_to_hang(tmp_path):
    loop = argparse.Namespace()
    loop.me, loop.list = loop, [loop]
    assert open_weights(saved(tmp_path / "a.pt", loop)).names() == ["w"]


def test_a_whole_module_is_told_apart(tmp_path):
    program = b"\x80\x02}X\x01\x00\x00\x00mctorch.nn.modules.conv\nConv2d\n)\x81}bs."
    with pytest.raises(UnsafeCheckpoint, match="holds a whole module.*state_dict"):
        open_weights(tf.write_raw(tmp_path / "a.pt", program))


def pytorch(form, shape=(2,), name="w"):
    """The pickle of one tensor, `form` standing for how it is made."""
    size = b"(" + b"".join(b"K" + bytes([n]) for n in shape) + b"t"
    key = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQ"
    return b"\x80\x02}X" + struct.pack("<I", len(name)) + name.encode() + form(key, size) + b"s."


FORMS = {
    "float8_e4m3fn": lambda key, size: (
        b"ctorch._utils\n_rebuild_tensor_v3\n("
        + key.replace(b"torch\nFloatStorage", b"torch.storage\nUntypedStorage")
        + b"K\x00"
        + size
        + b"(K\x01t\x89ccollections\nOrderedDict\n)Rctorch\nfloat8_e4m3fn\ntR"
    ),
    "quantised": lambda key, size: b"ctorch._utils\n_rebuild_qtensor\n(" + key + b"K\x00tR",
    "sparse": lambda key, size: b"ctorch._utils\n_rebuild_sparse_tensor\n(" + key + b"tR",
    "complex64": lambda key, size: (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + key.replace(b"FloatStorage", b"ComplexFloatStorage")
        + b"K\x00"
        + size
        + b"(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    ),
    "qint8": lambda key, size: (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + key.replace(b"FloatStorage", b"QInt8Storage")
        + b"K\x00"
        + size
        + b"(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_tensors_that_are_not_read_are_named_by_their_form(tmp_path, form):
    path = tf.write_raw(tmp_path / "a.pt", pytorch(FORMS[form]), {"0": bytes(8)})
    with pytest.raises(ForeignFile, match=rf"holds {form} tensors \(1: 'w'\), which are not read"):
        open_weights(path)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("F8_E4M3", "float8_e4m3fn"),
        ("F8_E5M2", "float8_e5m2"),
        ("C64", "complex64"),
        ("U16", "uint16"),
    ],
)
def test_safetensors_of_other_formats_are_named(tmp_path, code, word):
    header = {n: {"dtype": code, "shape": [0], "data_offsets": [0, 0]} for n in ("a", "b")}
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ForeignFile, match=rf"holds {word} tensors \(2: 'a', 'b'\)"):
        open_weights(tmp_path / "a.safetensors")


def test_an_npz_of_complex_numbers_is_named_and_texts_stand_beside(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(3), about=np.array("héllo"), raw=np.array(b"x"))
    opened = open_weights(tmp_path / "a.npz")
    assert opened.names() == ["w"] and opened.metadata == {"about": "héllo", "raw": "x"}
    np.savez(tmp_path / "b.npz", w=np.ones(3, np.complex64))
    with pytest.raises(ForeignFile, match="holds complex64 tensors"):
        open_weights(tmp_path / "b.npz")


def mindspore(*values):
    """A MindSpore file of (name, kind, dims, content)."""

    def varint(n):
        return (bytes([n & 127 | 128]) + varint(n >> 7)) if n > 127 else bytes([n])

    def field(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data

    out = io.BytesIO()
    for name, kind, dims, content in values:
        inner = (
            b"".join(b"\x08" + varint(n) for n in dims)
            + field(2, kind.encode())
            + field(3, content)
        )
        out.write(field(1, field(1, name.encode()) + field(2, inner)))
    return out.getvalue()


def test_texts_in_a_mindspore_file_stand_beside_the_weights(tmp_path):
    rows = [("w", "Float32", (2,), bytes(8)), ("epoch", "str", (0,), "drei".encode("utf-32-le"))]
    (tmp_path / "a.ckpt").write_bytes(mindspore(*rows))
    opened = open_weights(tmp_path / "a.ckpt")
    assert opened.names() == ["w"] and opened.metadata == {"epoch": "drei"}
    (tmp_path / "b.ckpt").write_bytes(mindspore(("w", "Complex64", (1,), bytes(8))))
    with pytest.raises(ForeignFile, match="holds complex64 tensors"):
        open_weights(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    "name",
    [
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.nodes.AnyNode",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "lightning_fabric.utilities.data.AttributeDict",
        "torch.float8_e4m3fn",
        "torch.device",
        "numpy.dtypes.Float32DType",
        "pathlib._local.PosixPath",
        "easydict.EasyDict",
        "builtins.set",
        "__builtin__.set",
    ],
)
def test_the_usual_company_is_known(name):
    assert is_harmless(name) and not runs_programs(name)


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "builtins.getattr",
        "pathlib.PosixPath.unlink",
        "omegaconf.OmegaConf.save",
        "numpy.load",
        "torch.load",
        "torch.hub.load",
        "numpy.core.multiarray.fromfile",
        "collections.OrderedDict.__reduce__",
        "typing.get_type_hints",
        "pytorch_lightning.utilities.run",
        "torch.device.__init__",
        "os.system",
        "copyreg.pickle",
    ],
)
def test_functions_are_not_company(name):
    assert not is_harmless(name)
