"""Hostile uploads: each is refused in a sentence, and nothing of it is kept."""

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from app_places import ANNA, arrived, desk, place_in, png
from PIL import Image

from mindlong.app import uploads
from mindlong.media.write import write_video
from mindlong.utils.errors import UserError


@pytest.fixture
def place(tmp_path):
    return place_in(tmp_path, upload_mb=1, upload_frames=12, quota_mb=3)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )


def bomb_of_pixels():
    """A few kilobytes that would be 10.8 GB of pixels."""
    return (
        header(60000, 60000) + chunk(b"IDAT", zlib.compress(bytes(10**6), 9)) + chunk(b"IEND", b"")
    )


def bomb_of_text():
    """A compressed remark of 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    text = chunk(b"zTXt", b"comment\0\0" + packed)
    return header(8, 8) + text + png()[33:]


def gif(frames):
    images = [Image.new("RGB", (8, 8), (6 * n, 90, 255 - 6 * n)) for n in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=40)
    return out.getvalue()


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as held:
        held.writestr("../../escape.py", "print(1)")
    return out.getvalue()


def video(tmp_path):
    path = tmp_path / "small.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), np.uint8), 8)
    return path.read_bytes()


CONTENTS = {
    "empty": b"",
    "text": b"just some words\n" * 40,
    "web page": b"<!DOCTYPE html><script>alert(1)</script>",
    "svg with a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "shell script": b"#!/bin/sh\nrm -rf /\n",
    "python": b"import os\nos.system('id')\n",
    "playlist of a file": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "playlist of a network": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n",
    "script of ffmpeg": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "list of files": b"file '/etc/passwd'\n",
    "manifest": b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/</BaseURL></MPD>',
    "broadcast": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(300),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(id) system\n",
    "archive": zipped(),
    "gzip": b"\x1f\x8b\x08" + bytes(200),
    "program": b"\x7fELF\x02\x01\x01" + bytes(400),
    "pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.",
    "weights": b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ",
    "png cut off": png()[:40],
    "png of nothing": b"\x89PNG\r\n\x1a\n",
    "png with a bomb of pixels": bomb_of_pixels(),
    "png with a bomb of text": bomb_of_text(),
    "png of no height": header(8, 0) + chunk(b"IEND", b""),
    "png wider than the limit": png((1, 5000)),
    "jpeg cut off": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(30),
    "tiff of nothing": b"II*\0\xff\xff\xff\x7f" + bytes(64),
    "bmp that promises too much": b"BM" + struct.pack("<IIIIiiHHIIiiII", 10**6, 0, 54, 40, 70000, 70000, 1, 24, 0, 0, 0, 0, 0, 0),
    "webp that promises too much": b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(64),
    "gif of too many frames": gif(40),
    "gif cut off": gif(4)[:-900],
    "mp4 of nothing": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(200),
    "matroska of nothing": b"\x1a\x45\xdf\xa3" + bytes(200),
    "avi of nothing": b"RIFF\x10\0\0\0AVI " + bytes(100),
    "larger than the limit": png() + bytes(2**20),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_hostile_file_is_refused(place, kind):
    with pytest.raises(UserError) as refused:
        desk(place).upload(arrived(place, CONTENTS[kind], "holiday.mp4"))
    said = str(refused.value)
    assert said and "\n" not in said and str(place.home) not in said
    assert not list(place.person(ANNA).folder.rglob("*up-*"))


@pytest.mark.parametrize(
    "path",
    [
        None,
        17,
        ["/etc/passwd"],
        "",
        "/etc/passwd",
        "../../../etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.png",
        "{served}",
        "{served}/../users",
        "{served}/{hash}",
        "{served}/{hash}/../../../../etc/passwd",
        "{served}/{hash}/given.png\0.mp4",
        "{served}/{hash}/link.png",
        "{served}/{linked}/passwd",
        "{served}/{hash}/pipe.png",
        "{served}/{boris}/1-2-3/video.mp4",
        "{served}/short/given.png",
        "{served}/{hash}/missing.png",
    ],
)
def test_a_path_that_was_not_uploaded_is_refused(place, path):
    arrived(place, png())
    hashed, linked = place.served / ("0" * 64), place.served / ("1" * 64)
    (hashed / "link.png").symlink_to("/etc/passwd")
    linked.symlink_to("/etc")
    os.mkfifo(hashed / "pipe.png")
    for folder, name in (
        (place.served / ("b" * 32) / "1-2-3", "video.mp4"),
        (place.served / "short", "given.png"),
    ):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(png())
    if isinstance(path, str):
        path = path.format(served=place.served, hash="0" * 64, linked="1" * 64, boris="b" * 32)
    with pytest.raises(UserError, match="no file that was uploaded here"):
        desk(place).upload(path)


def test_a_name_says_nothing_and_is_not_kept(place):
    for name in ("a\nb.png", "x;rm -rf .png", "éà‮gnp.exe", "%2e%2e%2fup.png", "a" * 200 + ".mp4"):
        kept = desk(place).upload(arrived(place, png(), name))
        assert uploads.NAME.fullmatch(kept.name) and kept.suffix == ".png"
        assert kept.parent == place.person(ANNA).uploads and kept.stat().st_mode & 0o077 == 0


def test_of_an_image_its_pixels_alone_are_kept(place):
    """What stands behind or between them, an archive or a script, is gone."""
    polyglot = (
        png((6, 5))[:-12] + chunk(b"tEXt", b"comment\0<script>alert(1)</script>") + png()[-12:]
    )
    kept = desk(place).upload(arrived(place, polyglot + zipped() + b"<?php system('id'); ?>"))
    data = kept.read_bytes()
    assert b"PK" not in data and b"script" not in data and b"php" not in data
    assert np.array_equal(np.asarray(Image.open(kept)), np.full((6, 5, 3), (200, 30, 30)))


def test_a_video_is_known_by_its_bytes(place, tmp_path):
    kept = desk(place).upload(arrived(place, video(tmp_path), "picture.png"))
    assert kept.suffix == ".mp4" and kept.read_bytes() == video(tmp_path)
    assert desk(place).upload(arrived(place, gif(3), "x.mp4")).suffix == ".gif"


def test_uploads_of_one_person_have_a_limit_together(place):
    data = np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(data).save(out, "PNG")
    for _ in range(4):
        desk(place).upload(arrived(place, out.getvalue()))
    with pytest.raises(UserError, match="limit of this page is 3 MiB"):
        desk(place).upload(arrived(place, out.getvalue()))


def test_an_upload_of_another_is_not_there(place):
    kept = desk(place).upload(arrived(place, png()))
    with pytest.raises(UserError):
        uploads.of_name(kept.name, place.person("b" * 32))
    for name in ("../x", kept.name + "\0", "up-0.png", "", "/etc/passwd"):
        with pytest.raises(UserError):
            uploads.of_name(name, place.person(ANNA))
