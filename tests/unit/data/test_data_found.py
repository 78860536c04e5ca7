"""What a folder of clips holds, and what in it is left out, with its name and the reason."""

import os

import numpy as np
import pytest

from mindlong.data.clips import ClipFolder
from mindlong.data.found import search, summary
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_frames, write_video
from mindlong.utils.errors import InputFileError

CLIP = ShapesWorld((16, 16), 5).clip(0).frames_FHWC


@pytest.fixture
def folder(tmp_path):
    write_video(tmp_path / "a.gif", CLIP, 8)
    return tmp_path


def left(folder):
    return {path.name: why for path, why in search(folder).left_out}


def test_what_belongs_to_a_clip_is_not_left_out(folder):
    write_frames(folder / "frames", CLIP, 8)
    for name in ("a.txt", "frames.txt", "a.nodes.json", "a_clips.csv", ".hidden.xyz"):
        (folder / name).write_text("")
    np.save(folder / "a.npy", np.zeros(3))
    assert left(folder) == {} and len(search(folder).clips) == 2


def test_a_frame_folder_is_called_by_its_whole_name(folder):
    write_frames(folder / "scene_0.5", CLIP, 8)
    for name in ("scene_0.5.txt", "scene_0.txt"):
        (folder / name).write_text("")
    assert list(left(folder)) == ["scene_0.txt"]


def test_everything_else_is_named_with_a_reason(folder):
    for name in ("b.txt", "c.xyz", "poster.png", "d.pdf"):
        (folder / name).write_bytes(b"x")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nothing")
    (folder / "round.mp4").symlink_to(folder / "round.mp4")
    assert left(folder) == {
        "b.txt": "no video by its name",
        "c.xyz": "no video by its name",
        "d.pdf": "no video by its name",
        "poster.png": "a single image, no frame of a folder",
        "pipe.mp4": "no plain file",
        "gone.mp4": "a link that leads nowhere",
        "round.mp4": "a link that leads nowhere",
    }
    assert (
        "1 clips, 0 captioned, 0 bad, 7 left out: b.txt (no video"
        in ClipFolder(folder, 4, (16, 16)).describe()
    )


@pytest.mark.parametrize(
    "suffix", [".wmv", ".mpg", ".flv", ".ts", ".3gp", ".M2TS", ".ogv", ".vob", ".MOV"]
)
def test_videos_of_every_usual_name_are_looked_for(folder, suffix):
    (folder / f"b{suffix}").write_bytes(b"\0")
    assert [p.name for p in search(folder).clips] == ["a.gif", f"b{suffix}"]


def test_a_few_names_stand_for_many(folder):
    for i in range(9):
        (folder / f"x{i}.xyz").write_text("")
    said = summary(search(folder).left_out)
    assert "9 left out" in said and "x4.xyz" in said and "x5" not in said and "and 4 more" in said


def test_links_in_a_circle_end(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    assert len(search(folder).clips) == 1


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    (folder / "closed").mkdir()
    write_video(folder / "closed" / "b.gif", CLIP, 8)
    forbid(monkeypatch, folder / "closed")
    assert [p.name for p in search(folder).clips] == ["a.gif"]
    assert left(folder) == {"closed": "a folder that cannot be read: Permission denied"}
    with pytest.raises(
        InputFileError, match="data.folder .*closed cannot be read: Permission denied"
    ):
        search(folder / "closed")


def forbid(monkeypatch, closed):
    real = os.scandir

    def scandir(path="."):
        if os.fspath(path) == os.fspath(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    closed.chmod(0)
    if os.geteuid() == 0:  # to whom nothing is forbidden
        monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("workers", [0, 1])
def test_names_that_are_not_utf8_are_read_and_shown(folder, workers, capfd):
    from mindlong.data.loader import Loader

    odd = folder / os.fsdecode(b"\xff\xfe.gif")
    odd.write_bytes((folder / "a.gif").read_bytes())
    (folder / os.fsdecode(b"\xff\xfe.txt")).write_text("a caption")
    bad = folder / os.fsdecode(b"\xfd\n.mp4")
    bad.write_bytes(b"none")
    source = ClipFolder(folder, 4, (16, 16), isolated=bool(workers))
    with Loader(source, workers) as loader:
        loader.expect(range(4))
        assert {loader.sample(n).caption for n in range(4)} == {"", "a caption"}
    assert "\\xfd\\n.mp4" in source.bad[str(bad)]
    source.describe().encode("utf-8")
