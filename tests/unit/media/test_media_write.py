"""Writing videos: formats, sizes, whole or absent."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from mindlong.data.shapes import ShapesWorld
from mindlong.media import ffmpeg
from mindlong.media.read import probe, read_video
from mindlong.media.sheet import sampled, write_contact_sheet
from mindlong.media.write import (
    distinct_names,
    open_writer,
    safe_name,
    write_frames,
    write_video,
)
from mindlong.utils.errors import ConfigError, UserError

CLIP = ShapesWorld((32, 48), 9, background="texture").clip(0).frames_FHWC


@pytest.mark.parametrize(
    ("name", "worst"), [("a.mp4", 8), ("a.webm", 10), ("a.avi", 6), ("a.gif", 0), ("frames", 0)]
)
def test_every_frame_comes_back(tmp_path, name, worst):
    path = write_video(tmp_path / name, CLIP, 12)
    frames, fps = read_video(path)
    assert frames.shape == CLIP.shape and fps == pytest.approx(12, rel=0.01)
    assert np.abs(frames.astype(int) - CLIP).mean() <= worst / 2
    if not worst:
        assert (frames == CLIP).all()


def test_mp4_is_h264_in_yuv420p(tmp_path):
    path = write_video(tmp_path / "a.mp4", CLIP, 8)
    data = path.read_bytes()
    assert b"avc1" in data and data.index(b"moov") < data.index(
        b"mdat"
    )  # starts to play before it is loaded


def test_odd_sizes_repeat_their_edge_and_say_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mindlong.media.write.once", said.append)
    odd = CLIP[:, :31, :47]
    frames, _ = read_video(write_video(tmp_path / "a.mp4", odd, 8))
    assert frames.shape[1:3] == (32, 48) and "31x47" in said[0] and "32x48" in said[0]
    assert np.abs(frames[:, 31, :47].astype(int) - odd[:, 30]).mean() < 6
    assert read_video(write_video(tmp_path / "a.gif", odd, 8))[0].shape == odd.shape


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webm", "frames"])
def test_equal_frames_are_all_kept(tmp_path, name):
    still = np.repeat(CLIP[:1], 5, 0)
    path = write_video(tmp_path / name, still, 5)
    assert probe(path).frames == 5 and len(read_video(path)[0]) == 5


def test_a_gif_of_many_colours_is_close_and_keeps_time(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(40), np.arange(60))[None, ..., None] * np.array(
        [2, 1.5, 1]
    ) + rng.uniform(0, 9, (7, 40, 60, 3))
    path = write_video(tmp_path / "a.gif", smooth.astype(np.uint8), 8)
    frames, fps = read_video(path)
    assert np.abs(frames - smooth.astype(np.uint8).astype(float)).mean() < 6
    with Image.open(path) as image:
        delays = []
        for i in range(image.n_frames):
            image.seek(i)
            delays.append(image.info["duration"])
    assert (
        len(delays) == 7 and sum(delays) == 880 and set(delays) <= {120, 130}
    )  # 7 / 8 s in hundredths


@pytest.mark.parametrize("side", [1, 7, 15, 17])
def test_tiny_gifs_of_few_and_many_colours(tmp_path, side):
    rng = np.random.default_rng(side)
    for frames in (
        rng.integers(0, 2, (3, side, side, 3), dtype=np.uint8) * 255,
        np.zeros((2, side, side, 3), np.uint8),
    ):
        assert (read_video(write_video(tmp_path / "a.gif", frames, 10))[0] == frames).all()


def test_grey_frames_are_written_as_grey(tmp_path):
    grey = CLIP[..., 0]
    for frames in (grey, grey[..., None]):
        back, _ = read_video(write_video(tmp_path / "a.gif", frames, 8))
        assert (back == grey[..., None]).all()


def test_a_stream_of_frames_needs_no_list(tmp_path):
    with open_writer(tmp_path / "a.mp4", 8) as writer:
        for frame in CLIP:
            writer.append(frame)
    assert writer.count == 9 and probe(tmp_path / "a.mp4").frames == 9


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "frames"])
def test_an_error_leaves_nothing_behind_and_the_old_file_alone(tmp_path, name):
    old = tmp_path / name
    if old.suffix:
        write_video(old, CLIP[:2], 8)
    before = old.read_bytes() if old.suffix else None
    with pytest.raises(ZeroDivisionError), open_writer(old, 8) as writer:
        writer.append(CLIP[0])
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ([name] if old.suffix else [])
    assert before is None or old.read_bytes() == before
    assert (
        name != "a.mp4" or writer._sink.process.returncode is not None
    )  # the encoder is not left running


def test_equal_frames_give_equal_files(tmp_path):
    for name in ("a.mp4", "a.gif"):
        assert (
            write_video(tmp_path / name, CLIP, 8).read_bytes()
            == write_video(tmp_path / f"b{name}", CLIP, 8).read_bytes()
        )


def test_a_folder_with_files_is_not_written_to(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        write_frames(tmp_path, CLIP)
    assert os.listdir(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "frames", "fps", "words"),
    [
        ("a.mp5", CLIP, 8, ".mp4"),
        ("a.mp4", CLIP[:0], 8, "at least one frame"),
        ("a.mp4", CLIP.astype(float), 8, "float64"),
        ("a.mp4", CLIP, 0, "fps is 0"),
        ("a.mp4", CLIP, float("nan"), "fps is nan"),
        ("a.mp4", [CLIP[0], CLIP[1, :20]], 8, "20x48 follows frames of 32x48"),
        ("a.gif", np.zeros((2, 8, 8, 4), np.uint8), 8, "(8, 8, 4)"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, name, frames, fps, words):
    with pytest.raises(ConfigError) as error:
        write_video(tmp_path / name, frames, fps)
    assert words in str(error.value) and not os.listdir(tmp_path)


def test_an_encoder_that_fails_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(
        __import__("mindlong.media.encode", fromlist=["CODECS"]).CODECS,
        ".avi",
        ("-c:v", "no_such_codec"),
    )
    with pytest.raises(UserError, match="ffmpeg says"):
        write_video(tmp_path / "a.avi", np.repeat(CLIP, 200, 0), 8)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red circle moving right", "a_red_circle_moving_right"),
        ("../../etc/passwd", "etc_passwd"),
        ("", "video"),
        ("...", "video"),
        ("CON", "CON_"),
        ("x" * 90, "x" * 60),
        ("caf\u00e9 \u7532", "caf\u00e9_\u7532"),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0663",
            "\u0928\u092e\u0938\u094d\u0924\u0947_\u0663",
        ),
        ("cafe\u0301", "caf\u00e9"),
        ("\udcff\udcfe \u202ex\u200b", "x"),
        ("\U0001f600", "video"),
        ("a/b\\c:d\n", "a_b_c_d"),
    ],
)
def test_names_made_of_prompts_are_safe(text, name):
    assert safe_name(text) == name


def test_names_that_would_meet_are_made_distinct():
    given = ["a b", "a_b", "A B", "\u4e2d", "\u4e2d", "\u65e5", "", "video", "a_b_2"]
    found = distinct_names(given)
    assert found[:6] == ["a_b", "a_b_2", "A_B_3", "\u4e2d", "\u4e2d_2", "\u65e5"]
    assert len({name.casefold() for name in found}) == len(given)


@pytest.mark.parametrize("letter", ["\u4e2d", "\U00020000", "e\u0323\u0302", "x"])
def test_the_longest_name_can_be_written(tmp_path, letter):
    name = safe_name(letter * 200)
    assert len(name.encode()) <= 160 and name.encode().decode() == name
    path = write_video(tmp_path / f"{name}_00000.mp4", CLIP[:2], 8)
    assert probe(path).frames == 2


def test_any_folder_can_be_written_to(tmp_path):
    folder = tmp_path / "a:b" / "-c \n"
    assert probe(write_video(folder / "x.mp4", CLIP[:2], 8)).frames == 2


def test_contact_sheets_show_first_and_last_frames(tmp_path):
    assert (
        sampled(9, 4).tolist() == [0, 3, 5, 8]
        and sampled(3, 8).tolist() == [0, 1, 2]
        and sampled(1, 8).tolist() == [0]
    )
    path = write_contact_sheet(
        tmp_path / "s.png", [CLIP, CLIP[:3]], ["first", "second, long " * 40], columns=4
    )
    with Image.open(path) as image:
        pixels = np.asarray(image)
    first, last = np.repeat(np.repeat(CLIP[[0, 8]], 2, 1), 2, 2)  # 48 pixels wide, enlarged twice
    assert pixels.shape == (2 * (20 + 64 + 4), 4 + 4 * 100, 3)
    assert (pixels[20:84, 4:100] == first).all() and (pixels[20:84, 304:400] == last).all()
    assert (pixels[:20] > 128).any()  # the caption


def test_a_sheet_of_one_video_or_none(tmp_path):
    assert write_contact_sheet(tmp_path / "s.png", CLIP).exists()
    with pytest.raises(ConfigError, match="1 videos with 2 captions"):
        write_contact_sheet(tmp_path / "s.png", CLIP, ["a", "b"])
    with pytest.raises(ConfigError, match="float"):
        write_contact_sheet(tmp_path / "s.png", [CLIP / 255.0])


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_colours_are_tagged_and_come_back(tmp_path, suffix):
    """A player that is told nothing guesses the matrix by the size of the picture."""
    colours = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [255, 255, 255], [200, 100, 50]],
        np.uint8,
    )
    frame = np.repeat(np.repeat(colours[None], 32, 0), 32, 1)
    path = write_video(tmp_path / f"v.{suffix}", [frame] * 3, 8)
    command = [ffmpeg.executable(), "-hide_banner", "-i", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "(tv, bt709, progressive)" in said
    back = read_video(path)[0][1].astype(int)
    inside = np.s_[8:24, 16::32]
    assert np.abs(back[inside] - frame[inside]).max() <= 3
