"""Loading is strict, whatever the file's form; what is no weight file is named as what it is."""

import gzip
import json
import pickle

import numpy as np
import pytest
import torch_files as tf
from mindspore import nn

from mindlong.checkpoints import safetensors_file, store
from mindlong.checkpoints.faults import CorruptCheckpoint, ForeignFile, UnsafeCheckpoint
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.load import arrays_of, load_into
from mindlong.checkpoints.report import compare
from mindlong.utils.errors import InputFileError, UserError


class Pair(nn.Cell):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Dense(2, 3), nn.Dense(3, 1)

    def construct(self, x):
        return self.second(self.first(x))


def weights():
    draw = np.random.default_rng(0)
    shapes = {
        "first.weight": (3, 2),
        "first.bias": (3,),
        "second.weight": (1, 3),
        "second.bias": (1,),
    }
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_every_parameter_is_filled_and_keeps_its_own_memory():
    cell, given = Pair(), weights()
    report = load_into(cell, given)
    assert report.fits and len(report.mapped) == 4
    given["first.weight"][:] = 7
    got = arrays_of(cell)
    assert not (got["first.weight"] == 7).any()
    got["first.bias"][:] = 9
    assert not (arrays_of(cell)["first.bias"] == 9).any()


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "whole numbers"])
def test_what_does_not_fit_changes_nothing_and_is_a_table_with_the_nearest_name(change):
    cell, given = Pair(), weights()
    before = arrays_of(cell)
    wanted = {
        "missing": "missing    second.weight   (nearest: second.wieght)",
        "extra": "extra      second.wieght   (nearest: second.weight)",
        "shape": "misshaped  second.weight: [1, 3] needed, [3, 1] found",
        "whole numbers": "second.weight is int64 in mine.pt and float32 in the network",
    }[change]
    if change in ("missing", "extra"):
        given["second.wieght"] = given.pop("second.weight")
    else:
        given["second.weight"] = (
            np.zeros((3, 1), np.float32) if change == "shape" else np.ones((1, 3), np.int64)
        )
    with pytest.raises(InputFileError) as error:
        load_into(cell, given, what="mine.pt")
    assert wanted in str(error.value) and "mine.pt" in str(error.value)
    assert all((arrays_of(cell)[name] == array).all() for name, array in before.items())


def test_patterns_let_names_pass_but_never_a_wrong_shape():
    cell, given = Pair(), weights()
    given |= {"control.a": np.ones(2), "control.b": np.ones(2)}
    given.pop("second.bias")
    with pytest.raises(InputFileError, match="1 missing, 2 extra"):
        load_into(cell, given)
    with pytest.raises(InputFileError, match="1 missing, 0 extra, 0 misshaped, 2 let pass"):
        load_into(cell, given, allow=["control.*"])
    assert load_into(cell, given, allow=["control.*", "second.bias"]).allowed == (
        "second.bias",
        "control.a",
        "control.b",
    )
    with pytest.raises(InputFileError, match="1 misshaped"):
        load_into(cell, {**weights(), "first.bias": np.ones(4, np.float32)}, allow=["*"])


def test_half_precision_files_fill_single_precision_parameters(tmp_path):
    cell = Pair()
    for kind in ("float16", "bfloat16"):
        write_safetensors(tmp_path / f"{kind}.safetensors", weights(), dtype=kind)
        load_into(cell, open_weights(tmp_path / f"{kind}.safetensors"))
        for name, array in arrays_of(cell).items():
            assert array.dtype == np.float32 and np.allclose(array, weights()[name], rtol=1e-2)


def test_a_long_table_is_cut_and_quick():
    needed = {f"block.{i}.attention.weight": (2,) for i in range(1500)}
    found = {f"block.{i}.attn.weight": (2,) for i in range(1500)}
    lines = compare(needed, found).lines()
    assert lines[0] == "0 mapped, 1500 missing, 1500 extra, 0 misshaped"
    assert (
        sum("nearest: block." in line for line in lines) == 24 and "... and 1488 more" in lines[13]
    )


def test_one_interface_for_every_form(tmp_path):
    given = weights()
    write_safetensors(tmp_path / "a.safetensors", given)
    tf.write(
        tmp_path / "a.pt",
        {name: tf.tensor(i, array) for i, (name, array) in enumerate(given.items())},
    )
    np.savez(tmp_path / "a.npz", **given)
    for suffix, kind in (("safetensors", "safetensors"), ("pt", "PyTorch"), ("npz", "numpy")):
        opened = open_weights(tmp_path / f"a.{suffix}")
        assert opened.kind == kind and not opened.notes and len(opened) == 4
        assert {name: opened[name].tobytes() for name in opened} == {
            n: a.tobytes() for n, a in given.items()
        }
        with pytest.raises(
            InputFileError, match=r"no tensor 'first.wight'. Did you mean 'first.weight'\?"
        ):
            opened.read("first.wight")


def test_mindspores_own_checkpoint_is_read_without_mindspore(tmp_path):
    import mindspore

    cell = Pair()
    for check in (False, True):
        mindspore.save_checkpoint(cell, str(tmp_path / "a.ckpt"), crc_check=check)
        opened = open_weights(tmp_path / "a.ckpt")
        assert opened.kind == "MindSpore"
        assert {n: a.tobytes() for n, a in opened.items()} == {
            n: a.tobytes() for n, a in arrays_of(cell).items()
        }


def test_the_content_decides_and_a_wrong_suffix_is_noted(tmp_path):
    write_safetensors(tmp_path / "a.ckpt", weights())
    opened = open_weights(tmp_path / "a.ckpt")
    assert opened.kind == "safetensors" and "safetensors file by its content" in opened.notes[0]
    tf.write(tmp_path / "b.safetensors", {"w": tf.tensor(0, np.ones(2))})
    opened = open_weights(tmp_path / "b.safetensors")
    assert opened.kind == "PyTorch" and "PyTorch file by its content" in opened.notes[0]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 6538608799\n"
STRANGERS = {
    "a git-lfs pointer": (
        LFS,
        "git-lfs pointer .* not the weights of 6538608799 bytes .*git lfs pull",
    ),
    "a web page": (b"\n<!DOCTYPE html>\n<html><head>", "HTML page, not weights"),
    "an old web page": (b"<HTML><BODY>Not Found", "HTML page"),
    "an S3 error": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "XML text"),
    "a JSON error": (b'{"error": "Access to model is restricted"}', "JSON text, not weights"),
    "a text": (b"Entry not found\n", "a text of 16 bytes"),
    "nothing": (b"", "is empty"),
    "zeros": (bytes(10_000), "begins with zeros only"),
    "an old torch file": (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
        "PyTorch before 1.6",
    ),
    "a bare pickle": (
        pickle.dumps({"w": [1, 2]}, 4),
        "bare pickle, which is a program and is not run",
    ),
    "gzip": (gzip.compress(b"x" * 5000), "gzip archive; unpack it first"),
    "GGUF": (b"GGUF" + bytes(range(1, 100)), "GGUF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(range(1, 100)), "HDF5"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG image"),
    "a video": (bytes([0, 0, 0, 24]) + b"ftypmp42" + bytes(50), "MP4 video"),
    "one array": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", "single numpy array"),
    "noise": (np.random.default_rng(1).bytes(5000), "not a weight file that is known here"),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors", "bin"])
def test_what_is_no_weight_file_is_named(tmp_path, name, suffix):
    data, sentence = STRANGERS[name]
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(data)
    with pytest.raises((ForeignFile, CorruptCheckpoint), match=sentence) as error:
        open_weights(path)
    assert str(error.value).startswith(str(path)) and error.value.exit_code == 3


def test_the_tar_form_of_early_torch_is_named(tmp_path):
    import tarfile

    (tmp_path / "pickle").write_bytes(b"x")
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        archive.add(tmp_path / "pickle", "pickle")
    with pytest.raises(ForeignFile, match="tar form of PyTorch"):
        open_weights(tmp_path / "a.pth")


def test_a_download_that_stopped_is_named_with_its_bytes(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", weights())
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:-8])
    with pytest.raises(
        CorruptCheckpoint,
        match=rf"cut short: {len(whole) - 8} bytes, its header describes {len(whole)}",
    ):
        open_weights(tmp_path / "a.safetensors")


def header(table, data=b""):
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + data


def row(begin, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


HEADERS = {
    "overlap": (header({"a": row(0, 8), "b": row(4, 12)}, bytes(12)), "overlaps"),
    "hole": (header({"a": row(0, 8), "b": row(12, 20)}, bytes(20)), "leaves a hole"),
    "behind": (header({"a": row(0, 8)}, bytes(9)), "1 bytes too many"),
    "size": (header({"a": row(0, 12)}, bytes(12)), "needs 8 bytes, the header gives it 12"),
    "format": (header({"a": row(0, 8, dtype="F33")}, bytes(8)), "unknown number format"),
    "negative": (header({"a": row(0, 8, shape=(-2, -1))}, bytes(8)), "damaged"),
    "truth": (header({"a": row(False, 8)}, bytes(8)), "damaged"),
    "fraction": (header({"a": row(0, 8.0)}, bytes(8)), "damaged"),
    "row": (header({"a": [1, 2]}), "unknown number format"),
    "list": (header(b"{[]}"), "not readable"),
    "depth": (header(b'{"a":' * 100_000), "not readable"),
    "twice": (header(b'{"a":1,"a":1}'), "stands twice"),
    "metadata": (header({"__metadata__": {"a": 1}}), "not a table of strings"),
    "text": (header(b'{"\xff":1}'), "not readable"),
    "checksums": (
        header({"__metadata__": {"mindlong_crc32": "zz"}, "a": row(0, 8)}, bytes(8)),
        "checksums is damaged",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_safetensors_header_that_contradicts_itself_is_refused(tmp_path, name):
    data, sentence = HEADERS[name]
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(CorruptCheckpoint, match=sentence):
        open_weights(tmp_path / "a.safetensors")


def test_the_safetensors_library_reads_what_is_written_here_and_the_reverse(tmp_path):
    from safetensors.numpy import load_file, save_file

    given = {
        **weights(),
        "n": np.arange(3),
        "h": np.ones((1, 3), np.float16),
        "s": np.float32(3),
        "m": np.array([True]),
    }
    write_safetensors(tmp_path / "ours.safetensors", given)
    assert {n: a.tobytes() for n, a in load_file(tmp_path / "ours.safetensors").items()} == {
        n: a.tobytes() for n, a in given.items()
    }
    save_file(weights(), tmp_path / "theirs.safetensors")
    assert {n: a.tobytes() for n, a in open_weights(tmp_path / "theirs.safetensors").items()} == {
        n: a.tobytes() for n, a in weights().items()
    }


def test_a_failed_write_leaves_the_file_before(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, weights())
    before = path.read_bytes()
    with pytest.raises(UserError, match="beyond the range of float16"):
        write_safetensors(path, {"w": np.full(3, 1e5, np.float32)}, dtype="float16")
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def shards(folder):
    given = weights()
    parts = {
        "m-1.safetensors": ["first.weight", "first.bias"],
        "m-2.safetensors": ["second.weight", "second.bias"],
    }
    for file, names in parts.items():
        write_safetensors(folder / file, {name: given[name] for name in names})
    table = {name: file for file, names in parts.items() for name in names}
    (folder / "m.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": table})
    )
    return folder / "m.safetensors.index.json", table


def test_shards_are_one_file_by_their_index_or_folder(tmp_path):
    index, _ = shards(tmp_path)
    for path in (index, tmp_path):
        opened = open_weights(path)
        assert opened.kind == "safetensors, 2 shards"
        assert {n: a.tobytes() for n, a in opened.items()} == {
            n: a.tobytes() for n, a in weights().items()
        }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"first.weight": "m-3.safetensors"}, "the shard m-3.safetensors is missing"),
        (
            {"first.weight": "m-2.safetensors"},
            "'first.weight' should be in m-2.safetensors and is not",
        ),
        (
            {"first.weight": None},
            "1 tensors of its shards are not in the index, first 'first.weight'",
        ),
        ({"first.weight": "../m-1.safetensors"}, "not an index of shards"),
        ({"first.weight": 3}, "not an index of shards"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path, change, sentence):
    index, table = shards(tmp_path)
    if change["first.weight"] is None:
        table.pop("first.weight")
    else:
        table |= change
    index.write_text(json.dumps({"weight_map": table}))
    with pytest.raises(InputFileError, match=sentence):
        open_weights(index)


def test_folders_mean_the_weights_in_them(tmp_path):
    store.save(
        tmp_path / "run", 3, {"network": weights(), "optimizer": {"m": np.ones(2)}}, {}, keep=2
    )
    assert open_weights(tmp_path / "run").path.name == "network.safetensors"
    store.save(tmp_path / "run", 4, {"network": weights(), "ema": weights()}, {}, keep=2)
    assert open_weights(tmp_path / "run").path.parts[-2:] == ("step-00000004", "ema.safetensors")
    assert (
        open_weights(tmp_path / "run/checkpoints/step-00000003").path.parts[-2] == "step-00000003"
    )
    (tmp_path / "one").mkdir()
    with pytest.raises(InputFileError, match="no weight files in it"):
        open_weights(tmp_path / "one")
    write_safetensors(tmp_path / "one/odd_name.safetensors", weights())
    assert len(open_weights(tmp_path / "one")) == 4
    with pytest.raises(InputFileError, match="there is no such file"):
        open_weights(tmp_path / "nowhere.pt")


def test_far_too_many_tensors_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "MAX_TENSORS", 3)
    rows = {str(i): row(0, 0, shape=(0,)) for i in range(4)}
    (tmp_path / "a.safetensors").write_bytes(header(rows))
    with pytest.raises(UnsafeCheckpoint, match="4 tensors; weight files have far fewer than 3"):
        open_weights(tmp_path / "a.safetensors")
