"""A conversion leaves the whole result or nothing, and the next try works."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints import import_files
from mindlong.checkpoints.files import write_torch
from mindlong.checkpoints.staged import staged
from mindlong.cli.convert import command
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import UserError

ROOT = Path(__file__).parents[3]
SPEC = Unet3DSpec(dim=8, dim_mults=(1,))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in/a.pt"
    path.parent.mkdir()
    write_torch(path, {e.source: np.ones(e.source_shape, np.float32) for e in names(SPEC)})
    return path


def left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("here", [".", ".."])
def test_the_folder_may_be_the_one_that_one_stands_in(source, tmp_path, monkeypatch, here):
    out = tmp_path / "out"
    (out / "inner").mkdir(parents=True)
    monkeypatch.chdir(out / "inner" if here == ".." else out)
    assert command(["--src", str(source), "--dst", here, "--overwrite"]) == 0
    made = left(out)
    assert made and not any("inner" in name for name in made)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("dst", ["out", "out/deep/er", "b.safetensors", "new/b.safetensors"])
def test_a_full_disk_leaves_nothing_and_the_next_try_works(
    tmp_path, source, capsys, monkeypatch, dst
):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "to" / dst
    (tmp_path / "to").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(import_files, "_write_model", full)  # after the weights
        assert command(["--src", str(source), "--dst", str(target)]) == 1
    error = capsys.readouterr().err
    assert f"the disk is full: {target} needs " in error and "nothing of it was kept" in error
    assert "Traceback" not in error and not list((tmp_path / "to").iterdir())
    assert command(["--src", str(source), "--dst", str(target)]) == 0


def test_a_write_that_the_system_cuts_leaves_nothing(tmp_path, source, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        assert command(["--src", str(source), "--dst", str(tmp_path / "out")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{tmp_path / 'out'} could not be written (File too large)" in capsys.readouterr().err
    assert left(tmp_path) == ["in/a.pt"] and not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_one_sentence(tmp_path, source, capsys):
    (tmp_path / "file").write_text("mine")
    assert command(["--src", str(source), "--dst", str(tmp_path / "file/out")]) in (1, 2)
    error = capsys.readouterr().err
    assert "could not be written (Not a directory)" in error and "Traceback" not in error
    assert (tmp_path / "file").read_text() == "mine"


def test_what_was_there_stays_when_a_replacement_fails(tmp_path, source, monkeypatch):
    target = tmp_path / "out"
    assert command(["--src", str(source), "--dst", str(target)]) == 0
    before = {name: (target / name).read_bytes() for name in left(target)}
    monkeypatch.setattr(import_files, "_write_model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        import_files._write_model()
    assert command(["--src", str(source), "--dst", str(target), "--overwrite"]) == 1
    assert {name: (target / name).read_bytes() for name in left(target)} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path, number):
    code = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]\n"
        "from pathlib import Path\n"
        "from mindlong.checkpoints.staged import staged\n"
        "with staged(Path(sys.argv[2])) as aside:\n"
        "    (aside / 'part').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    target = tmp_path / "deep/out"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout.readline() == "ready\n" and left(tmp_path)
    child.send_signal(number)
    assert child.wait(timeout=30) != 0
    assert not list(tmp_path.iterdir())


def test_what_a_killed_try_left_is_removed_by_the_next(tmp_path):
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead = int(child.stdout)
    (tmp_path / f".out.{dead}.tmp/sub").mkdir(parents=True)
    (tmp_path / f".out.{os.getppid()}.tmp").mkdir()  # of a process that is alive
    (tmp_path / ".out.mine.tmp").mkdir()
    with staged(tmp_path / "out") as aside:
        (aside / "out").mkdir()
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == sorted([f".out.{os.getppid()}.tmp", ".out.mine.tmp", "out"])


def test_several_at_once_do_not_meet_outside_the_main_thread(tmp_path):
    def work(name):
        with staged(tmp_path / name) as aside:
            time.sleep(0.01)
            (aside / name).write_text(name)

    threads = [threading.Thread(target=work, args=(f"n{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left(tmp_path) == ["n0", "n1", "n2", "n3"]


def test_an_error_of_ours_passes_as_it_is(tmp_path):
    with pytest.raises(UserError, match="^mine$"), staged(tmp_path / "out"):
        raise UserError("mine")
    assert not list(tmp_path.iterdir())
