"""Images as frames: of every mode, turned, damaged, huge; folders of them with odd names."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mindlong.media.colours import parse_colour, shown_on
from mindlong.media.formats import is_video
from mindlong.media.read import Limits, open_reader, probe, read_image, read_video
from mindlong.utils.errors import ConfigError, InputFileError

RAMP = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "1"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_mode_becomes_colours(tmp_path, mode, suffix):
    image = Image.fromarray(RAMP).convert(mode)
    frame = read_image(saved(tmp_path / f"a{suffix}", image))
    assert frame.dtype == np.uint8 and frame.shape == (12, 16, 3)
    assert (frame == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_shortened_not_cut_off(tmp_path, suffix):
    values = (RAMP.astype(np.uint16) << 8) + 200
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(values))
    assert (read_image(path)[..., 0] == RAMP).all() and (read_image(path)[..., 2] == RAMP).all()
    with open_reader(saved_folder(tmp_path / "f", [path])) as reader:
        assert len(list(reader)) == 1 and reader.notes == ["its 16 bits are shortened to 8"]


def saved_folder(folder, paths):
    folder.mkdir()
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_floating_point_is_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(RAMP.astype(np.float32) / 7))
    with pytest.raises(InputFileError, match="what is white is not known"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pictures_are_shown_on_a_colour(tmp_path, mode):
    image = Image.new("RGBA", (16, 12), (10, 10, 10, 0))
    image.paste((10, 10, 10, 255), (0, 0, 8, 12))
    image = image.convert(mode) if mode != "P" else image.quantize(4)
    path = saved(tmp_path / "a.png", image)
    frame = read_image(path)
    assert (frame[:, :8] == 10).all() and (frame[:, 8:] == 255).all()
    with shown_on(parse_colour("#0000ff")):
        assert (read_image(path)[:, 8:] == [0, 0, 255]).all()
    assert (read_image(path, background=(1, 2, 3))[:, 8:] == [1, 2, 3]).all()


@pytest.mark.parametrize("text", ["nocolour", "", "#12345", "rgb(1,2)"])
def test_what_is_no_colour_is_named_with_its_key(text):
    with pytest.raises(ConfigError, match="data.alpha_background is"):
        parse_colour(text, "data.alpha_background")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_noted(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    upright = np.asarray(Image.fromarray(RAMP).resize((32, 24)))
    back = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }  # what is stored, of what is to be seen
    stored = np.ascontiguousarray(back[orientation](upright))
    path = saved(tmp_path / "a.png", Image.fromarray(stored), exif=exif)
    assert (read_image(path)[..., 0] == upright).all()
    info = probe(saved_folder(tmp_path / "f", [path]))
    assert info.size == (24, 32) and bool(info.notes) == (orientation > 1)


def test_a_folder_of_mixed_modes_and_suffixes_is_one_video(tmp_path):
    folder = tmp_path / "日本 frames"
    folder.mkdir()
    for number, (mode, suffix) in enumerate(
        [("RGB", ".png"), ("L", ".PNG"), ("RGBA", ".webp"), ("P", ".bmp"), ("RGB", ".jpeg")]
    ):
        image = Image.fromarray(np.full((8, 10), 40 * number, np.uint8)).convert(mode)
        saved(
            folder / f"f_{number}{suffix}", image, **({"lossless": True} if mode == "RGBA" else {})
        )
    frames, _ = read_video(folder)
    assert np.abs(frames[:, 4, 4, 0].astype(int) - [0, 40, 80, 120, 160]).max() <= 2
    assert probe(folder).notes == ()


def stills(folder, names):
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        saved(folder / name, Image.fromarray(np.full((8, 10, 3), i, np.uint8)))
    return folder


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a1.png", "a2.png", "a5.png"], ["gaps, from 2 to 5"]),
        (["a10.png", "a20.png", "a30.png"], []),
        (["a1.png", "a1.bmp", "a2.png"], ["there twice"]),
        (["x.png", "y.png"], []),
    ],
)
def test_odd_numbers_are_noted(tmp_path, names, words):
    notes = probe(stills(tmp_path / "f", names)).notes
    assert len(notes) == len(words) and all(w in n for w, n in zip(words, notes, strict=True))


@pytest.mark.parametrize(
    "names", [["²1.png", "²2.png"], ["٣.png", "x2.png"], ["1.png", "a.png", "é9.png"]]
)
def test_any_letters_in_the_names_of_frames_are_sorted(tmp_path, names):
    assert probe(stills(tmp_path / "f", names)).frames == len(names)


def test_hidden_files_pipes_and_others_are_no_frames(tmp_path):
    folder = stills(tmp_path / "f", ["1.png", "2.png"])
    (folder / "._1.png").write_bytes(b"of a Macintosh")
    (folder / "Thumbs.db").write_bytes(b"of Windows")
    os.mkfifo(folder / "3.png")
    (folder / "4.png").symlink_to("/dev/zero")
    assert probe(folder).frames == 2


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"fps": 0}', '{"fps": "x"}', '{"fps": NaN}', '{"fps": 1e9}', '{"fps": [1]}'],
)
def test_a_rate_file_that_states_none_is_refused(tmp_path, content):
    folder = stills(tmp_path / "f", ["1.png"])
    (folder / "frames.json").write_text(content)
    with pytest.raises(InputFileError, match="frames.json"):
        probe(folder)


def test_the_frame_of_another_size_is_named(tmp_path):
    folder = stills(tmp_path / "f", ["1.png", "2.png"])
    saved(folder / "3.png", Image.new("RGB", (11, 8)))
    with pytest.raises(InputFileError, match="from 8x10 to 8x11 at frame 2, 3.png"):
        probe(folder)


def png_of(width, height):
    """A valid PNG whose header states any size; its data are a few bytes."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def webp_of(width, height):
    canvas = b"\x02\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_of(width, height):
    return (
        b"BM"
        + struct.pack("<IHHI", 99, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


HUGE = {
    "a.png": png_of(60000, 60000),
    "a.webp": webp_of(16000, 16000),
    "a.bmp": bmp_of(30000, 30000),
    "wide.png": png_of(100000, 1),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_pictures_are_refused_by_their_headers(tmp_path, name, monkeypatch, recwarn):
    (tmp_path / name).write_bytes(HUGE[name])
    monkeypatch.setattr(Image.Image, "load", None)  # nothing is decoded
    for read in (read_image, lambda path: probe(saved_folder(tmp_path / "f", [path]))):
        with pytest.raises(InputFileError, match=r"the limit is 8192 pixels a side"):
            read(tmp_path / name)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "a.gif",
            b"GIF89a"
            + struct.pack("<HHBBB", 60000, 60000, 0, 0, 0)
            + b","
            + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0)
            + b"\2\0;",
        ),
        ("a.webp", webp_of(16000, 16000)),
        ("a.apng", png_of(60000, 60000)),
    ],
)
def test_huge_animations_are_refused_by_their_headers(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputFileError, match="the limit is 8192 pixels a side"):
        probe(tmp_path / name)


def test_limits_of_a_side_hold_for_pictures(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGB", (41, 8)))
    with pytest.raises(InputFileError, match="8x41; the limit is 40"):
        read_image(path, Limits(side=40))


@pytest.mark.filterwarnings("ignore::UserWarning")  # silent outside of pytest, which renews filters
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_damaged_pictures_are_a_sentence_whatever_the_decoder_raises(tmp_path, suffix):
    buffer = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    image.save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
    whole, draw = buffer.getvalue(), np.random.default_rng(1)
    broken = [whole[:n] for n in (1, 9, 20, 60, len(whole) // 2)]
    for _ in range(40):
        bent = bytearray(whole)
        for place in draw.integers(0, min(len(bent), 120), 4):
            bent[place] = draw.integers(256)
        broken.append(bytes(bent))
    for data in broken:
        (tmp_path / f"a{suffix}").write_bytes(data)
        try:
            assert read_image(tmp_path / f"a{suffix}").ndim == 3
        except InputFileError as error:
            assert f"a{suffix}" in str(error)


@pytest.mark.parametrize(
    "error", [MemoryError, KeyError, struct.error, zlib.error, RecursionError, AssertionError]
)
def test_every_error_of_a_decoder_is_a_sentence(tmp_path, monkeypatch, error):
    path = saved(tmp_path / "a.png", Image.new("RGB", (4, 4)))

    def broken(*_, **__):
        raise error("told")

    monkeypatch.setattr(Image.Image, "convert", broken)
    with pytest.raises(InputFileError, match="a.png cannot be decoded as an image"):
        read_image(path)


def test_a_script_under_a_pictures_name_runs_nothing(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(InputFileError, match="it is none of .png"):
        read_image(tmp_path / "a.png")


def test_animations_among_pictures_are_told_by_their_headers(tmp_path):
    frames = [Image.new("RGB", (8, 8), (i * 60, 0, 0)) for i in range(3)]
    for name, more in (("a.png", {}), ("a.webp", {"lossless": True})):
        saved(tmp_path / name, frames[0])
        assert not is_video(tmp_path / name)
        with pytest.raises(InputFileError, match="still image"):
            probe(tmp_path / name)
        saved(
            tmp_path / name,
            frames[0],
            save_all=True,
            append_images=frames[1:],
            duration=[50, 50, 300],
            **more,
        )
        assert is_video(tmp_path / name)
        info = probe(tmp_path / name)
        assert info.frames == 3 and info.seconds == pytest.approx(0.4)
        assert any("50 to 300 ms" in note for note in info.notes)
    os.mkfifo(tmp_path / "b.png")
    assert not is_video(tmp_path / "b.png")


def test_a_cover_before_an_animated_png_is_no_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), (i * 60, 0, 0)) for i in range(3)]
    saved(
        tmp_path / "a.png",
        Image.new("RGB", (8, 8), (0, 0, 250)),
        save_all=True,
        append_images=frames,
        default_image=True,
        duration=100,
    )
    assert read_video(tmp_path / "a.png")[0][:, 0, 0].tolist() == [
        [0, 0, 0],
        [60, 0, 0],
        [120, 0, 0],
    ]


def test_a_gif_without_its_end_is_said_to_be_cut_off(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(np.roll(RAMP, i, 1)) for i in range(5)]
    saved(path, frames[0], save_all=True, append_images=frames[1:], duration=100)
    assert probe(path).notes == ()
    data = path.read_bytes()
    cut = data.rindex(b"\x21\xf9\x04")  # where the last frame begins
    path.write_bytes(data[:cut])
    info = probe(path)
    assert info.frames == 4 and any("end mark is missing" in note for note in info.notes)
    path.write_bytes(data + b"\0" * 100)
    assert probe(path).notes == ()


def test_what_a_folder_states_is_kept(tmp_path):
    folder = stills(tmp_path / "f", ["1.png", "2.png"])
    (folder / "frames.json").write_text(json.dumps({"fps": 12.5}))
    assert probe(folder).fps == 12.5


def test_an_image_of_the_package_has_a_name_that_is_good_anywhere():
    frame = read_image("shipped:storyboard_shapes/1.png")
    assert frame.shape == (64, 64, 3) and frame[35, 16].tolist() == [52, 104, 240]
    with pytest.raises(InputFileError, match=r"storyboard_shapes/9\.png"):
        read_image("shipped:storyboard_shapes/9.png")
    for out in ("shipped:../../README.md", "shipped:/etc/hostname", "shipped:a/../../../b.png"):
        with pytest.raises(InputFileError, match="is no file of the package"):
            read_image(out)
