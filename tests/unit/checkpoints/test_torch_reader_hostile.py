"""Files made to harm: each ends in one typed error, nothing of it runs, time and memory stay
small.
"""

import builtins
import functools
import importlib
import operator
import os
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints import files
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.inspection import inspect
from mindlong.checkpoints.pickle_scan import scan

for _reader in files._READERS.values():  # imported when first used: code of ours that runs
    importlib.import_module(f"mindlong.checkpoints.{_reader}")

TYPED = (UnsafeCheckpoint, CorruptCheckpoint, ForeignFile)
WATCHED = (
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "subprocess.Popen",
    "exec",
    "pickle.find_class",
    "socket.",
    "shutil.",
    "os.remove",
    "os.rename",
    "webbrowser.open",
    "ctypes.",
)
seen: list[str] = []
watching = False


def _watch(event, arguments):
    if watching and event.startswith(WATCHED):
        seen.append(f"{event} {arguments}"[:200])


sys.addaudithook(_watch)


def opened(path):
    """Open and read everything under watch; the typed error, or None. Anything else fails the
    test.
    """
    global watching
    seen.clear()
    watching = True
    try:
        weights = open_weights(path)
        for name in weights:
            weights.read(name)
    except TYPED as error:
        assert str(path) in str(error) and len(str(error)) < 1000 and "\n" not in str(error)
        return error
    finally:
        watching = False
        assert not seen, seen
    return None


PAYLOADS = {
    "os.system": tf.Call(os.system, "touch harmed"),
    "eval": tf.Call(eval, "open('harmed', 'w')"),
    "exec": tf.Call(exec, "open('harmed', 'w')"),
    "compile": tf.Call(compile, "1", "x", "eval"),
    "import": tf.Call(__import__, "os"),
    "Popen": tf.Call(subprocess.Popen, ["touch", "harmed"]),
    "getattr chain": tf.Call(getattr, tf.Call(__import__, "os"), "system"),
    "call of a chain": tf.Call(
        operator.methodcaller("system", "touch harmed"), tf.Call(__import__, "os")
    ),
    "partial": functools.partial(os.system, "touch harmed"),
    "open": tf.Call(open, "harmed", "w"),
    "a class": subprocess.Popen,
    "an exception": ValueError("x"),
    "a function": os.getcwd,
    "a method": "".join,
    "a map": map(str, [1]),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_call_in_a_pickle_is_refused_by_name_and_not_made(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    for tree in (
        PAYLOADS[name],
        {"w": tf.tensor(0, np.ones(3, np.float32)), "x": [PAYLOADS[name]]},
    ):
        error = opened(tf.write(tmp_path / "a.pt", tree, protocol))
        assert isinstance(error, UnsafeCheckpoint), error
    assert not (tmp_path / "harmed").exists()


def test_the_same_calls_do_harm_where_a_pickle_is_run(tmp_path, monkeypatch):
    """The payloads are live: the tests above would notice."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(PAYLOADS["eval"])).close()
    assert (tmp_path / "harmed").exists()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
GOOD = {
    "shape": b"K\x02K\x03\x86",
    "stride": b"K\x03K\x01\x86",
    "offset": b"K\x00",
    "storage": STORAGE,
}


def tensor(**changed):
    part = {**GOOD, **changed}
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + part["storage"]
        + part["offset"]
        + part["shape"]
        + part["stride"]
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def table(value, before=b""):
    return b"\x80\x02" + before + b"}" + text("w") + value + b"s."


KEPT = {"0": np.arange(6, dtype=np.float32).tobytes()}


def persistent(*parts):
    return b"(" + b"".join(parts) + b"tQ"


KIND, KEY, CPU, SIX = b"ctorch\nFloatStorage\n", text("0"), text("cpu"), b"K\x06"
PROGRAMS = {
    "negative size": tensor(shape=number(-2) + b"K\x03\x86"),
    "negative stride": tensor(stride=number(-3) + b"K\x01\x86"),
    "negative offset": tensor(offset=number(-1)),
    "offset beyond": tensor(offset=b"K\x01"),
    "stride beyond": tensor(stride=b"K\x04K\x01\x86"),
    "size beyond": tensor(shape=b"K\x03K\x03\x86"),
    "a huge size": tensor(shape=number(2**61) + b"K\x03\x86"),
    "sizes that overflow": tensor(shape=number(2**33) * 2 + b"\x86", stride=b"K\x00K\x00\x86"),
    "repeated by stride 0": tensor(shape=number(10**12) + b"K\x03\x86", stride=b"K\x00K\x01\x86"),
    "sizes and strides of two lengths": tensor(stride=b"K\x01\x85"),
    "a size that is no number": tensor(shape=text("2") + b"K\x03\x86"),
    "a size that is a fraction": tensor(shape=b"G" + struct.pack(">d", 2.0) + b"K\x03\x86"),
    "a size that is a truth value": tensor(shape=b"\x88K\x03\x86"),
    "sizes that are a table": tensor(shape=b"}"),
    "hundreds of axes": tensor(
        shape=b"(" + b"K\x01" * 300 + b"t", stride=b"(" + b"K\x01" * 300 + b"t"
    ),
    "a tensor of a table": tensor(storage=b"}"),
    "a tensor of a storage class": tensor(storage=KIND),
    "too few arguments": b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"tR",
    "arguments that are a list": b"ctorch._utils\n_rebuild_tensor_v2\n]R",
    "a call of a storage class": KIND + b")R",
    "a call of text": text("os.system") + text("x") + b"\x85R",
    "a call of a table": b"})R",
    "an object of OrderedDict": b"ccollections\nOrderedDict\n)\x81",
    "the state of a tensor": tensor() + b"}b",
    "the state of a plain table": b"}}b",
    "a state that is no table": b"ccollections\nOrderedDict\n)R(K\x01tb",
    "items in a list": b"]" + text("a") + b"K\x01s",
    "appended to a table": b"}K\x01a",
    "appended to a tensor": tensor() + b"K\x01a",
    "a tensor as a key": b"}" + tensor() + b"K\x01s",
    "a tuple of tables as a key": b"}}\x85K\x01s",
    "a parameter of nothing": b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR",
    "a reference elsewhere": text("http://example.org") + b"Q",
    "a reference of another kind": tensor(storage=persistent(text("module"), KIND, KEY, CPU, SIX)),
    "a reference too long": tensor(storage=persistent(text("storage"), KIND, KEY, CPU, SIX, b"N")),
    "a key that leaves": tensor(
        storage=persistent(text("storage"), KIND, text("../../etc/passwd"), CPU, SIX)
    ),
    "a key that is a number": tensor(storage=persistent(text("storage"), KIND, b"K\x00", CPU, SIX)),
    "a key of other digits": tensor(
        storage=persistent(text("storage"), KIND, text("\u0660"), CPU, SIX)
    ),
    "a key that is missing": tensor(storage=persistent(text("storage"), KIND, text("7"), CPU, SIX)),
    "a class that is none": tensor(
        storage=persistent(text("storage"), b"ccollections\nOrderedDict\n", KEY, CPU, SIX)
    ),
    "a negative count": tensor(storage=persistent(text("storage"), KIND, KEY, CPU, number(-6))),
    "a count above the bytes": tensor(
        storage=persistent(text("storage"), KIND, KEY, CPU, b"K\x07")
    ),
    "a count below the bytes": tensor(
        storage=persistent(text("storage"), KIND, KEY, CPU, b"K\x05"), shape=b"K\x01K\x03\x86"
    ),
    "two formats of one storage": tensor()
    + b"s"
    + text("v")
    + tensor(storage=persistent(text("storage"), b"ctorch\nIntStorage\n", KEY, CPU, SIX)),
    "complex numbers": tensor(
        storage=persistent(text("storage"), b"ctorch\nComplexFloatStorage\n", KEY, CPU, b"K\x03")
    ),
    "a name from the stack": text("os") + text("system") + b"\x93",
    "a name that is computed": b"K\x01K\x02\x93",
    "a name in parts": b"cos.path\nos.system\n",
    "known names elsewhere": b"cos\nOrderedDict\n",
    "a torch function": b"ctorch\nload\n",
    "INST": b"(" + text("x") + b"ios\nsystem\n",
    "OBJ": b"(cos\nsystem\n" + text("x") + b"o",
    "NEWOBJ_EX": b"cos\nsystem\n)}\x92",
    "EXT1": b"\x82\x01",
    "NEXT_BUFFER": b"\x97",
    "PERSID": b"Pfile\n",
    "text number": b"I12\n",
    "text long": b"L" + b"9" * 5000 + b"L\n",
    "no mark": b"K\x01t",
    "nothing on the stack": b"R",
    "an unknown memo": b"h\x07",
    "unknown instruction": b"\xff",
    "text that is cut": b"X" + struct.pack("<I", 2**31) + b"abc",
    "text that is none": b"X" + struct.pack("<I", 2) + b"\xff\xfe",
    "bytes that are cut": b"B" + struct.pack("<I", 2**32 - 1) + b"abc",
    "a frame that lies": b"\x95" + struct.pack("<Q", 2**60),
    "no value": b"0",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_not_plain_weights_is_refused(tmp_path, name):
    start = time.monotonic()
    assert opened(tf.write_raw(tmp_path / "a.pt", table(PROGRAMS[name]), KEPT)) is not None
    assert time.monotonic() - start < 2


def test_the_parts_of_those_programs_are_sound_by_themselves(tmp_path):
    weights = open_weights(tf.write_raw(tmp_path / "a.pt", table(tensor()), KEPT))
    assert (weights.read("w") == np.arange(6, dtype=np.float32).reshape(2, 3)).all()


def test_a_pickle_that_ends_early_or_leaves_things_over_is_refused(tmp_path):
    whole = table(tensor())
    for length in range(len(whole)):
        assert isinstance(opened(tf.write_raw(tmp_path / "a.pt", whole[:length], KEPT)), TYPED), (
            length
        )
    assert (
        opened(tf.write_raw(tmp_path / "a.pt", table(tensor(), before=b"K\x01"), KEPT)) is not None
    )


BOMBS = {
    "deep lists": b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 60_000 + b".",
    "a deep tuple as a key": b"\x80\x02})" + b"\x85" * 60_000 + b"K\x01s.",
    "a list in itself": b"\x80\x02}" + text("w") + b"]q\x00h\x00as.",
    "a table in itself": b"\x80\x02}q\x00" + text("w") + b"h\x00s.",
    "lists of lists, doubled": b"\x80\x02}"
    + text("w")
    + b"]q\x00"
    + b"".join(
        b"]q" + bytes([i + 1]) + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"e" for i in range(60)
    )
    + b"s.",
    "one list copied over and over": b"\x80\x02]("
    + b"K\x01K\x02\x86" * 20_000
    + b"eq\x00("
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 500
    + b"t.",
    "a million tables": b"\x80\x02(" + b"}" * 3_000_000 + b"t.",
    "names that grow": b"\x80\x02"
    + b"".join(b"}" + text("x" * 500_000) for _ in range(40))
    + b"N"
    + b"s" * 40
    + b".",
    "one name many times": b"\x80\x02"
    + text("y" * 2_000_000)
    + b"q\x00"
    + b"".join(b"}h\x00" for _ in range(30))
    + b"N"
    + b"s" * 30
    + b"\x86.",
    "nothing without end": b"\x80\x02" + b"N0" * 3_000_000 + b".",
}


LONG = ("a million tables", "nothing without end", "one list copied over and over")


def test_many_tensors_over_one_storage_are_refused(tmp_path):
    """Each name would be another copy: 400 of 60 kB from a file of 100."""
    storage = tf.Storage(0, "FloatStorage", bytes(60_000))
    tree = {str(i): tf.Tensor(storage, 0, (15_000,), (1,)) for i in range(400)}
    assert "laid over one another" in str(opened(tf.write(tmp_path / "a.pt", tree)))


@pytest.mark.parametrize(
    "name",
    [*sorted(set(BOMBS) - set(LONG)), *(pytest.param(n, marks=pytest.mark.slow) for n in LONG)],
)
def test_a_bomb_is_refused_in_seconds_and_little_memory(tmp_path, name):
    path = tf.write_raw(tmp_path / "a.pt", BOMBS[name], KEPT)
    start = time.monotonic()
    tracemalloc.start()
    try:
        error = opened(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert error is not None
    assert peak < 200e6 and time.monotonic() - start < 20


def archive(path, entries, **more):
    """A zip archive from (name, bytes) with fields of its table of contents changed by `more`:
    (index, field) -> value.
    """
    return tf.write_raw(path, table(tensor()), KEPT, records=dict(entries), **more)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_records_are_refused_unseen(tmp_path, method):
    path = tmp_path / "a.pt"
    tf.write_raw(path, table(tensor()), {"0": bytes(20_000_000)}, method=method)
    assert path.stat().st_size < 40_000
    tracemalloc.start()
    error = opened(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(error, UnsafeCheckpoint) and "compressed" in str(error) and peak < 2e6


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/passwd",
        "archive/../data/0",
        "archive/data/../../x",
        "archive\\data\\0",
        "archive/data/0x",
        "archive/code/run.py",
        "other/data/1",
        "archive/data/1/2",
        "data.pkl",
    ],
)
def test_records_that_torch_does_not_write_are_refused(tmp_path, name):
    path = tmp_path / "a.pt"
    tf.write_raw(path, table(tensor()), KEPT)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"harm")
    assert opened(path) is not None
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("root", ["..", ".", ""])
def test_a_root_that_leaves_is_refused(tmp_path, root):
    assert opened(tf.write_raw(tmp_path / "a.pt", table(tensor()), KEPT, root=root)) is not None


def test_two_records_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as file:
        for name, data in (
            ("data.pkl", table(tensor())),
            ("data/0", KEPT["0"]),
            ("data/0", bytes(24)),
        ):
            file.writestr(f"archive/{name}", data)
    assert "one name" in str(opened(path))


def test_records_that_share_bytes_are_refused(tmp_path):
    """A record whose bytes are the next one, header and all: the way of zip bombs that need no
    compression.
    """
    path = tmp_path / "a.pt"
    tf.write_raw(path, table(tensor()), {"0": KEPT["0"], "1": KEPT["0"]})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        first, second = file.getinfo("archive/data/0"), file.getinfo("archive/data/1")
    begin = first.header_offset + 30 + len(first.filename)
    size = second.header_offset + 40 - begin
    entry = data.rindex(b"archive/data/0") - 46
    data[entry + 16 : entry + 28] = struct.pack(
        "<3L", zlib.crc32(data[begin : begin + size]), size, size
    )
    path.write_bytes(data)
    error = opened(path)
    assert isinstance(error, UnsafeCheckpoint) and "shares bytes" in str(error)


def test_another_name_in_a_records_own_header_is_refused(tmp_path):
    path = tf.write_raw(tmp_path / "a.pt", table(tensor()), KEPT)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"archive/data/0", b"archive/data/1", 1))
    assert "another name" in str(opened(path))


def test_an_archive_with_something_before_or_behind_it_is_refused(tmp_path):
    whole = tf.write_raw(tmp_path / "a.pt", table(tensor()), KEPT).read_bytes()
    for data in (b"#!/bin/sh\nexit\n" + whole, whole + b"more", whole + whole[-22:]):
        (tmp_path / "a.pt").write_bytes(data)
        assert opened(tmp_path / "a.pt") is not None


def test_a_file_cut_anywhere_is_said_to_be_cut(tmp_path):
    path = tf.write(tmp_path / "a.pt", {"w": tf.tensor(0, np.ones((40, 40), np.float32))})
    whole = path.read_bytes()
    for length in (*range(0, 64), *range(64, len(whole), 101), *range(len(whole) - 60, len(whole))):
        path.write_bytes(whole[:length])
        error = opened(path)
        assert isinstance(error, TYPED), length
        if length >= 64:
            assert "cut short" in str(error), (length, str(error))


def test_a_big_endian_file_is_refused_as_such(tmp_path):
    path = tf.write_raw(tmp_path / "a.pt", table(tensor()), KEPT, byteorder=b"big")
    assert "big-endian" in str(opened(path))


def test_a_torchscript_program_and_other_archives_are_named(tmp_path):
    for names, what in (
        (["m/code/__torch__.py", "m/constants.pkl", "m/data.pkl"], "TorchScript"),
        (["[Content_Types].xml", "word/document.xml"], "office document"),
        (["readme.txt"], "not one that PyTorch wrote"),
    ):
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
            for name in names:
                file.writestr(name, b"x")
        error = opened(tmp_path / "a.pt")
        assert isinstance(error, ForeignFile) and what in str(error)


def test_the_scan_lists_what_a_pickle_asks_for(tmp_path):
    for protocol in (0, 2, 4):
        data = pickle.dumps([tf.Call(os.system, "x"), tf.Call(eval, "1"), np.arange(3)], protocol)
        asked = scan(data).names
        assert f"{os.system.__module__}.system" in asked, protocol
        assert any(name in asked for name in ("builtins.eval", "__builtin__.eval"))
    assert scan(b"\x80\x02garbage").problem and scan(b"").problem


@pytest.mark.parametrize("old", [False, True])
def test_inspecting_a_hostile_file_names_what_it_asks_for_and_runs_nothing(
    tmp_path, monkeypatch, old
):
    global watching
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pt"
    if old:
        path.write_bytes(
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(PAYLOADS["os.system"], 2)
        )
    else:
        tf.write(path, {"w": tf.tensor(0, np.ones(3, np.float32)), "x": PAYLOADS["os.system"]})
    seen.clear()
    watching = True
    finding = inspect(path)
    watching = False
    assert not seen and not finding.sound and not (tmp_path / "harmed").exists()
    lines = "\n".join(finding.lines)
    assert f"SUSPICIOUS {os.system.__module__}.system: can run programs" in lines


def test_the_watch_of_these_tests_sees_a_program_that_runs():
    global watching
    seen.clear()
    watching = True
    builtins.exec("1 + 1")
    watching = False
    assert seen
    seen.clear()
