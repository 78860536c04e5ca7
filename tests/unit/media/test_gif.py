"""GIFs of many colours, within a limit, and animated WebP."""

import logging

import numpy as np
import pytest
from PIL import Image

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media import recipe
from mindlong.media.gif import WAYS, Way
from mindlong.media.palette import exact, of_clip
from mindlong.media.read import read_video
from mindlong.media.write import open_writer, write_video
from mindlong.pipelines.files import write_files

FRAMES, HEIGHT, WIDTH = 6, 48, 64


def smooth():
    """A gradient that stands still, and a square that moves over it; far more than 256 colours."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    still = np.stack([4 * x, 5 * y, 255 - 2 * x - y], -1).clip(0, 255).astype(np.uint8)
    video = np.repeat(still[None], FRAMES, 0)
    for number, frame in enumerate(video):
        frame[8:16, 4 + 8 * number : 12 + 8 * number] = (250, 30, 20)
    return video


def test_one_palette_serves_the_whole_clip_and_what_stands_still_does_not_flicker(tmp_path):
    video = smooth()
    back, _ = read_video(write_video(tmp_path / "a.gif", video, 8))
    assert back.shape == video.shape
    still = np.ones((HEIGHT, WIDTH), bool)
    still[8:16] = False
    assert (back[:, still] == back[:1, still]).all()
    assert len(np.unique(back.reshape(-1, 3), axis=0)) <= 256
    error = np.abs(back.astype(int) - video)
    assert error.mean() < 6 and (back[0, 8:16, 4:12] == back[0, 8, 4]).mean() > 0.3


def test_dithering_keeps_the_mean_of_a_gradient(tmp_path):
    ramp = np.linspace(90, 110, 256).astype(np.float32)
    frame = np.stack([np.tile(ramp, (64, 1))] * 3, -1)
    frame[..., 1] += np.linspace(0, 60, 64)[:, None]
    frame[..., 2] += np.linspace(0, 90, 64)[:, None]
    video = np.repeat(frame.round().astype(np.uint8)[None], 2, 0)
    palette = of_clip(lambda: iter(video), 16)
    made = palette.colours[palette.index(video[0])].astype(float)
    blocks = lambda a: a.reshape(8, 8, 32, 8, 3).mean((1, 3))  # noqa: E731
    flat = palette.colours[palette._nearest(video[0])].astype(float)
    wanted = blocks(video[0].astype(float))
    assert np.abs(blocks(made) - wanted).mean() < 0.65 * np.abs(blocks(flat) - wanted).mean()


def test_few_colours_are_exact_in_one_palette_or_in_one_a_frame(tmp_path):
    rng = np.random.default_rng(0)
    few = rng.integers(0, 4, (3, 9, 11, 3)).astype(np.uint8) * 60
    assert exact(few) is not None
    assert (read_video(write_video(tmp_path / "a.gif", few, 8))[0] == few).all()
    many = np.stack([rng.integers(0, 256, (15, 16, 3)) for _ in range(3)]).astype(np.uint8)
    assert of_clip(lambda: iter(many)) is None
    assert (read_video(write_video(tmp_path / "b.gif", many, 8))[0] == many).all()


def test_a_limit_takes_colours_then_size_then_frames_and_says_so(tmp_path, caplog):
    video = smooth()
    whole = write_video(tmp_path / "whole.gif", video, 8).stat().st_size
    sizes = {}
    for share in (1.0, 0.9, 0.4, 0.15):
        path = tmp_path / f"{share}.gif"
        caplog.clear()
        with (
            caplog.at_level(logging.WARNING, "mindlong"),
            open_writer(path, 8, gif_mb=share * whole / 1e6) as w,
        ):
            for frame in video:
                w.append(frame)
        sizes[share] = path.stat().st_size
        assert sizes[share] <= share * whole
        assert bool(caplog.text) == (share < 1)
    assert sizes[1.0] == whole and "colours" not in str(Way())
    back, rate = read_video(tmp_path / "0.15.gif")
    assert back.shape[1] < HEIGHT


def test_ways_go_from_colours_over_size_to_frames():
    said = [str(way) for way in WAYS[1:]]
    assert said[0] == "128 colours" and said[3] == "32 colours, 80% of its size"
    assert said[-1] == "32 colours, 30% of its size, every 8th frame"


def test_time_is_kept_where_frames_are_left_out(tmp_path):
    video = smooth()
    with open_writer(tmp_path / "a.gif", 8, gif_mb=1e-6) as writer:  # the smallest there is
        for frame in video:
            writer.append(frame)
    with Image.open(tmp_path / "a.gif") as image:
        times = []
        for number in range(image.n_frames):
            image.seek(number)
            times.append(image.info["duration"])
    assert sum(times) == pytest.approx(1000 * FRAMES / 8, abs=10)


@pytest.mark.parametrize("count", [1, FRAMES])
def test_webp_moves_and_keeps_its_text(tmp_path, count):
    video, text = smooth()[:count], 'a recipe: {"<b>": "é 漢 & \U0001f534"}'
    (path,) = write_files(tmp_path, "a", iter(video), ["webp"], 8, comment=text)
    assert recipe.read_comment(path) == text
    if count == 1:
        with Image.open(path) as image:
            assert image.size == (WIDTH, HEIGHT)
        return
    back, rate = read_video(path)
    assert back.shape == video.shape and rate == pytest.approx(8, abs=0.1)
    assert np.abs(back.astype(int) - video).mean() < 8


def test_keys_of_formats():
    values = load(None, ["formats=[webp,gif]", "gif_max_mb=2.5"], InferConfig).values
    assert values.formats == ["webp", "gif"] and values.gif_max_mb == 2.5
