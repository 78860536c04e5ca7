"""What the system refuses is one sentence: what, where, what helps; never a fault of mindlong."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindlong.cli.guard import guarded
from mindlong.media.write import write_frames, write_video
from mindlong.pipelines.journal import Journal
from mindlong.training.metrics import Metrics, read
from mindlong.utils import arrays, atomic, log_output, system

ROOT = Path(__file__).parents[3]
FRAMES = np.zeros((2, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "can only be read"),
        (errno.EACCES, "may not be"),
        (errno.EPERM, "may not be"),
        (errno.ENOTDIR, "is a file where a folder is needed"),
        (errno.EISDIR, "is a folder where a file is needed"),
        (errno.EEXIST, "is there already"),
        (errno.ENOENT, "is not there"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.ELOOP, "leads back to itself"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "too little memory"),
        (errno.EAGAIN, "no further process"),
        (errno.ESTALE, "cannot be reached any more"),
        (errno.EIO, "cannot be reached any more"),
        (errno.EFBIG, "too large a file"),
        (errno.ETXTBSY, "in use"),
        (errno.ENOTEMPTY, "not of this run"),
        (errno.ENOLCK, "without locks"),
        (errno.EXDEV, "the system says"),
    ],
)
def test_every_refusal_is_a_sentence_with_a_code(number, words, capsys, tmp_path):
    def refused(argv):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))

    assert guarded(refused) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and words in said and said.count("\n") == 1
    assert "fault of mindlong" not in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "too little memory"),
        (RuntimeError("Allocate memory failed, size 12"), "too little memory"),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "no further process or thread"),
        (ValueError("embedded null byte"), "NUL"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "package x is not there"),
    ],
)
def test_what_libraries_say_of_the_system_is_a_sentence_too(error, words, capsys):
    def fails(argv):
        raise error

    assert guarded(fails) == 1
    said = capsys.readouterr().err
    assert words in said and "fault of mindlong" not in said and said.count("\n") == 1


def test_a_fault_of_ours_is_still_called_so(capsys):
    assert guarded(lambda argv: 1 / 0) == 1
    assert "fault of mindlong" in capsys.readouterr().err


WRITERS = {
    "text": lambda place: atomic.write_text(place / "x.txt", "text"),
    "gif": lambda place: write_video(place / "x.gif", FRAMES, 8),
    "frames": lambda place: write_frames(place / "frames", FRAMES),
    "npy": lambda place: arrays.write_npy(place / "x.npy", FRAMES),
    "npz": lambda place: arrays.write_npz(place / "x.npz", x=FRAMES),
    "journal": lambda place: Journal(place / "jobs", {}).add("a"),
    "metrics": lambda place: Metrics(place / "metrics.csv", 1),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_writer_on_a_full_disk_names_the_file_and_leaves_nothing(what, tmp_path):
    """A limit on the size of files stands for the disk: every write of bytes is refused."""
    code = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
import test_system_errors as t
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from mindlong.utils.system import SystemFault
try:
    t.WRITERS[{what!r}](Path({str(tmp_path)!r}))
except SystemFault as error:
    assert {str(tmp_path)!r} in str(error), error
    print("SENTENCE", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "SENTENCE" in done.stdout, done.stdout + done.stderr
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size]
    assert not left and not list(tmp_path.rglob("*.tmp*"))


def test_a_row_of_metrics_that_cannot_be_written_waits(tmp_path, monkeypatch, caplog):
    table = Metrics(tmp_path / "metrics.csv", 1)
    real = Path.open

    def full(self, mode="r", *rest, **more):
        if mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, mode, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        table.add(1, 0.5, 1.0, False)
        table.row(1, 0.1, 0)
        with pytest.raises(system.SystemFault, match="disk is full"):
            table.flush()
    assert "kept for later" in caplog.text
    table.add(2, 0.25, 1.0, False)
    table.row(2, 0.1, 0)
    assert [row["step"] for row in read(tmp_path / "metrics.csv")] == ["1", "2"]


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys):
    logger = log_output.setup(file=tmp_path / "log.txt")
    handler = logger.handlers[-1]

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

        def close(self):
            pass

    handler.stream = Full()
    logger.info("one")
    logger.info("two")
    said = capsys.readouterr()
    assert said.out.count("disk is full") == 1 and "two" in said.out and not said.err


def test_names_near_the_limit_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    atomic.write_text(path, "text")
    assert path.read_text() == "text"


def test_a_file_in_the_way_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()

    def makes(argv):
        (tmp_path / "file" / "in").mkdir(parents=True)

    assert guarded(makes) == 1
    assert f"{tmp_path / 'file'} is a file" in capsys.readouterr().err


def test_a_closed_pipe_is_no_fault():
    command = f"{sys.executable} infer.py --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.splitlines()[-1] in ("0", "141")


def test_text_that_the_screen_cannot_show_is_escaped():
    code = "from mindlong.utils import streams; streams.make_lasting(); print('\\udcff \\u4e2d')"
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "\\udcff \\u4e2d\n"


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_signal_ends_a_command_in_one_line_with_its_code(number, word):
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import types
module = types.ModuleType("mindlong.cli.waits")
def main(argv):
    print("ready", flush=True)
    time.sleep(60)
module.main = main
sys.modules["mindlong.cli.waits"] = module
from mindlong.cli.guard import start
sys.exit(start("waits"))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number and said == f"stopped by {word}\n"
