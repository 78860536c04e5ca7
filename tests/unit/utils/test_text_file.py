"""Small text files of strangers, and folders that cannot be written into: sentences, no waiting."""

import os

import pytest

from mindlong.checkpoints.inspection import inspect
from mindlong.diffusion.scheduler_config import read_file
from mindlong.utils import system
from mindlong.utils.errors import InputFileError
from mindlong.utils.system import SystemFault, check_folder
from mindlong.utils.text_file import read_text


def test_a_plain_file_of_a_bounded_size_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\xc3\xa9")
    assert read_text(path, "utf-8-sig") == "a\u00e9"
    assert read_text(path, most=5 + 1) == "\ufeffa\u00e9"
    with pytest.raises(InputFileError, match="a.txt has more than 0 MiB; it should be small"):
        read_text(path, most=5)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def test_nothing_is_waited_for_or_read_without_end(tmp_path):
    os.mkfifo(tmp_path / "scheduler_config.json")
    with pytest.raises(InputFileError, match="is a named pipe, not a file"):
        read_file(tmp_path)
    with pytest.raises(InputFileError, match="/dev/zero is a device, not a file"):
        read_file("/dev/zero")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "key: .*file is a file where a folder is needed"),
        ("file/deep/er", "file is a file, so .*|file is a file where"),
        ("n" * 300, "is too long; a name may have 255 bytes"),
        ("loop", "is a link that leads back to itself"),
    ],
)
def test_a_folder_that_cannot_be_is_found_before_it_is_made(tmp_path, place, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SystemFault, match=words):
        check_folder(tmp_path / place, "key")
    check_folder(tmp_path / "new/deep", "key")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_may_not_be_written_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(system.os, "access", lambda path, mode: False)
    with pytest.raises(SystemFault, match="output: .*may not be (read|written) by user"):
        check_folder(tmp_path / "new", "output")


def test_what_is_no_file_is_not_called_a_folder():
    assert "/dev/zero: no file" in "\n".join(inspect("/dev/zero").lines)
