"""Reading videos: composed GIFs, honest counts, clear refusals."""

import json
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from mindlong.data.shapes import ShapesWorld
from mindlong.media.read import Limits, is_video, open_reader, probe, read_video
from mindlong.media.write import write_frames, write_video
from mindlong.utils.errors import ConfigError, InputFileError

CLIP = ShapesWorld((32, 48), 9).clip(0).frames_FHWC


def pillow_frames(path, ground="white"):
    with Image.open(path) as image:
        frames = []
        for i in range(image.n_frames):
            image.seek(i)
            frame = Image.new("RGBA", image.size, ground)
            frame.alpha_composite(image.convert("RGBA"))
            frames.append(np.array(frame.convert("RGB")))
    return np.stack(frames)


def layers(mode, side=20):
    """Frames that cover a part each, with transparency, so that composing matters."""
    made = []
    for i in range(4):
        image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        image.paste((60 * i, 200 - 40 * i, 90, 255), (3 * i, 2 * i, 3 * i + 8, 2 * i + 7))
        made.append(image.convert(mode) if mode != "RGBA" else image)
    return made


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "P"])
def test_gifs_are_composed_as_pillow_composes_them(tmp_path, mode, disposal):
    path = tmp_path / "a.gif"
    first, *rest = layers(mode)
    first.save(path, save_all=True, append_images=rest, duration=70, loop=0, disposal=disposal)
    frames, fps = read_video(path)
    assert (frames == pillow_frames(path)).all() and fps == pytest.approx(1000 / 70)
    assert not all((frames[0] == f).all() for f in frames[1:])


def test_a_still_gif_is_one_frame(tmp_path):
    Image.fromarray(CLIP[0]).save(tmp_path / "a.gif")
    assert read_video(tmp_path / "a.gif")[0].shape == (1, 32, 48, 3)


def test_a_changing_rate_is_noted(tmp_path):
    path = tmp_path / "a.gif"
    images = [Image.fromarray(f) for f in CLIP[:3]]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[50, 200, 350])
    info = probe(path)
    assert (
        info.fps == pytest.approx(5)
        and "50 to 350 ms" in info.notes[0]
        and info.seconds == pytest.approx(0.6)
    )


def test_a_container_with_a_gap_is_noted(tmp_path):
    path = tmp_path / "a.mp4"
    gap = "setpts='(N+5*gte(N,10))/10/TB'"  # half a second is missing in the middle
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=2"]
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-loglevel",
            "error",
            *source,
            "-vf",
            gap,
            "-fps_mode",
            "vfr",
            "-pix_fmt",
            "yuv420p",
            str(path),
        ],
        check=True,
    )
    info = probe(path)
    assert info.frames == 20 and "100 to 600 ms apart" in info.notes[0]


def test_folders_of_frames_are_in_the_order_of_their_numbers(tmp_path):
    for i in (0, 1, 2, 9, 10, 11):
        Image.fromarray(np.full((8, 10, 3), i, np.uint8)).save(tmp_path / f"frame_{i}.png")
    frames, fps = read_video(tmp_path)
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2, 9, 10, 11] and fps == 25
    (tmp_path / "frames.json").write_text(json.dumps({"fps": 6}))
    assert read_video(tmp_path)[1] == 6
    (tmp_path / "frames.json").write_text("{}")
    with pytest.raises(InputFileError, match="frames.json"):
        read_video(tmp_path)


def test_max_frames_takes_the_beginning(tmp_path):
    for name in ("a.mp4", "a.gif"):
        whole, _ = read_video(write_video(tmp_path / name, CLIP, 8))
        part, _ = read_video(tmp_path / name, 4)
        assert (part == whole[:4]).all()
    with pytest.raises(ConfigError, match="max_frames is 0"):
        read_video(tmp_path / "a.mp4", 0)


def test_a_file_that_promises_more_than_it_holds_says_so(tmp_path):
    path = write_video(tmp_path / "a.avi", np.repeat(CLIP, 4, 0), 8)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    info = probe(path)
    assert 1 <= info.frames < 36 and any("promises 36 frames" in note for note in info.notes)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mp4", b"", "is empty"),
        ("a.mp4", b"not a video" * 99, "cannot be decoded"),
        ("a.gif", b"GIF89a nonsense", "cannot be decoded as a GIF"),
        ("a.gif", b"text", "cannot be decoded as a GIF"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name, content, words, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=words) as error:
        read_video(tmp_path / name)
    assert name in str(error.value) and "moov" not in capfd.readouterr().err


def test_a_cut_off_mp4_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", CLIP, 8)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputFileError, match="cut off"):
        read_video(path)


def test_a_cut_off_gif_names_the_frame(tmp_path):
    path = write_video(tmp_path / "a.gif", CLIP, 8)
    data = path.read_bytes()
    path.write_bytes(data[:-60])
    with pytest.raises(InputFileError, match=r"ends or breaks in frame [4-8]"):
        read_video(path)


def test_a_picture_named_gif_is_refused_with_its_kind(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), CLIP[0])
    (tmp_path / "a.jpg").rename(tmp_path / "a.gif")
    with pytest.raises(InputFileError, match="holds JPEG"):
        read_video(tmp_path / "a.gif")


def test_missing_files_empty_folders_and_mixed_sizes(tmp_path):
    with pytest.raises(InputFileError, match="does not exist"):
        read_video(tmp_path / "nothing.mp4")
    with pytest.raises(InputFileError, match="folder without frames"):
        read_video(tmp_path)
    write_frames(tmp_path / "f", CLIP[:2])
    Image.fromarray(CLIP[0, :20]).save(tmp_path / "f" / "000002.png")
    with pytest.raises(InputFileError, match="32x48 to 20x48 at frame 2"):
        read_video(tmp_path / "f")
    (tmp_path / "f" / "000001.png").write_bytes(b"broken")
    with pytest.raises(InputFileError, match="000001.png cannot be decoded"):
        read_video(tmp_path / "f")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(frames=5), "longer than the limit of 5 frames"),
        (Limits(seconds=0.5), "0.5 seconds"),
        (Limits(side=40), "limit is 40 pixels"),
        (Limits(gigabytes=1e-5), "GiB of memory"),
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_limits_hold(tmp_path, limits, words, name):
    path = write_video(tmp_path / name, CLIP, 8)
    with pytest.raises(InputFileError, match=words):
        read_video(path, limits=limits)


def test_streaming_reads_no_more_than_asked(tmp_path):
    path = write_video(tmp_path / "a.gif", CLIP, 8)
    path.write_bytes(path.read_bytes()[:-20])  # breaks later
    with open_reader(path) as reader:
        assert (next(iter(reader)) == CLIP[0]).all()


def test_what_looks_like_a_video(tmp_path):
    assert is_video(tmp_path / "a.MP4") and is_video(tmp_path / "b.gif")
    assert (
        not is_video(tmp_path / "a.txt")
        and not is_video(tmp_path / ".a.mp4")
        and not is_video(tmp_path)
    )
    write_frames(tmp_path / "f", CLIP[:1])
    assert is_video(tmp_path / "f")
