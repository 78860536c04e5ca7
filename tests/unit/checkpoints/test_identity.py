"""What weights are by their content: digests, and when a file is read again."""

import json
import os
import shutil
import time

import numpy as np
import pytest

from mindlong.checkpoints import digests, store
from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.identity import identity, is_same
from mindlong.utils.errors import InputFileError


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_known", {})


@pytest.fixture
def reads(monkeypatch):
    """The files that are read for a digest, in order."""
    found, read = [], digests._read
    monkeypatch.setattr(
        digests, "_read", lambda path, size: found.append(path.name) or read(path, size)
    )
    return found


def weights(path, value=1.0):
    write_safetensors(path, {"a": np.full((3, 4), value, np.float32)})
    return path


def aged(path, seconds=10):
    """As if written a while ago, for the first time in this process and on this disk."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(file, (time.time() - seconds,) * 2)
    return path


def settled(monkeypatch):
    monkeypatch.setattr(digests, "is_settled", lambda found, seconds: True)


def pipeline(folder):
    for part in ("unet", "vae"):
        weights(folder / f"{part}.safetensors")
        (folder / f"{part}.yaml").write_text("family: x\n")
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    return folder


def test_one_file_has_its_own_sha256_its_size_and_its_time(tmp_path):
    path = aged(weights(tmp_path / "a.safetensors"))
    found = identity(path)
    assert found == {
        "bytes": path.stat().st_size,
        "modified": path.stat().st_mtime,
        "sha256": digests.file_sha256(path),
    }
    json.dumps(found)


def test_equal_content_is_the_same_anywhere_and_another_value_is_not(tmp_path):
    one = identity(weights(tmp_path / "a.safetensors"))
    assert is_same(one, identity(weights(tmp_path / "other/b.safetensors")))
    assert not is_same(one, identity(weights(tmp_path / "c.safetensors", 2.0)))


@pytest.mark.parametrize(
    "changed", ["unet.safetensors", "vae.yaml", "scheduler/scheduler_config.json", "config.yaml"]
)
def test_every_file_of_a_pipeline_counts_and_its_place_does_not(tmp_path, changed):
    first = identity(pipeline(tmp_path / "a"))
    assert is_same(first, identity(shutil.copytree(tmp_path / "a", tmp_path / "b")))
    with (tmp_path / "b" / changed).open("ab") as file:
        file.write(b"\n")
    assert not is_same(first, identity(tmp_path / "b"))


def test_of_a_run_the_averaged_weights_of_its_newest_checkpoint_count(tmp_path):
    arrays = {"a": np.ones(3, np.float32)}
    for step in (1, 2):
        files = {
            "network": arrays,
            "ema": {"a": arrays["a"] * step},
            "optimizer": {"m.a": arrays["a"]},
        }
        store.save(tmp_path / "run", step, files, {})
    newest = tmp_path / "run/checkpoints/step-00000002"
    found = identity(tmp_path / "run")
    assert found["sha256"] == digests.file_sha256(newest / "ema.safetensors")
    assert is_same(found, identity(newest)) and is_same(found, identity(newest / "ema.safetensors"))


def test_a_shipped_model_has_an_identity():
    assert len(identity("shipped:vdm_shapes")["sha256"]) == 64


def test_a_file_is_read_once_in_a_process_and_again_after_a_change(tmp_path, reads, monkeypatch):
    settled(monkeypatch)
    path = weights(tmp_path / "a.safetensors")
    first = identity(path)
    assert is_same(first, identity(path)) and reads == ["a.safetensors"]
    weights(path, 3.0)
    assert not is_same(first, identity(path)) and len(reads) == 2


def test_a_later_process_takes_the_digest_from_the_cache(tmp_path, reads, monkeypatch):
    settled(monkeypatch)
    path = weights(tmp_path / "a.safetensors")
    first = identity(path)
    digests._known.clear()
    assert is_same(first, identity(path)) and len(reads) == 1
    for kept in (tmp_path / "cache/digests").iterdir():
        assert kept.stat().st_mode & 0o777 == 0o600


def test_a_change_of_bytes_under_the_old_date_is_noticed(tmp_path, monkeypatch):
    settled(monkeypatch)
    path = aged(weights(tmp_path / "a.safetensors"))
    first, before = identity(path), path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    digests._known.clear()
    assert not is_same(first, identity(path))


def test_a_file_that_was_just_written_is_not_trusted_by_its_date(tmp_path, reads):
    path = weights(tmp_path / "a.safetensors")
    identity(path)
    identity(path)
    assert len(reads) == 2 and not (tmp_path / "cache").exists()


def test_a_cache_that_others_may_write_is_not_read(tmp_path, reads, monkeypatch):
    settled(monkeypatch)
    path = weights(tmp_path / "a.safetensors")
    first = identity(path)
    (kept,) = (tmp_path / "cache/digests").iterdir()
    content = json.loads(kept.read_text())
    kept.write_text(json.dumps({**content, "sha256": "0" * 64}))
    kept.chmod(0o600)
    kept.parent.chmod(0o777)
    digests._known.clear()
    assert is_same(first, identity(path)) and len(reads) == 2


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{}", '{"stamp": 1}', "null"])
def test_a_damaged_cache_costs_time_only(tmp_path, monkeypatch, text):
    settled(monkeypatch)
    path = weights(tmp_path / "a.safetensors")
    first = identity(path)
    (kept,) = (tmp_path / "cache/digests").iterdir()
    kept.write_text(text)
    digests._known.clear()
    assert is_same(first, identity(path))


def test_a_cache_that_cannot_be_made_costs_time_only(tmp_path, monkeypatch):
    settled(monkeypatch)
    (tmp_path / "cache").write_text("a file in its place")
    assert identity(weights(tmp_path / "a.safetensors"))["bytes"]


def test_what_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputFileError, match="nothing at"):
        identity(tmp_path / "none.safetensors")
