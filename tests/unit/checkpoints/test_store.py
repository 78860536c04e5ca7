"""A checkpoint folder is whole or does not exist, whatever happens while it is written."""

import errno
import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints import manifest, saved_steps, store
from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.utils.errors import ConfigError, InputFileError, UserError

ROOT = Path(__file__).parents[3]


def arrays(step):
    draw = np.random.default_rng(step)
    return {
        "network": {
            "a.weight": draw.standard_normal((3, 4), dtype=np.float32),
            "b": np.array(step, np.int64),
        },
        "optimizer": {
            "m": draw.standard_normal(5),
            "mask": np.array([True, False]),
            "none": np.zeros((0, 2), np.float16),
        },
    }


def save(folder, step, keep=3):
    return store.save(
        folder, step, arrays(step), {"step": step, "sums": [0.1, None], "seed": 7}, keep=keep
    )


def assert_whole(folder, step):
    files, state = store.load(folder)
    assert state == {"step": step, "sums": [0.1, None], "seed": 7}
    assert files.keys() == arrays(step).keys()
    for name, wanted in arrays(step).items():
        assert files[name].keys() == wanted.keys()
        for key, array in wanted.items():
            got = files[name][key]
            assert (
                got.dtype == array.dtype
                and got.shape == array.shape
                and got.tobytes() == array.tobytes()
            )


def events(folder, monkeypatch):
    """The names of all events of one save over an earlier one."""
    told = []
    save(folder, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_hook", told.append)
        save(folder, 2, keep=2)
    return told


def test_a_checkpoint_comes_back_bit_for_bit_with_its_state(tmp_path):
    target = save(tmp_path, 12)
    assert target == tmp_path / "checkpoints" / "step-00000012" == saved_steps.latest(tmp_path)
    assert_whole(target, 12)
    assert sorted(p.name for p in target.iterdir()) == [
        "manifest.json",
        "network.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]


def test_the_manifest_says_sizes_hashes_step_seed_and_versions(tmp_path):
    held = manifest.read(save(tmp_path, 3))
    assert (
        held["step"] == 3
        and held["seed"] == 7
        and set(held["versions"]) == {"mindlong", "mindspore"}
    )
    row = held["files"]["network.safetensors"]
    assert row["arrays"] == 2 and len(row["sha256"]) == 64
    assert (
        row["bytes"] == (tmp_path / "checkpoints/step-00000003/network.safetensors").stat().st_size
    )


def test_only_the_files_asked_for_are_read(tmp_path):
    target = save(tmp_path, 1)
    (target / "optimizer.safetensors").write_bytes(b"damaged")
    assert set(store.load(target, ["network"]).files) == {"network"}
    with pytest.raises(InputFileError, match="holds no ema.safetensors; it has network"):
        store.load(target, ["ema"])


def test_the_newest_k_are_kept_and_never_fewer_than_two(tmp_path):
    for step in (1, 2, 3, 20):
        save(tmp_path, step, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000003",
        "step-00000020",
    ]
    with pytest.raises(ConfigError, match="at least 2"):
        save(tmp_path, 21, keep=1)


def test_saving_a_step_again_replaces_it(tmp_path):
    save(tmp_path, 1)
    target = save(tmp_path, 2)
    (target / "network.safetensors").write_bytes(b"")
    save(tmp_path, 2)
    assert_whole(target, 2)
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


KILLER = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
from pathlib import Path
import test_store as t
from mindlong.checkpoints import saved_steps, store
for k in range(int(sys.argv[2])):
    folder = Path(sys.argv[1]) / str(k)
    child = os.fork()
    if child == 0:
        t.save(folder, 1)
        told = []
        def hook(event):
            told.append(event)
            if len(told) == k + 1:
                os.kill(os.getpid(), signal.SIGKILL)
        store.write_hook = hook
        t.save(folder, 2, keep=2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (k, status)
"""


def test_a_kill_at_every_write_leaves_a_whole_checkpoint(tmp_path, monkeypatch, caplog):
    told = events(tmp_path / "all", monkeypatch)
    assert len(told) > 15 and told[-1] == "sync parent"
    code = KILLER.format(root=str(ROOT), here=str(Path(__file__).parent))
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(len(told))], check=True, timeout=60
    )
    renamed = told.index("rename")
    for k, event in enumerate(told):
        folder = tmp_path / str(k)
        survivor = saved_steps.latest(folder)
        assert survivor.name == ("step-00000002" if k > renamed else "step-00000001"), event
        assert_whole(survivor, 2 if k > renamed else 1)
        if 0 < k <= renamed:
            assert any("interrupted" in line for line in saved_steps.leftovers(folder)), event
        assert_whole(save(folder, 3), 3)
        assert not saved_steps.leftovers(folder), event


def test_a_full_disk_at_every_write_leaves_the_checkpoint_before_and_says_so(tmp_path, monkeypatch):
    told = events(tmp_path / "all", monkeypatch)
    for k, event in enumerate(told):
        folder, seen = tmp_path / str(k), []
        save(folder, 1)

        def full(event, k=k, seen=seen):
            seen.append(event)
            if len(seen) == k + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(store, "write_hook", full)
            with pytest.raises(
                UserError, match="the disk is full: .*step-00000002 needs .* untouched"
            ):
                save(folder, 2)
        assert_whole(folder / "checkpoints/step-00000001", 1)
        assert not list((folder / "checkpoints").glob("*.tmp")), event
        assert_whole(save(folder, 2), 2)


def test_a_write_that_the_system_refuses_is_one_sentence(tmp_path):
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(
            UserError, match=r"step-00000002 could not be written \(File too large\)"
        ):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved_steps.latest(tmp_path).name == "step-00000001"


def test_an_old_checkpoint_that_cannot_be_removed_does_not_fail_the_save(
    tmp_path, monkeypatch, caplog
):
    for step in (1, 2):
        save(tmp_path, step)

    def stuck(event):
        if event.startswith("drop"):
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store, "write_hook", stuck)
    with caplog.at_level(logging.WARNING, logger="mindlong"):
        assert_whole(save(tmp_path, 3, keep=2), 3)
    assert "could not be removed" in caplog.text


@pytest.mark.parametrize("name", ["network.safetensors", "optimizer.safetensors", "state.json"])
def test_a_flipped_byte_is_refused_and_the_file_named(tmp_path, name):
    target = save(tmp_path, 1)
    path = target / name
    for place in range(0, path.stat().st_size, 23):
        data = bytearray(path.read_bytes())
        data[place] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(CorruptCheckpoint, match=name):
            store.load(target)
        data[place] ^= 0x10
        path.write_bytes(data)
    assert_whole(target, 1)


def test_a_flipped_byte_in_the_manifest_makes_the_folder_no_checkpoint(tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2) / "manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x04]) + whole[place + 1 :])
        assert saved_steps.latest(tmp_path).name == "step-00000001", place
        with pytest.raises(InputFileError, match="manifest.json"):
            store.load(path.parent)


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_cut_or_missing_file_sends_the_run_to_the_checkpoint_before(tmp_path, damage, caplog):
    save(tmp_path, 1)
    path = save(tmp_path, 2) / "network.safetensors"
    path.write_bytes(path.read_bytes()[:-1]) if damage == "cut" else path.unlink()
    with caplog.at_level(logging.WARNING, logger="mindlong"):
        assert saved_steps.latest(tmp_path).name == "step-00000001"
    assert "network.safetensors" in caplog.text
    with pytest.raises(InputFileError, match="network.safetensors"):
        store.load(path.parent)


def test_a_folder_without_checkpoints_has_no_latest_and_a_wrong_path_is_an_error(tmp_path):
    assert saved_steps.latest(tmp_path) is None
    assert saved_steps.latest(tmp_path / "nowhere") is None
    with pytest.raises(InputFileError, match="not a finished checkpoint"):
        store.load(tmp_path / "nowhere")


def test_others_may_read_the_files_as_the_umask_says(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            target = save(tmp_path, mode)
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {mode}


def test_a_state_that_is_not_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="numbers, strings, lists and tables"):
        store.save(tmp_path, 1, arrays(1), {"step": np.float32(1)}, keep=2)
    assert not (tmp_path / "checkpoints").exists()


def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path):
    target = save(tmp_path, 1)
    held = json.loads((target / "manifest.json").read_text())
    held["files"]["../../outside"] = {"bytes": 1, "sha256": "", "arrays": 0}
    held.pop("checksum")
    held["checksum"] = manifest._checksum(held)
    (target / "manifest.json").write_text(json.dumps(held))
    with pytest.raises(CorruptCheckpoint, match="damaged"):
        store.load(target)
