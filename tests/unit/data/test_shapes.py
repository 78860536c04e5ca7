"""The shapes world: deterministic, exact truth, captions that say what is there."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from mindlong.data.shapes import COLOURS, MOTIONS, ShapesWorld, caption_of, parse_caption
from mindlong.data.shapes_draw import REACH, SHAPES, coverage, paint
from mindlong.utils.errors import ConfigError

ALL = {"shapes": SHAPES, "colours": tuple(COLOURS), "motions": tuple(MOTIONS)}


def test_a_clip_is_a_function_of_seed_and_index():
    world = ShapesWorld(**ALL, background="texture", bounce=True, grow=True, seed=4)
    assert (world.clip(7).frames_FHWC == world.clip(7).frames_FHWC).all()
    assert not (world.clip(7).frames_FHWC == world.clip(8).frames_FHWC).all()
    assert not (world.clip(7).frames_FHWC == ShapesWorld(**ALL, seed=5).clip(7).frames_FHWC).all()


def test_another_process_draws_the_same_bytes():
    code = (
        "import hashlib; from mindlong.data.shapes import ShapesWorld;"
        "print(hashlib.sha256(ShapesWorld(seed=3).clip(11).frames_FHWC.tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert other == hashlib.sha256(ShapesWorld(seed=3).clip(11).frames_FHWC.tobytes()).hexdigest()


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (65, 33)])
@pytest.mark.parametrize("frames", [1, 2, 9, 70])
def test_any_size_and_length(size, frames):
    clip = ShapesWorld(size, frames, **ALL, bounce=True, grow=True).clip(0)
    assert clip.frames_FHWC.shape == (frames, *size, 3) and clip.frames_FHWC.dtype == np.uint8
    assert (
        len(clip.truth.position_F2)
        == len(clip.truth.radius_F)
        == len(clip.truth.velocity_F2)
        == frames
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_of_equal_radius_have_equal_area_and_their_centre_in_the_middle(shape):
    covered = coverage(shape, np.array([[40.3, 38.7]]), np.array([20.0]), (80, 80))[0]
    assert covered.sum() == pytest.approx(np.pi * 400, rel=0.005)
    y, x = np.mgrid[:80, :80]
    assert (covered * x).sum() / covered.sum() == pytest.approx(40.3, abs=0.05)
    assert (covered * y).sum() / covered.sum() == pytest.approx(38.7, abs=0.05)
    left, right, up, down = REACH[shape]
    columns, rows = np.flatnonzero(covered.max(0) > 0.4), np.flatnonzero(covered.max(1) > 0.4)
    seen = [40.3 - columns[0], columns[-1] - 40.3, 38.7 - rows[0], rows[-1] - 38.7]
    assert np.allclose(seen, np.array([left, right, up, down]) * 20, atol=1.5)


@pytest.mark.parametrize("background", ["plain", "texture"])
def test_the_truth_redraws_the_frames(background):
    world = ShapesWorld((32, 48), 20, **ALL, background=background, bounce=True, grow=True)
    for index in range(10):
        clip = world.clip(index)
        truth = clip.truth
        covered = coverage(truth.shape, truth.position_F2, truth.radius_F, world.size)
        again = paint(truth.background_HWC, covered, np.array(COLOURS[truth.colour]))
        assert (
            np.abs(again - clip.frames_FHWC).max() <= 1.01
        )  # the background of the truth is rounded


def test_shapes_stay_whole_and_keep_their_speed():
    for bounce in (False, True):
        world = ShapesWorld((24, 30), 40, **ALL, bounce=bounce, grow=True)
        for index in range(60):
            truth = world.clip(index).truth
            left, right, up, down = REACH[truth.shape]
            x, y, r = *truth.position_F2.T, truth.radius_F
            assert (x - left * r).min() >= -0.51 and (x + right * r).max() <= 29.51
            assert (y - up * r).min() >= -0.51 and (y + down * r).max() <= 23.51
            speed = np.linalg.norm(truth.velocity_F2, axis=1)
            assert np.allclose(speed, speed[0]) and speed[0] > 0


def test_a_caption_states_shape_colour_and_first_direction():
    world = ShapesWorld(frames=6, **ALL, bounce=True)
    for index in range(40):
        clip = world.clip(index)
        truth = clip.truth
        assert parse_caption(clip.caption) == (truth.shape, truth.colour, truth.motion)
        moved = truth.position_F2[1] - truth.position_F2[0]
        assert np.allclose(moved / np.linalg.norm(moved), MOTIONS[truth.motion], atol=1e-6)


def test_captions_are_english_and_all_occur():
    assert caption_of("star", "orange", "up left") == "an orange star moving up left"
    world = ShapesWorld()
    assert len(set(world.captions())) == 48 and {world.clip(i).caption for i in range(600)} == set(
        world.captions()
    )
    assert (
        parse_caption("A RED circle, moving left!") == ("circle", "red", "left")
        and parse_caption("a dog") == (None,) * 3
    )


def test_a_clip_can_be_asked_for_by_its_caption():
    world = ShapesWorld()
    clips = [world.clip_of("a cyan star moving down left", i) for i in range(2)]
    assert all(c.truth.colour == "cyan" and c.truth.motion == "down left" for c in clips)
    assert not (clips[0].frames_FHWC == clips[1].frames_FHWC).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colours": ("rad",)}, ["data.colours", "'rad'", "'red'"]),
        ({"shapes": ()}, ["data.shapes is empty"]),
        ({"motions": ("sideways",)}, ["data.motions", "sideways"]),
        ({"background": "txture"}, ["'texture'"]),
        ({"size": (12, 32)}, ["data.size", "[12, 32]", "16"]),
        ({"frames": 0}, ["data.frames is 0"]),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError) as error:
        ShapesWorld(**options)
    assert all(word in str(error.value) for word in words)


def test_a_caption_that_says_too_little_is_refused():
    with pytest.raises(ConfigError, match="must name a shape"):
        ShapesWorld().clip_of("a red circle", 0)
