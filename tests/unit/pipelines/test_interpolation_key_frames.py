"""Key frames from videos and images, and the sound that goes with a video."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media.audio import keep_sound, sound_of
from mindlong.media.read import probe
from mindlong.media.write import write_frames, write_video
from mindlong.pipelines.hierarchical.plan import plan as plan_long
from mindlong.pipelines.interpolate.key_frames import from_images, from_video
from mindlong.pipelines.interpolate.plan import plan
from mindlong.utils.errors import ConfigError, InputFileError


def frames(count=6, size=(32, 48)):
    return np.stack([np.full((*size, 3), 20 * i, np.uint8) for i in range(count)])


def ffmpeg(*arguments):
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)],
        check=True,
    )


@pytest.fixture
def sounding(tmp_path):
    """12 frames at 8 a second with a tone."""
    silent, path = write_video(tmp_path / "silent.mp4", frames(12), 8), tmp_path / "sounding.mp4"
    ffmpeg(
        "-i",
        silent,
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=1.5",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        "-shortest",
        path,
    )
    return path


def test_a_video_is_counted_and_read_in_pieces(tmp_path):
    keys = from_video(write_frames(tmp_path / "in", frames(), 8))
    assert (keys.count, keys.size, keys.fps) == (6, (32, 48), 8)
    assert np.array_equal(keys.take(0, 2), frames()[:2]) and np.array_equal(
        keys.take(3, 6), frames()[3:]
    )
    assert np.array_equal(keys.take(1, 4), frames()[1:4])  # going back begins anew
    assert np.array_equal(np.stack(list(keys.all())), frames())
    assert from_video(tmp_path / "in", max_frames=4).count == 4


def test_pieces_are_read_without_reading_the_rest(tmp_path):
    path = write_frames(tmp_path / "in", frames(), 8)
    keys, opened = from_video(path), []
    inner = keys.open
    keys.open = lambda: opened.append(1) or inner()
    for start in range(0, 6, 2):
        keys.take(start, start + 2)
    assert len(opened) == 1


def test_pictures_are_key_frames_in_their_order(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "cab"]
    for path, frame in zip(paths, frames(3), strict=True):
        Image.fromarray(frame).save(path)
    keys = from_images(paths)
    assert (keys.count, keys.fps) == (3, 0) and np.array_equal(keys.take(0, 3), frames(3))


def test_bad_key_frames_are_refused_in_a_sentence(tmp_path):
    one = write_frames(tmp_path / "one", frames(1), 8)
    with pytest.raises(InputFileError, match="has 1 frame; interpolation needs at least 2"):
        from_video(one)
    for size, name in (((32, 48), "a.png"), ((32, 50), "b.png")):
        Image.fromarray(frames(1, size)[0]).save(tmp_path / name)
    with pytest.raises(InputFileError, match="key frame 1 is 32x50, the one before 32x48"):
        from_images([tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(ConfigError, match="at least 2"):
        from_images([tmp_path / "a.png"])
    with pytest.raises(InputFileError, match="does not exist"):
        from_images([tmp_path / "a.png", tmp_path / "none.png"])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputFileError, match="cannot be decoded as an image"):
        from_images([tmp_path / "a.png", tmp_path / "text.png"])


def test_a_variable_frame_rate_is_refused_or_taken_as_even(tmp_path):
    pictures = [Image.fromarray(f) for f in frames(6)]
    path = tmp_path / "uneven.gif"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[40, 40, 300, 40, 40, 40]
    )
    with pytest.raises(InputFileError, match="variable frame rate.*interpolate.uneven=even"):
        from_video(path)
    assert from_video(path, uneven="even").count == 6


def test_sound_is_found_and_kept_bit_for_bit_where_lengths_allow(tmp_path, sounding):
    assert (
        sound_of(sounding) == "aac"
        and sound_of(tmp_path / "silent.mp4") is None
        and sound_of(tmp_path) is None
    )
    video = write_video(tmp_path / "made.mp4", np.repeat(frames(12), 4, 0)[:45], 32)
    before = probe(video)
    told = keep_sound(video, sounding, 45 / 32, 12 / 8, 1 / 8)
    assert (
        told.kept and sound_of(video) == "aac" and "has the sound of sounding.mp4" in told.sentence
    )
    after = probe(video)
    assert (after.frames, after.size) == (
        before.frames,
        before.size,
    ) and after.fps == pytest.approx(32, rel=0.01)


def test_sound_that_does_not_fit_is_left_out_and_said(tmp_path, sounding):
    half = write_video(tmp_path / "half.mp4", frames(6), 8)
    told = keep_sound(half, sounding, 6 / 8, 12 / 8, 1 / 8)
    assert (
        not told.kept
        and "lasts 0.75 s and sounding.mp4 1.50 s" in told.sentence
        and sound_of(half) is None
    )
    gif = write_video(tmp_path / "made.gif", frames(12), 8)
    assert "holds none" in keep_sound(gif, sounding, 1.5, 1.5, 0.1).sentence
    assert keep_sound(half, tmp_path / "silent.mp4", 1.5, 1.5, 0.1) is None


def test_sound_is_encoded_anew_where_the_container_needs_it(tmp_path, sounding):
    video = write_video(tmp_path / "made.webm", frames(12), 8)
    assert keep_sound(video, sounding, 1.5, 1.5, 0.1).kept and sound_of(video) == "opus"


@pytest.mark.parametrize(("size", "lost"), [("[16,64]", True), ("[24,32]", False), ("[]", False)])
@pytest.mark.parametrize("method", ["flow", "blend"])
def test_much_that_is_cut_off_is_said_where_no_network_is(tmp_path, method, size, lost):
    video = write_video(tmp_path / "a.mp4", frames(4, (48, 64)), 8)
    keys = [f"interpolate.method={method}", f"interpolate.video={video}", "interpolate.factor=2"]
    told = plan(load(None, ["pipeline=interpolate", *keys, f"size={size}"], InferConfig)).notes
    assert any("48x64 pixels become 16x64, and 67% of the image" in note for note in told) == lost


def test_much_of_a_video_that_is_cut_off_on_the_way_to_a_long_one_is_said(tmp_path):
    video = write_video(tmp_path / "a.mp4", frames(4, (48, 128)), 8)
    keys = ["weights=shipped:storyboard_shapes", "lengths=[4,4]", "prompt=a red circle"]
    keys += [f"hierarchical.key_video={video}", "hierarchical.key_every=1"]
    told = plan_long(load(None, ["pipeline=hierarchical", *keys], InferConfig)).notes
    assert any("48x128 pixels become 64x64, and 62% of the image" in note for note in told)
