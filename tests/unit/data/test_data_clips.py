"""Folders of clips: found sorted, bad ones named once, samples that follow from the seed and the
number alone.
"""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from mindlong.data.clips import ClipFolder, find_clips
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_frames, write_video
from mindlong.utils.errors import ConfigError, InputFileError

WORLD = ShapesWorld((24, 32), 12, background="texture")


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["b.gif", "a.mp4", "deep/er/c.avi", "deep/d.webm"]):
        clip = WORLD.clip(i)
        path = write_video(tmp_path / name, clip.frames_FHWC, 8)
        path.with_suffix(".txt").write_text(clip.caption + "\n")
    write_frames(tmp_path / "deep" / "frames", WORLD.clip(4).frames_FHWC, 8)
    (tmp_path / "deep" / "frames.txt").write_text("from a folder")
    np.save(tmp_path / "b.npy", np.arange(6, dtype=np.float64))
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / "poster.png").write_bytes(b"not a frame, there are videos here")
    return tmp_path


def drawn(source, numbers):
    return [source.sample(n) for n in numbers]


def equal(a, b):
    return all(
        (x.frames_FHWC == y.frames_FHWC).all() and x.caption == y.caption
        for x, y in zip(a, b, strict=True)
    )


def test_clips_are_found_at_any_depth_and_sorted(folder):
    (folder / ".hidden").mkdir()
    write_video(folder / ".hidden" / "x.gif", WORLD.clip(0).frames_FHWC, 8)
    (folder / "deep" / "loop").symlink_to(folder)
    found = [p.relative_to(folder).as_posix() for p in find_clips(folder)]
    assert found == ["a.mp4", "b.gif", "deep/d.webm", "deep/er/c.avi", "deep/frames"]


def test_a_folder_of_frames_alone_is_one_clip(tmp_path):
    write_frames(tmp_path / "x", WORLD.clip(0).frames_FHWC)
    assert find_clips(tmp_path / "x") == [tmp_path / "x"]


def test_an_epoch_gives_every_clip_with_its_caption_and_embedding(folder):
    source = ClipFolder(folder, 8, (24, 32), seed=3)
    samples = drawn(source, range(10, 15))
    assert {s.caption for s in samples} == {
        *(WORLD.clip(i).caption for i in range(4)),
        "from a folder",
    }
    assert all(
        s.frames_FHWC.shape == (8, 24, 32, 3) and s.frames_FHWC.dtype == np.uint8 for s in samples
    )
    [embedded] = [s for s in samples if s.embedding is not None]
    assert embedded.caption == WORLD.clip(0).caption and embedded.embedding.tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    assert embedded.embedding.dtype == np.float32
    assert "5 clips, 5 captioned, 0 bad" in source.describe()


def test_frames_of_a_sample_follow_each_other(folder):
    (folder / "deep").rename(folder / ".away")
    (folder / "a.mp4").unlink()
    original = WORLD.clip(0).frames_FHWC  # b.gif is exact
    starts = set()
    for sample in drawn(ClipFolder(folder, 4, (24, 32), stride=2, seed=1), range(30)):
        [start] = [i for i in range(6) if (sample.frames_FHWC == original[i : i + 7 : 2]).all()]
        starts.add(start)
    assert starts == {0, 1, 2, 3, 4, 5}


def test_samples_do_not_depend_on_what_was_asked_before(folder):
    options = {"crop": "random", "flip": True, "seed": 9}
    there = ClipFolder(folder, 6, (16, 16), **options)
    back = ClipFolder(
        folder, 6, (16, 16), **options, cache_mb=0
    )  # every file decoded anew, in another order
    assert equal(drawn(there, range(20)), drawn(back, reversed(range(20)))[::-1])
    assert not equal(
        drawn(there, range(20)),
        drawn(ClipFolder(folder, 6, (16, 16), crop="random", flip=True), range(20)),
    )


def test_crop_and_flip_are_drawn_once_a_clip(tmp_path):
    still = np.repeat(WORLD.clip(0).frames_FHWC[:1], 9, 0)
    write_video(tmp_path / "a.gif", still, 8)
    source = ClipFolder(tmp_path, 9, (16, 16), crop="random", flip=True)
    samples = drawn(source, range(24))
    assert all((s.frames_FHWC == s.frames_FHWC[0]).all() for s in samples)
    assert len({s.frames_FHWC[0].tobytes() for s in samples}) > 4


def test_a_rate_in_frames_a_second_leaves_frames_out(folder):
    (folder / "deep").rename(folder / ".away")
    (folder / "a.mp4").unlink()
    sample = ClipFolder(folder, 6, (24, 32), fps=4.0).sample(0)
    original = WORLD.clip(0).frames_FHWC
    assert any((sample.frames_FHWC == original[i : i + 11 : 2]).all() for i in (0, 1))


@pytest.mark.parametrize(("short", "tail"), [("repeat_last", [11, 11, 11]), ("loop", [0, 1, 2])])
def test_short_clips_are_never_black(folder, short, tail):
    (folder / "deep").rename(folder / ".away")
    (folder / "a.mp4").unlink()
    frames = ClipFolder(folder, 15, (24, 32), short=short).sample(0).frames_FHWC
    assert (frames[12:] == WORLD.clip(0).frames_FHWC[tail]).all()


def test_a_short_clip_can_be_refused(folder):
    slow = WORLD.clip(7).frames_FHWC.repeat(2, 0)
    write_video(folder / "long.gif", slow, 8)
    source = ClipFolder(folder, 20, (24, 32), short="refuse")
    for sample in drawn(source, range(12)):
        assert any((sample.frames_FHWC == slow[i : i + 20]).all() for i in range(5))
    assert (
        len(source.bad) == 5
        and "too short: it has 12 frames where 20 are needed" in list(source.bad.values())[0]
    )


def test_bad_files_are_named_once_and_skipped(folder, caplog, monkeypatch):
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "empty.gif").write_bytes(b"")
    np.save(folder / "a.npy", np.zeros((2, 3)))
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    with caplog.at_level(logging.WARNING, "mindlong"):
        source = ClipFolder(folder, 8, (24, 32))
        drawn(source, range(12))
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 3 and all(
        any(name in line for line in lines) for name in ("broken.mp4", "empty.gif", "a.npy")
    )
    assert len(source.paths) == 4
    with pytest.raises(InputFileError, match="3 files .* more than data.max_bad=2"):
        ClipFolder(folder, 8, (24, 32), max_bad=2)


def late_break(folder):
    data = (folder / "b.gif").read_bytes()
    (folder / "b.gif").write_bytes(data[: len(data) // 2])  # the first frame is whole


def test_a_file_that_breaks_late_gives_its_turn_to_another(folder):
    late_break(folder)
    source, again = ClipFolder(folder, 8, (24, 32)), ClipFolder(folder, 8, (24, 32))
    samples = drawn(source, range(15))
    assert (
        list(source.bad) == [str(folder / "b.gif")]
        and "ends or breaks" in source.bad[str(folder / "b.gif")]
    )
    assert equal(samples, drawn(again, reversed(range(15)))[::-1])
    with pytest.raises(InputFileError, match="max_bad=0"):
        drawn(ClipFolder(folder, 8, (24, 32), max_bad=0), range(5))


@pytest.mark.parametrize("what", ["missing", "file", "empty"])
def test_no_clips_is_an_error(tmp_path, what):
    target = tmp_path / "x"
    if what == "file":
        target.write_text("")
    elif what == "empty":
        target.mkdir()
        (target / "a.txt").write_text("")
    with pytest.raises(
        InputFileError,
        match={"missing": "does not exist", "file": "not a folder", "empty": "holds no clip"}[what],
    ):
        ClipFolder(target, 8, (24, 24))


def test_only_bad_clips_are_an_error(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"")
    with pytest.raises(InputFileError, match="no clip of .* can be read"):
        ClipFolder(tmp_path, 8, (24, 24))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"short": "black"}, "data.short is 'black'"),
        ({"crop": "left"}, "data.crop is 'left'"),
        ({"stride": 0}, "stride 0"),
    ],
)
def test_wrong_options_are_named(folder, options, words):
    with pytest.raises(ConfigError, match=words):
        ClipFolder(folder, 8, (24, 24), **options)


def test_large_frames_are_shrunk_once_and_kept_within_the_memory_allowed(tmp_path):
    frames = np.stack(
        [np.asarray(Image.fromarray(f).resize((320, 240))) for f in WORLD.clip(0).frames_FHWC]
    )
    whole = write_video(tmp_path / "a.avi", frames, 8)
    for name in ("b.avi", "c.avi", "d.avi", "e.avi"):
        shutil.copy(whole, tmp_path / name)
    source = ClipFolder(tmp_path, 8, (96, 96), cache_mb=2)
    drawn(source, range(10))
    kept = source._decoder._kept
    assert 1 <= len(kept) < 5 and sum(v.nbytes for v in kept.values()) <= 2 * 2**20
    assert all(v.shape == (12, 96, 128, 3) for v in kept.values())
