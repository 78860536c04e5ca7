"""Places that are no files, names that trick, shapes that no memory holds: one sentence each."""

import json
import os
import struct

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints.branch import branch_spec
from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.cli.convert import command as convert
from mindlong.cli.inspect import command as inspect
from mindlong.utils.errors import InputFileError
from mindlong.utils.json_file import read_table


def safetensors(path, header, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def looked(capsys, path, *more):
    code = inspect([str(path), *more])
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return code, out.out + out.err


def test_pipes_devices_and_links_are_named_and_do_not_hang(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.pt")
    os.symlink("loop.pt", tmp_path / "loop.pt")
    os.symlink("nowhere.pt", tmp_path / "lost.pt")
    for path, word in (
        (tmp_path / "pipe.pt", "is a pipe, not a file"),
        ("/dev/zero", "is a device, not a file"),
        (tmp_path / "loop.pt", "a link to nothing, or to itself"),
        (tmp_path / "lost.pt", "a link to nothing, or to itself"),
        (tmp_path / ("n" * 300), "cannot be read (File name too long)"),
    ):
        code, text = looked(capsys, path)
        assert code == 3 and word in text
        assert convert(["--src", str(path), "--dst", str(tmp_path / "x.safetensors")]) == 3
        assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["a" * 300, "../x.safetensors", "/etc/passwd", "..", "", "a\\b", "a\0b", "sub/x.safetensors"],
)
def test_an_index_names_files_beside_it_only(tmp_path, name):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(CorruptCheckpoint, match="not an index of shards: it names") as caught:
        open_weights(tmp_path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_names_are_printed_escaped(tmp_path, capsys):
    tricky = "\x1b[2J\x1b[31mevil\nSAFE\r\ud800\u202e"
    path = safetensors(
        tmp_path / "a.safetensors",
        {
            tricky: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            "__metadata__": {tricky[:8]: tricky[:20]},
        },
        bytes(4),
    )
    code, text = looked(capsys, path, "--names")
    assert code == 0 and "\\x1b[2J" in text and "\\ud800" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert convert(["--src", str(path), "--dst", str(tmp_path / "b.safetensors")]) == 3
    assert all(line.isprintable() for line in capsys.readouterr().err.split("\n"))


SHAPES = ([0, 2**62, 4], [0, 2**61, 2**61], [2**40, 0, 2**40], [1] * 64, [0] * 33)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_that_no_memory_holds_are_the_readers_own_error(tmp_path, shape):
    size = 4 * int(0 not in shape)
    path = safetensors(
        tmp_path / "a.safetensors",
        {"z": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}},
        bytes(size),
    )
    with pytest.raises(CorruptCheckpoint, match="which no memory holds|axes; 32 is the most"):
        open_weights(path)
    storage = tf.Storage(0, "FloatStorage", bytes(4))
    wide = tf.Tensor(storage, 0, tuple(shape), (1,) * len(shape))
    with pytest.raises(CorruptCheckpoint):
        open_weights(tf.write(tmp_path / "a.pt", {"z": wide}))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a": NaN}', "not finite"),
        ('{"a": 1e999}', "not finite"),
        ("[1]", "holds a list"),
        ("", "not readable JSON"),
        ('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), "not readable JSON"),
    ],
)
def test_small_json_files_are_tables_of_finite_numbers(tmp_path, text, word):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputFileError, match=word):
        read_table(path)
    with pytest.raises(InputFileError, match="more than 5 bytes"):
        path.write_text("{}      ")
        read_table(path, most=5)


def test_a_description_of_a_branch_that_is_damaged_is_one_sentence(tmp_path):
    for text in ("{", "[1]", '{"no": 1}', "[" * 50_000):
        write_safetensors(tmp_path / "a.safetensors", {"control.a": np.ones(2)}, {"control": text})
        with pytest.raises(CorruptCheckpoint, match="says of the branch is damaged"):
            branch_spec(open_weights(tmp_path / "a.safetensors"))


def test_a_header_of_128_bytes_is_no_pickle(tmp_path, capsys):
    header = {
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "__metadata__": {"p": ""},
    }
    short = len(json.dumps(header))
    header["__metadata__"]["p"] = "x" * (128 - short)
    path = safetensors(tmp_path / "a.bin", header, bytes(24))
    assert path.read_bytes()[0] == 0x80
    code, text = looked(capsys, path)
    assert code == 0 and "SUSPICIOUS" not in text and "pickle" not in text


def test_tables_of_half_precision_are_the_cosine_ones(tmp_path):
    from mindlong.diffusion.schedules import cosine
    from mindlong.networks.unet3d.files import BUFFERS, facts

    tables = {name: cosine(200).table(name) for name in BUFFERS}
    with np.errstate(over="ignore"):
        for kind in ("float32", "float16"):
            write_torch(tmp_path / "a.pt", {n: t.astype(kind) for n, t in tables.items()})
            found, notes = facts(open_weights(tmp_path / "a.pt"), "denoise_fn.")
            assert found["timesteps"] == "200" and not notes, kind
    write_torch(tmp_path / "a.pt", {**tables, "betas": np.linspace(0, 0.1, 200)})
    assert facts(open_weights(tmp_path / "a.pt"), "denoise_fn.")[1]
