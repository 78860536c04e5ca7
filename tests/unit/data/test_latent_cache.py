"""The folder of latents: what is damaged and what does not fit on the disk is said."""

import errno
import json
import os

import numpy as np
import pytest

from mindlong.data.latent_cache import LatentCache
from mindlong.data.shapes import ShapesWorld
from mindlong.utils.errors import InputFileError
from mindlong.utils.system import SystemFault

COUNT = 4


def encode(images_FCHW):
    return np.repeat(images_FCHW.mean((1, 2, 3), keepdims=True), 8, 1)


def cache(folder, count=COUNT):
    return LatentCache(folder, ShapesWorld((16, 16), 2), count, encode, "a key")


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("count", [COUNT, COUNT + 1])
@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("captions.json", cut),
        ("captions.json", lambda path: path.write_text(json.dumps(["a red circle"]))),
        ("captions.json", lambda path: path.unlink()),
        ("moments.npy", cut),
        ("moments.npy", lambda path: path.write_bytes(b"")),
        ("moments.npy", lambda path: np.save(path, np.zeros((1, 8, 2, 1, 1), np.float16))),
        ("state.json", cut),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, harm, count):
    """Where all is there, and where clips are to be added."""
    assert len(cache(tmp_path).captions) == COUNT
    harm(tmp_path / name)
    with pytest.raises(InputFileError, match=rf"{name} is damaged .*remove the folder"):
        cache(tmp_path, count)


def test_all_of_the_array_is_on_the_disk_before_it_is_written_to(tmp_path, monkeypatch):
    """A sparse one would end the process with SIGBUS where the disk is full."""
    asked = []

    def full(file, start, size):
        asked.append((start, size))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SystemFault, match="moments"):
        cache(tmp_path)
    assert asked == [(0, (tmp_path / "moments.tmp.npy").stat().st_size)]
    monkeypatch.undo()
    assert len(cache(tmp_path).captions) == COUNT, "and goes on when there is room"


def test_more_clips_are_added_to_those_that_are_there(tmp_path):
    before = np.array(cache(tmp_path).moments)
    assert np.array_equal(cache(tmp_path, COUNT + 2).moments[:COUNT], before)
