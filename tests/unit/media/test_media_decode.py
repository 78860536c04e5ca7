"""Video files as they are meant to be seen: turned, with square pixels, at their true times; and
what is no video, or no more, costs a sentence.
"""

import os
import shutil
import stat
import struct

import imageio_ffmpeg
import numpy as np
import pytest
from media_files import BLUE, RED, ffmpeg, halves, hole, side_of
from PIL import Image

from mindlong.media import ffmpeg as decoder
from mindlong.media.colours import shown_on
from mindlong.media.read import Limits, open_reader, probe, read_video
from mindlong.utils.errors import InputFileError, UserError

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Red above blue, not turned."""
    return halves(tmp_path_factory.mktemp("plain") / "a.mp4", *H264)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("angle", "size", "side"),
    [(90, (64, 48), "left"), (180, (48, 64), "bottom"), (270, (64, 48), "right")],
)
def test_a_turned_video_is_turned_back_and_it_is_said(plain, tmp_path, angle, size, side, suffix):
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-display_rotation", str(angle), "-i", str(plain), "-c", "copy", str(path))
    frames, _ = read_video(path)
    assert frames.shape[1:3] == size and side_of(frames[0], RED) == side
    assert any(f"turned by {angle} degrees" in note for note in probe(path).notes)
    assert side_of(read_video(plain)[0][0], RED) == "top" and not probe(plain).notes


def test_a_mirrored_video_is_mirrored_back(tmp_path):
    vf = "transpose=1"  # red on the right
    path = halves(tmp_path / "a.mp4", *H264, vf=vf)
    ffmpeg("-display_hflip", "-i", str(path), "-c", "copy", str(tmp_path / "b.mp4"))
    assert side_of(read_video(path)[0][0], RED) == "right"
    assert side_of(read_video(tmp_path / "b.mp4")[0][0], RED) == "left"
    assert any("mirrored" in note for note in probe(tmp_path / "b.mp4").notes)


@pytest.mark.parametrize(
    ("shape", "size"), [("2", (48, 128)), ("1/2", (96, 64)), ("16/11", (48, 93)), ("1", (48, 64))]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pixels_are_made_square(tmp_path, shape, size, suffix):
    path = halves(tmp_path / f"a.{suffix}", *H264, vf=f"setsar={shape}")
    info = probe(path)
    assert info.size == size and side_of(read_video(path)[0][0], BLUE) == "bottom"
    assert any("not square" in note for note in info.notes) == (shape != "1")


def test_pixels_of_a_turned_video_are_turned_with_it(tmp_path):
    wide = halves(tmp_path / "a.mp4", *H264, vf="setsar=2")
    path = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(wide), "-c", "copy", str(path))
    assert probe(path).size == (128, 48) and side_of(read_video(path)[0][0], RED) == "left"


def test_pixels_of_a_twentieth_are_not_believed(tmp_path):
    path = halves(tmp_path / "a.mp4", *H264, vf="setsar=1/20")
    info = probe(path)
    assert info.size == (48, 64) and any("not believed" in note for note in info.notes)


@pytest.mark.parametrize("factor", [2, 0.5])
def test_uneven_frames_keep_their_times_and_their_length(tmp_path, factor):
    """Half a second at 10 a second, then the rest slower or faster: no gap stands out by itself
    for long.
    """
    path = tmp_path / "a.mkv"
    times = f"settb=1/1000,setpts='if(lt(N,10),N,10+(N-10)*{factor})/10/TB'"
    halves(path, "-fps_mode", "vfr", "-enc_time_base", "1/1000", *H264, seconds=2, vf=times)
    with open_reader(path) as reader:
        count = sum(1 for _ in reader)
        seconds = 1 + 1 * factor
        assert reader.variable_rate and count / reader.fps == pytest.approx(seconds, abs=0.02)
        assert reader.clock.time(9) == pytest.approx(0.9, abs=0.002)
        assert reader.clock.time(19) == pytest.approx(1 + 0.9 * factor, abs=0.002)
        assert any("ms apart" in note for note in reader.notes)


@pytest.mark.parametrize("rate", ["30000/1001", "24000/1001", "12.5", "60", "240"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_even_rates_are_exact_whatever_a_container_rounds(tmp_path, rate, suffix):
    path = tmp_path / f"a.{suffix}"
    source = f"testsrc=s=32x32:r={rate}:d=0.5"
    ffmpeg("-f", "lavfi", "-i", source, *H264, str(path))
    over, _, under = rate.partition("/")
    info = probe(path)
    assert info.fps == pytest.approx(float(over) / float(under or 1), rel=1e-6) and not info.notes


def test_an_absurd_rate_is_not_believed(tmp_path):
    path = tmp_path / "a.mp4"
    source = "testsrc=s=32x32:r=90000:d=0.0002"
    ffmpeg("-f", "lavfi", "-i", source, *H264, "-video_track_timescale", "90000", str(path))
    info = probe(path)
    assert info.fps == 25
    assert any("states 90000 frames a second, which is not believed" in n for n in info.notes)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A sound with a cover image, and one without."""
    folder = tmp_path_factory.mktemp("sounds")
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:d=0.1:r=10", "-map", "0", "-map", "1")
    sine = ("-f", "lavfi", "-i", "sine=d=0.5")
    attached = ("-c:a", "aac", "-c:v", "png", "-disposition:v", "attached_pic", "-frames:v", "1")
    ffmpeg(*sine, *cover, *attached, str(folder / "cover.mp4"))
    ffmpeg(*sine, "-c:a", "aac", str(folder / "sound.mp4"))
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cover.mp4", "holds no video but a cover image, only sound"),
        ("sound.mp4", "holds no video, only sound"),
    ],
)
def test_sound_is_no_video(sounds, name, words):
    with pytest.raises(InputFileError, match=words):
        read_video(sounds / name)


def test_a_longer_sound_promises_no_frames(plain, tmp_path):
    path = tmp_path / "a.mp4"
    ffmpeg(
        "-i", str(plain), "-f", "lavfi", "-i", "sine=d=3", "-c:v", "copy", "-c:a", "aac", str(path)
    )
    assert probe(path).frames == 6 and not probe(path).notes


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")),
        ("a8.webm", ("-c:v", "libvpx", "-auto-alt-ref", "0", "-pix_fmt", "yuva420p")),
        ("prores.mov", ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")),
        ("png.mov", ("-c:v", "png")),
        ("qtrle.mov", ("-c:v", "qtrle", "-pix_fmt", "argb")),
        ("ffv1.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuva444p16le")),
        ("a.apng", ("-plays", "0")),
        ("a.gif", None),
        ("a.webp", None),
    ],
)
def test_transparent_parts_are_shown_on_a_colour_that_is_said(tmp_path, name, arguments):
    if arguments is None:
        pillow_hole(tmp_path / name)
    else:
        hole(tmp_path / name, *arguments)
    frames, _ = read_video(tmp_path / name)
    assert (frames[0, :10, :12] > 245).all() and (frames[0, 16:32, 20:44] < 20).all()
    assert "its transparent parts are shown on white" in probe(tmp_path / name).notes
    with shown_on((0, 200, 0)):
        green = read_video(tmp_path / name)[0]
        assert np.abs(green[0, 2, 2].astype(int) - [0, 200, 0]).max() < 12
        assert any("#00c800" in note for note in probe(tmp_path / name).notes)


def pillow_hole(path):
    """As `hole`. Frames differ, as equal ones would be one; each is whole, as changes alone lose
    the alpha channel.
    """
    frames = []
    for i in range(4):
        image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        image.paste((i, 0, 0, 255), (16, 12, 48, 36))
        frames.append(image)
    gif = {"disposal": 2}
    webp = {"lossless": True, "minimize_size": False, "allow_mixed": False, "kmax": 1}
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=100,
        **(gif if path.suffix == ".gif" else webp),
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("av1.mp4", ("-c:v", "libsvtav1")),
        ("av1.webm", ("-c:v", "libsvtav1")),
        ("hevc.mkv", ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=0")),
        ("h264_10.mkv", ("-c:v", "libx264", "-pix_fmt", "yuv422p10le")),
        ("prores.mov", ("-c:v", "prores_ks")),
        ("mjpeg.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        ("mjpeg.mjpeg", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        ("ffv1.mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp16le")),
        ("vp9.webm", ("-c:v", "libvpx-vp9")),
        ("a.wmv", ()),
        ("a.asf", ()),
        ("a.flv", ("-b:v", "1M")),
        ("a.mpg", ("-r", "25", "-b:v", "2M")),
        ("a.vob", ("-r", "25", "-b:v", "2M")),
        ("a.ts", H264),
        ("a.m2ts", H264),
        ("a.3gp", H264),
        ("a.m4v", H264),
        ("a.ogv", ("-b:v", "1M")),
        ("a.nut", ()),
        ("a.y4m", ("-pix_fmt", "yuv444p")),
        ("a.h264", H264),
        ("a.ivf", ("-c:v", "libvpx", "-b:v", "1M")),
        ("a.mxf", ("-r", "25", "-b:v", "2M")),
    ],
)
def test_every_usual_format_is_read(tmp_path, name, arguments):
    path = halves(tmp_path / name, *arguments)
    frames, _ = read_video(path)
    assert len(frames) >= (1 if name == "a.ogv" else 5)  # Theora leaves equal frames out
    assert frames.shape[1:] == (48, 64, 3)
    assert side_of(frames[0], RED) == "top" and side_of(frames[-1], BLUE) == "bottom"


def test_odd_sizes_are_read(tmp_path):
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=33x17:r=10:d=0.3", "-c:v", "ffv1", str(path))
    assert read_video(path)[0].shape == (3, 17, 33, 3)


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.mp4",
        b"new\nline \x1b[2J.mp4",
        b"-i.mp4",
        b"concat:a|b.mp4",
        "日本 é.mp4".encode(),
    ],
)
def test_any_name_can_be_read_and_is_shown_without_its_tricks(plain, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    shutil.copy(plain, path)
    assert probe(path).frames == 6
    path.write_bytes(b"nothing of a video")
    with pytest.raises(InputFileError) as error:
        probe(path)
    assert str(error.value).isprintable() and str(error.value).encode("utf-8")


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAYLIST, r"playlist \(HLS\)"),
        ("\ufeff\n " + PLAYLIST, r"playlist \(HLS\)"),
        ("ffconcat version 1.0\nfile '{other}'\n", "script of ffmpeg"),
        ("file '{other}'\n", "names other files"),
        ('<?xml version="1.0"?><MPD><BaseURL>{other}</BaseURL></MPD>', "DASH"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\n", "SDP"),
        ("[playlist]\nFile1={other}\n", "playlist"),
        ("<!DOCTYPE html><html>404</html>", "web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("https://example.org/a.mp4\n", "an address"),
        ("hello", "a text file"),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_text_under_a_videos_name_opens_nothing(
    plain, tmp_path, monkeypatch, content, words, suffix
):
    path = tmp_path / f"a.{suffix}"
    path.write_text(content.replace("{other}", f"file://{plain}"), encoding="utf-8")
    monkeypatch.setattr("subprocess.Popen", None)  # refused before a decoder is started
    with pytest.raises(InputFileError, match=words):
        probe(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_playlist_in_other_letters_is_a_text_too(tmp_path, encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    (tmp_path / "a.mp4").write_bytes(mark + PLAYLIST.encode(encoding))
    with pytest.raises(InputFileError, match="HLS"):
        probe(tmp_path / "a.mp4")


def test_a_playlist_behind_binary_is_not_followed_either(plain, tmp_path):
    playlist = PLAYLIST.replace("{other}", str(plain)).encode()
    for data in (playlist + b"\0", playlist + b"\xff" * 9999, b"\0" + playlist):
        (tmp_path / "a.mp4").write_bytes(data)
        with pytest.raises(InputFileError, match="cannot be decoded"):
            probe(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + b"\0" * 99, "zip archive"),
        (b"%PDF-1.7\n\0\xff", "PDF"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 99, "holds JPEG"),
        (b"", "is empty"),
        (os.urandom(4096), "cannot be decoded"),
        (b"\0" * 4096, "cannot be decoded"),
    ],
)
def test_other_files_under_a_videos_name_are_called_what_they_are(tmp_path, data, words):
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(InputFileError, match=words):
        probe(tmp_path / "a.mp4")


def test_pipes_devices_and_links_to_nothing_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").symlink_to("/dev/zero")
    (tmp_path / "c.mp4").symlink_to(tmp_path / "none")
    (tmp_path / "d.mp4").symlink_to(tmp_path / "d.mp4")
    for name, words in (
        ("a", "a named pipe"),
        ("b", "a device"),
        ("c", "a link that leads nowhere"),
        ("d", "cannot be read"),
    ):
        with pytest.raises(InputFileError, match=words):
            probe(tmp_path / f"{name}.mp4")


def test_a_file_that_may_not_be_read_is_a_sentence(plain, tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    shutil.copy(plain, path)
    path.chmod(0)
    real = open

    def refuse(file, *rest, **more):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *rest, **more)

    if os.geteuid() == 0:  # to whom nothing is forbidden
        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputFileError, match="a.mp4 cannot be read: Permission denied"):
        probe(path)


def test_a_picture_far_too_large_is_refused_by_its_header(tmp_path):
    path = tmp_path / "a.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=9000x16:r=10:d=0.1", "-c:v", "ffv1", str(path))
    with pytest.raises(InputFileError, match="16x9000; the limit is 8192"):
        probe(path)


def test_a_size_that_changes_is_refused(tmp_path):
    small, large = (halves(tmp_path / f"{n}.ts", *H264, vf=f"scale={n}:{n}") for n in (32, 48))
    path = tmp_path / "a.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(InputFileError, match="changes its size from 32x32 to 48x48 at frame 6"):
        probe(path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.mkv", H264),
        ("a.webm", ("-c:v", "libvpx-vp9")),
        ("a.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        ("a.ts", H264),
        ("a.flv", ("-b:v", "1M")),
        ("a.mp4", (*H264, "-movflags", "+faststart")),
        ("a.gif", ()),
        ("a.apng", ("-plays", "0")),
    ],
)
def test_damaged_files_are_read_with_a_note_or_refused(tmp_path, name, arguments, capfd):
    whole = halves(tmp_path / name, *arguments, vf="hue=h=40*t").read_bytes()
    draw = np.random.default_rng(1)
    ends = []
    for part in (0.15, 0.5, 0.85):
        ends.append(whole[: int(len(whole) * part)])
    for _ in range(3):
        bent = bytearray(whole)
        for place in draw.integers(0, len(whole), 12):
            bent[place] ^= 1 << draw.integers(8)
        ends.append(bytes(bent))
    for data in ends:
        (tmp_path / name).write_bytes(data)
        try:
            assert probe(tmp_path / name).frames >= 1
        except InputFileError as error:
            assert name in str(error)
    assert capfd.readouterr().err == ""


def test_damage_inside_is_said(tmp_path):
    path = halves(tmp_path / "a.mkv", "-c:v", "ffv1", "-slicecrc", "1", vf="hue=h=40*t")
    data = bytearray(path.read_bytes())
    place = len(data) * 2 // 3
    data[place : place + 8] = b"\xaa" * 8
    path.write_bytes(bytes(data))
    assert any("is damaged: ffmpeg says" in note for note in probe(path).notes)


def fake_ffmpeg(tmp_path, monkeypatch, script):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    decoder.executable.cache_clear()
    return program


@pytest.fixture(autouse=True)
def _real_ffmpeg():
    yield
    decoder.executable.cache_clear()


def test_a_decoder_that_crashes_costs_a_sentence(plain, tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path, monkeypatch, "kill -SEGV $$")
    with pytest.raises(InputFileError, match=r"the decoder crashed \(signal 11\)"):
        probe(plain)


PAM = "P7\\nWIDTH 2\\nHEIGHT 2\\nDEPTH 3\\nMAXVAL 255\\nTUPLTYPE RGB\\nENDHDR\\nabcdefghijkl"


LINE = "echo '[info] n: 0 pts: 0 ... sar:1/1 s:2x2 i:P' | cut -c8- >&2"


def test_a_decoder_that_crashes_late_is_said(plain, tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path, monkeypatch, f"{LINE}; printf '{PAM}'; kill -SEGV $$")
    info = probe(plain)
    assert info.frames == 1 and any("crashed (signal 11) after 1 frames" in n for n in info.notes)


@pytest.mark.parametrize("script", ["exec sleep 60", f"{LINE}; printf '{PAM}P7'; exec sleep 60"])
def test_a_decoder_that_hangs_costs_a_sentence(plain, tmp_path, monkeypatch, script):
    fake_ffmpeg(tmp_path, monkeypatch, script)
    with pytest.raises(InputFileError, match="no frame came within 0.3 s"):
        probe(plain, Limits(stall=0.3))


def test_an_ffmpeg_that_is_too_old_is_not_the_files_fault(plain, tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path, monkeypatch, "echo \"Unrecognized option 'fps_mode'.\" >&2; exit 1")
    with pytest.raises(UserError, match="is too old; ffmpeg 5.1 or later") as error:
        probe(plain)
    assert not isinstance(error.value, InputFileError)


def test_without_ffmpeg_there_is_a_way_out(plain, monkeypatch):
    def none():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    decoder.executable.cache_clear()
    with pytest.raises(Exception, match="IMAGEIO_FFMPEG_EXE"):
        probe(plain)


def test_no_decoder_is_left_running(tmp_path):
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=320x240:r=30:d=4", *H264, str(path))
    with open_reader(path) as reader:
        next(iter(reader))
        children = [int(p) for p in os.listdir("/proc") if p.isdigit() and is_child(p)]
    assert children and not any(os.path.exists(f"/proc/{child}") for child in children)


def is_child(process):
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
        return (
            int(fields[1]) == os.getpid()
            and b"ffmpeg" in open(f"/proc/{process}/cmdline", "rb").read()
        )
    except OSError:
        return False


def test_a_forged_header_of_an_avi_does_not_count(tmp_path):
    path = halves(tmp_path / "a.avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
    data = bytearray(path.read_bytes())
    place = data.index(b"avih") + 24
    data[place : place + 4] = struct.pack("<I", 2**31)
    path.write_bytes(bytes(data))
    info = probe(path)
    assert info.frames == 6 and any("promises 2147483648 frames, 6" in n for n in info.notes)
