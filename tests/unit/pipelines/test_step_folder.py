"""Latents between steps: whole or not there, and readable by another number of processes."""

import numpy as np
import pytest

from mindlong.parallel.comm import SerialComm
from mindlong.pipelines.clip_parallel.step_folder import StepFolder


class Rank(SerialComm):
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


X, MEMORY = (
    np.random.default_rng(i).standard_normal((1, 4, 10, 2, 3)).astype(np.float32) for i in (0, 1)
)
THIRDS = [range(0, 5), range(5, 6), range(6, 10)]


def save(folder, step, ranges, memory=MEMORY, every=2):
    """Ranks in turn, the first one last, as it removes what is old."""
    for rank, frames in reversed(list(enumerate(ranges))):
        keeper = StepFolder(folder, frames, 10, every, Rank(rank, len(ranges)))
        mine = slice(frames.start, frames.stop)
        keeper.after(step, 50, X[:, :, mine], None if memory is None else memory[:, :, mine])


def test_three_processes_write_what_one_or_two_read(tmp_path):
    save(tmp_path, 4, THIRDS)
    for ranges in ([range(0, 10)], [range(0, 3), range(3, 10)]):
        for frames in ranges:
            steps, x, memory = StepFolder(tmp_path, frames, 10, 2, SerialComm()).found
            assert steps == 4 and np.array_equal(x, X[:, :, frames.start : frames.stop])
            assert np.array_equal(memory, MEMORY[:, :, frames.start : frames.stop])


def test_only_the_newest_whole_step_counts(tmp_path):
    save(tmp_path, 2, [range(0, 10)], None)
    save(tmp_path, 4, THIRDS[1:])  # the rank with frames 0 to 4 did not get so far
    found = StepFolder(tmp_path, range(0, 10), 10, 2, SerialComm()).found
    assert found is None or found[0] == 2
    save(tmp_path, 4, THIRDS)
    assert StepFolder(tmp_path, range(0, 10), 10, 2, SerialComm()).found[0] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["000004"]


def test_between_the_intervals_nothing_is_written(tmp_path):
    save(tmp_path, 3, THIRDS)
    save(tmp_path, 50, THIRDS)
    save(tmp_path, 4, THIRDS, every=0)
    assert StepFolder(tmp_path, range(0, 10), 10, 2, SerialComm()).found is None


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text"])
def test_a_damaged_step_is_passed_over_with_a_note(tmp_path, caplog, harm):
    save(tmp_path, 2, [range(0, 10)])
    (tmp_path / "000002").rename(tmp_path / "kept")
    save(tmp_path, 4, THIRDS)
    (tmp_path / "kept").rename(tmp_path / "000002")
    path = tmp_path / "000004/frames-5-6.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    new = {"cut": data[: len(data) // 2], "flip": data, "empty": b"", "text": b"no zip"}
    path.write_bytes(new[harm])
    steps, x, _ = StepFolder(tmp_path, range(0, 10), 10, 2, SerialComm()).found
    assert steps == 2 and np.array_equal(x, X) and "step 4 is passed over" in caplog.text
    assert "frames-5-6.npz" in caplog.text


def test_ranks_take_a_step_that_all_can_read(tmp_path):
    save(tmp_path, 4, THIRDS)

    class Blind(SerialComm):
        """Beside a rank that can read nothing."""

        rank, size = 0, 2

        def all_gather_text(self, text):
            return [text, "[]"]

    assert StepFolder(tmp_path, range(0, 10), 10, 2, Blind()).found is None


def test_foreign_files_in_an_old_step_stay(tmp_path):
    save(tmp_path, 2, [range(0, 10)])
    (tmp_path / "000002/notes.txt").write_text("mine")
    save(tmp_path, 4, [range(0, 10)])
    assert [p.name for p in (tmp_path / "000002").iterdir()] == ["notes.txt"]
