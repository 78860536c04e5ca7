"""Latents between steps: whole or not there, and readable by another number of processes."""

import numpy as np

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
