"""Ten thousand flipped bytes over files of all kinds: the arrays that went in, or one typed
error.
"""

import hashlib
import json
import random
import struct
import time
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.torch_writer import write_torch

TYPED = (UnsafeCheckpoint, CorruptCheckpoint, ForeignFile)
GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
DRAW = np.random.default_rng(0)


def some_arrays():
    brain = (DRAW.integers(0, 65536, (3, 5)).astype(np.uint32) << 16).view(np.float32)
    return {
        "a.weight": DRAW.standard_normal((4, 6), dtype=np.float32),
        "a.bias": np.arange(4.0),
        "half": DRAW.standard_normal(9).astype(np.float16),
        "brain": Lazy((3, 5), "bfloat16", lambda: brain),
        "whole": np.arange(-3, 3),
        "mask": np.array([True, False]),
        "none": np.zeros((0, 2), np.float32),
    }


def our_torch(path):
    write_torch(path, {"step": 3, "model": some_arrays()})


def pythons_torch(path):
    base = DRAW.standard_normal((5, 6)).astype(np.float32)
    storage = tf.Storage(9, "FloatStorage", base.tobytes())
    tf.write(
        path,
        {
            "w": OrderedDict(
                a=tf.tensor(0, DRAW.standard_normal((3, 4))), b=tf.tensor(1, np.arange(7))
            ),
            "turned": tf.Tensor(storage, 0, (6, 5), (1, 6)),
            "part": tf.Tensor(storage, 6, (2, 6), (6, 1)),
        },
        4,
    )


def torchs_own(path):
    path.write_bytes((GOLDEN / "torch_formats.pt").read_bytes())


def safetensors(path):
    write_safetensors(path, some_arrays(), {"note": "x"})


def numpys(path):
    np.savez(
        path,
        a=DRAW.standard_normal((3, 4)),
        b=np.asfortranarray(DRAW.standard_normal((4, 3))),
        c=np.arange(5),
    )


def varint(n):
    return (bytes([n & 127 | 128]) + varint(n >> 7)) if n > 127 else bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def mindspores(path):
    out = b""
    for name, array in (
        ("a.weight", DRAW.standard_normal((40, 5)).astype(np.float32)),
        ("b", np.arange(6, dtype=np.int32)),
    ):
        halves = (
            [array.tobytes()[:80], array.tobytes()[80:]]
            if name == "a.weight"
            else [array.tobytes()]
        )
        for half in halves:  # large tensors come in pieces
            dims = b"".join(b"\x08" + varint(n) for n in array.shape)
            kind = field(2, array.dtype.name.capitalize().encode())
            out += field(1, field(1, name.encode()) + field(2, dims + kind + field(3, half)))
    path.write_bytes(out + b"crc_num" + zlib.crc32(out).to_bytes(10, "big"))


WRITERS = {
    "ours.pt": our_torch,
    "pythons.pt": pythons_torch,
    "torchs.pt": torchs_own,
    "ours.safetensors": safetensors,
    "numpys.npz": numpys,
    "mindspores.ckpt": mindspores,
}


def contents(path):
    weights = open_weights(path)
    return {
        name: (weights.shape(name), weights.dtype(name), weights.read(name).tobytes())
        for name in weights
    }


def flip(whole, draw):
    """One byte changed; headers, which are the interesting part, are hit as often as numbers."""
    data = bytearray(whole)
    place = draw.randrange(len(data))
    data[place] ^= draw.choice((1, 2, 4, 8, 16, 32, 64, 128, 255, draw.randrange(1, 256)))
    return place, bytes(data)


def hammer(tmp_path, name, count, seed):
    path = tmp_path / name
    WRITERS[name](path)
    whole, wanted, draw = path.read_bytes(), contents(path), random.Random(seed)
    refused, slowest = 0, 0.0
    for _ in range(count):
        place, data = flip(whole, draw)
        path.write_bytes(data)
        start = time.monotonic()
        try:
            got = contents(path)
        except TYPED as error:
            assert str(error).startswith(str(path))
            refused += 1
        else:
            assert got == wanted, (
                f"{name}: byte {place} was {whole[place]:02x}, is {data[place]:02x}"
            )
        slowest = max(slowest, time.monotonic() - start)
    assert refused > count // 4, "hardly any flip was noticed: is the file read at all?"
    assert slowest < 10


@pytest.mark.parametrize("name", WRITERS)
def test_flipped_bytes_give_the_right_arrays_or_one_typed_error(tmp_path, name):
    hammer(tmp_path, name, 200, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_ten_thousand_flipped_bytes(tmp_path, name):
    hammer(tmp_path, name, 1700, 2)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_or_lengthened_gives_one_typed_error(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    lengths = random.Random(3).sample(range(len(whole)), 60)
    for data in (*(whole[:length] for length in lengths), whole + b"\0", whole + whole):
        path.write_bytes(data)
        with pytest.raises(TYPED):
            contents(path)


@pytest.mark.parametrize("name", ["torch_formats", "vdm_trainer"])
def test_files_that_torch_wrote_come_out_as_torch_reads_them(name):
    weights, wanted = (
        open_weights(GOLDEN / f"{name}.pt"),
        json.loads((GOLDEN / f"{name}.json").read_text()),
    )
    assert set(weights) == set(wanted)
    for key, (shape, kind, digest) in wanted.items():
        array = weights.read(key)
        assert [list(array.shape), array.dtype.name] == [shape, kind], key
        assert hashlib.sha256(array.tobytes()).hexdigest() == digest, key


def test_a_length_field_of_any_value_is_no_way_to_hang_or_to_take_memory(tmp_path):
    """The 8 bytes that say how long a safetensors header is, and the counts at the end of a zip
    archive.
    """
    path = tmp_path / "a.safetensors"
    safetensors(path)
    whole = path.read_bytes()
    for length in (0, 1, 2, len(whole), 2**31, 2**32 - 1, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", length) + whole[8:])
        with pytest.raises(TYPED):
            contents(path)
    our_torch(tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    for place in range(len(whole) - 22, len(whole), 2):
        for value in (0, 1, 0x7FFF, 0xFFFF):
            data = whole[:place] + struct.pack("<H", value) + whole[place + 2 :]
            if data != whole:
                (tmp_path / "a.pt").write_bytes(data)
                with pytest.raises(TYPED):
                    contents(tmp_path / "a.pt")
