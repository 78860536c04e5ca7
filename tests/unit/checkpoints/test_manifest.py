"""A file of a checkpoint is compared with its manifest wherever it is read, once in a process."""

import json
import shutil

import numpy as np
import pytest

from mindlong.checkpoints import digests, store
from mindlong.checkpoints.changed import tuned_over
from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.files import open_named, open_weights
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.parts import Part
from mindlong.cli.convert import command as convert
from mindlong.cli.inspect import command as inspect
from mindlong.networks.table import get
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import InputFileError

SPEC = Unet3DSpec(dim=8, dim_mults=(1,))
MODEL = "model: {family: vdm, dim: 8, dim_mults: [1]}\n"


@pytest.fixture
def folder(tmp_path):
    """A run with one checkpoint."""
    arrays = {f"unet.{e.ours}": np.full(e.our_shape, 0.5, np.float32) for e in names(SPEC)}
    files = {
        "network": arrays,
        "ema": arrays,
        "tuned": {"unet.a": np.ones(2), "base": np.zeros(32, np.uint8)},
    }
    made = store.save(tmp_path / "run", 1, files, {"step": 1})
    (tmp_path / "run/config.yaml").write_text(MODEL)
    return made


def flip(path):
    """One bit of the last number, which no header or size tells."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def run(folder):
    return folder.parents[1]


READERS = {
    "file": lambda f: open_weights(f / "ema.safetensors"),
    "checkpoint": open_weights,
    "run": lambda f: open_weights(run(f)),
    "infer": lambda f: find_trained(str(run(f))),
    "named": lambda f: open_named(str(f)),
    "resume": store.load,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_is_refused(folder, reader):
    READERS[reader](folder)
    flip(folder / "ema.safetensors")
    with pytest.raises(CorruptCheckpoint, match="ema.safetensors was changed after it was written"):
        READERS[reader](folder)


def test_converter_and_inspector_refuse_it(folder, tmp_path, capsys):
    flip(folder / "ema.safetensors")
    assert convert(["--src", str(run(folder)), "--dst", str(tmp_path / "a.pt")]) == 3
    assert "its SHA-256 differs" in capsys.readouterr().err
    assert inspect([str(folder)]) == 3
    assert "its SHA-256 differs" in capsys.readouterr().out


def test_a_file_of_tuned_tensors_is_compared_too(folder):
    flip(folder / "tuned.safetensors")
    with pytest.raises(CorruptCheckpoint, match="tuned.safetensors was changed"):
        tuned_over(Part(get("vdm"), SPEC, {}), folder)


def test_each_file_is_read_once_for_its_digest(folder, monkeypatch):
    monkeypatch.setattr(digests, "is_settled", lambda found, seconds: True)
    monkeypatch.setattr(digests, "_known", {})
    seen, read = [], digests._read
    monkeypatch.setattr(
        digests, "_read", lambda path, size: seen.append(path.name) or read(path, size)
    )
    for _ in range(3):
        open_weights(folder)
    assert seen == ["ema.safetensors"]


def test_a_missing_manifest_is_said(folder, capsys):
    (folder / "manifest.json").unlink()
    with pytest.raises(InputFileError, match="a checkpoint without its manifest.json"):
        open_weights(folder)
    notes = open_weights(folder / "ema.safetensors").notes
    assert notes == (
        "there is no manifest.json beside ema.safetensors: whether it was changed cannot be checked",
    )
    assert inspect([str(folder / "ema.safetensors")]) == 0
    assert "there is no manifest.json" in capsys.readouterr().out


def test_a_damaged_manifest_is_refused_and_a_strangers_is_none(folder, tmp_path):
    manifest = folder / "manifest.json"
    whole = manifest.read_text()
    for text in ("{", "[" * 50_000, "{}", whole.replace('"step": 1', '"step": 2')):
        manifest.write_text(text)
        with pytest.raises(CorruptCheckpoint, match="manifest.json is damaged"):
            open_weights(folder / "ema.safetensors")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "ema.safetensors", other / "model.safetensors")
    (other / "manifest.json").write_text(json.dumps({"name": "an app"}))
    assert open_weights(other).notes == ()


def test_a_file_that_the_manifest_does_not_know_is_said(folder):
    shutil.copy(folder / "ema.safetensors", folder / "mine.safetensors")
    assert "is not in the manifest.json" in open_weights(folder / "mine.safetensors").notes[0]
