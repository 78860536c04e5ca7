"""Background decoding: the same samples whatever the processes, bounded, and nothing left
behind.
"""

import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from deadly import Deadly, Stillborn
from PIL import Image

from mindlong.data.clips import ClipFolder
from mindlong.data.loader import Loader
from mindlong.data.shapes import ShapesWorld
from mindlong.media import ffmpeg as decoder
from mindlong.media.write import write_frames, write_video
from mindlong.utils.errors import ConfigError, InputFileError, UserError

WORLD = ShapesWorld((24, 32), 12)
NUMBERS = [*range(8, 16), *range(24, 32)]


@pytest.fixture
def source(tmp_path):
    for i in range(5):
        write_video(tmp_path / f"{i}.gif", WORLD.clip(i).frames_FHWC, 8).with_suffix(
            ".txt"
        ).write_text(str(i))
    return ClipFolder(tmp_path, 6, (16, 16), crop="random", flip=True, seed=2)


def alive(process_id):
    """Running, that is, neither gone nor waiting to be reaped by a parent that is gone itself."""
    try:
        with open(f"/proc/{process_id}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process_ids, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(alive, process_ids)):
        time.sleep(0.05)
    return not any(map(alive, process_ids))


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_samples_and_their_order_do_not_depend_on_the_processes(source, workers):
    wanted = [source.sample(n) for n in NUMBERS]
    with Loader(source, workers, ahead=5) as loader:
        loader.expect(NUMBERS)
        got = [loader.sample(n) for n in NUMBERS]
        processes = [w.process for w in loader._workers]
    assert [p.returncode for p in processes] == [0] * workers  # ended by themselves
    assert all(
        (a.frames_FHWC == b.frames_FHWC).all() and a.caption == b.caption
        for a, b in zip(wanted, got, strict=True)
    )
    assert loader.served == 16 and loader.waited > 0


def test_no_more_than_ahead_is_on_its_way_of_an_endless_order(source):
    asked = []

    def endless():
        for n in range(10**9):
            asked.append(n)
            yield n

    with Loader(source, 2, ahead=3) as loader:
        loader.expect(endless())
        for n in range(7):
            assert (loader.sample(n).frames_FHWC == source.sample(n).frames_FHWC).all()
        assert len(asked) == 10


def test_what_was_not_expected_is_made_at_once_and_expectations_can_change(source):
    with Loader(source, 1, ahead=4) as loader:
        loader.expect(range(0, 20))
        assert (loader.sample(17).frames_FHWC == source.sample(17).frames_FHWC).all()
        assert (loader.sample(0).frames_FHWC == source.sample(0).frames_FHWC).all()
        loader.expect([3, 3, 1])
        for n in (3, 3, 1, 2):
            assert (loader.sample(n).frames_FHWC == source.sample(n).frames_FHWC).all()


def test_any_source_can_be_loaded():
    with Loader(WORLD, 1) as loader:
        loader.expect(range(3))
        assert all(loader.sample(n).caption == WORLD.clip(n).caption for n in range(3))
        assert "shapes world" in loader.describe() and "1 background process" in loader.describe()


def test_a_lost_process_costs_time_but_no_sample(source):
    with Loader(source, 2, ahead=6) as loader:
        loader.expect(NUMBERS)
        loader.sample(NUMBERS[0])
        os.kill(loader._workers[0].process.pid, signal.SIGKILL)
        for n in NUMBERS[1:]:
            assert (loader.sample(n).frames_FHWC == source.sample(n).frames_FHWC).all()


def test_a_bad_file_met_by_processes_is_named_once_by_the_main_one(
    source, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    data = (tmp_path / "3.gif").read_bytes()
    (tmp_path / "3.gif").write_bytes(data[: len(data) // 2])
    wanted = [
        ClipFolder(tmp_path, 6, (16, 16), crop="random", flip=True, seed=2).sample(n)
        for n in NUMBERS
    ]
    caplog.clear()
    with Loader(source, 2) as loader:
        loader.expect(NUMBERS)
        got = [loader.sample(n) for n in NUMBERS]
    assert list(source.bad) == [str(tmp_path / "3.gif")]
    assert [r.getMessage() for r in caplog.records] == [
        f"skipped: {source.bad[str(tmp_path / '3.gif')]}"
    ]
    assert all((a.frames_FHWC == b.frames_FHWC).all() for a, b in zip(wanted, got, strict=True))
    strict = ClipFolder(tmp_path, 6, (16, 16), max_bad=0)
    with Loader(strict, 2) as loader, pytest.raises(InputFileError, match="max_bad=0"):
        loader.expect(range(5))
        for n in range(5):
            loader.sample(n)


class Broken:
    """A source with a fault of its own."""

    def sample(self, index):
        return [][index]

    def describe(self):
        return "broken"


def test_a_fault_in_a_process_is_told_with_its_place():
    with (
        Loader(Broken(), 1) as loader,
        pytest.raises(RuntimeError, match=r"(?s)return \[\]\[index\].*IndexError"),
    ):
        loader.expect([0])
        loader.sample(0)


CHILD = """
import sys, time
from mindlong.data.loader import Loader
from mindlong.data.shapes import ShapesWorld
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
loader = Loader(ShapesWorld(), 2)
loader.expect(range(int(sys.argv[1])))
loader.sample(0)
time.sleep(0.3)
print(*[w.process.pid for w in loader._workers], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "samples", [1, 10**9]
)  # processes that wait for work, and that wait to be read
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(how, samples):
    command = [sys.executable, "-c", CHILD, str(samples)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    children = [int(n) for n in parent.stdout.readline().split()]
    assert len(children) == 2 and all(map(alive, children))
    parent.send_signal(how)
    parent.wait(10)
    parent.stdout.close()
    assert gone(children)


def test_ctrl_c_at_the_terminal_leaves_the_samples_to_the_end(source):
    with Loader(source, 2) as loader:
        loader.expect(NUMBERS)
        loader.sample(NUMBERS[0])
        for worker in loader._workers:
            os.kill(worker.process.pid, signal.SIGINT)
        for n in NUMBERS[1:]:
            loader.sample(n)
        assert (
            all(worker.process.poll() is None for worker in loader._workers)
            and len(loader._workers) == 2
        )


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "SIGKILL"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_on_which_a_process_dies_twice_is_bad_and_the_others_come(how, workers):
    source = Deadly(how, 3)
    with Loader(source, workers, ahead=4) as loader:
        loader.expect(range(8))
        assert [loader.sample(n) for n in range(8)] == [0, 1, 2, -3, 4, 5, 6, 7]
        assert loader.sample(3) == -3 and len(loader._workers) == workers
    signal_number = getattr(signal, how).value
    assert source.reasons == [
        f"clip3 cannot be decoded: the process that read it crashed (signal {signal_number})"
    ]


def test_a_process_that_is_killed_once_by_the_system_costs_no_clip(tmp_path, caplog):
    source = Deadly("once", 2, str(tmp_path))
    with Loader(source, 1) as loader, caplog.at_level(logging.WARNING, "mindlong"):
        loader.expect(range(5))
        assert [loader.sample(n) for n in range(5)] == list(range(5))
    assert not source.bad and "while it read clip2; it is started again" in caplog.text


def test_a_clip_on_which_a_process_hangs_is_bad():
    source = Deadly("hang", 1)
    with Loader(source, 2, patience=1.5) as loader:
        loader.expect(range(4))
        assert [loader.sample(n) for n in range(4)] == [0, -1, 2, 3]
    assert "gave no sign of life for" in source.reasons[0]


def test_processes_that_cannot_start_are_a_sentence():
    with Loader(Stillborn(), 1) as loader, pytest.raises(UserError, match="train.workers=0"):
        loader.expect(range(4))
        loader.sample(0)


def test_a_decoder_that_crashes_under_a_process_costs_one_clip(
    source, tmp_path, monkeypatch, caplog
):
    """ffmpeg dies, the process that reads does not."""
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    write_video(tmp_path / "film.mp4", WORLD.clip(0).frames_FHWC, 8)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    decoder.executable.cache_clear()
    try:
        source = ClipFolder(tmp_path, 6, (16, 16), isolated=True)
    finally:
        decoder.executable.cache_clear()
    assert list(source.bad) == [str(tmp_path / "film.mp4")] and len(source.paths) == 5
    assert "the decoder crashed (signal 11)" in source.bad[str(tmp_path / "film.mp4")]


def test_the_reason_for_the_last_bad_clip_comes_before_the_end(tmp_path, caplog, monkeypatch):
    folder = write_frames(tmp_path / "clip", WORLD.clip(0).frames_FHWC, 8)
    Image.fromarray(WORLD.clip(0).frames_FHWC[0, :9]).save(folder / "000099.png")
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    source = ClipFolder(tmp_path, 6, (16, 16))
    with Loader(source, 1) as loader, pytest.raises(InputFileError) as error:
        loader.expect(range(2))
        loader.sample(0)
    assert "1 are bad, the last" in str(error.value) and "changes its size" in str(error.value)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"skipped: {source.bad[str(folder)]}"
    ]


def test_oddities_met_by_processes_are_said_by_the_main_one(tmp_path, caplog, monkeypatch):
    images = [Image.fromarray(f) for f in WORLD.clip(0).frames_FHWC]
    images[0].save(
        tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[50] * 6 + [500] * 6
    )
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    with (
        caplog.at_level(logging.INFO, "mindlong"),
        Loader(ClipFolder(tmp_path, 6, (16, 16)), 2) as loader,
    ):
        loader.expect(range(6))
        for n in range(6):
            loader.sample(n)
    said = [r.getMessage() for r in caplog.records if "50 to 500 ms" in r.getMessage()]
    assert len(said) == 1 and "a.gif" in said[0]


def test_impossible_loaders_are_refused():
    with pytest.raises(ConfigError, match="-1 processes"):
        Loader(WORLD, -1)


def test_samples_of_a_worker_are_whole_arrays(source):
    with Loader(source, 1) as loader:
        loader.expect([4])
        frames = loader.sample(4).frames_FHWC
    assert frames.flags.writeable and frames.dtype == np.uint8 and frames.shape == (6, 16, 16, 3)


def test_processes_that_decode_never_load_mindspore():
    code = (
        "import sys, mindlong.data.worker, mindlong.data.clips, mindlong.data.loader, mindlong.data.chop, "
        "mindlong.data.shapes_reader, mindlong.scores.shapes; sys.exit('mindspore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
