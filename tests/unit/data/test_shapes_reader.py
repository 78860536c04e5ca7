"""The reader of the shapes world: right on the truth, also through noise and blur, and able to say
no.
"""

import cv2
import numpy as np
import pytest

from mindlong.data.shapes import COLOURS, MOTIONS, ShapesWorld
from mindlong.data.shapes_draw import SHAPES, coverage, paint
from mindlong.data.shapes_reader import read
from mindlong.utils.errors import ConfigError

COUNT = 50


def noisy(frames, rng, sigma=0.08):
    return np.clip(frames + rng.normal(0, 255 * sigma, frames.shape), 0, 255).astype(np.uint8)


def blurred(frames, rng, sigma=1.0):
    return noisy(np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames]), rng, 0.03)


def jpeg(frames, rng):
    return np.stack(
        [
            cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 1)
            for f in frames
        ]
    )


def clean(frames, rng):
    return frames


def rates(world, spoil, count=COUNT):
    """Share of clips with the right shape, colour, direction (all of them sure) and a steady
    object; worst position.
    """
    names = world.shapes, world.colours, world.motions
    right, worst = np.zeros(4), 0.0
    for index in range(count):
        clip = world.clip(index)
        reading = read(spoil(clip.frames_FHWC, np.random.default_rng(index)), *names)
        right += [*reading.agrees(clip.caption).values(), reading.steady]
        worst = max(worst, float(np.abs(reading.position_F2 - clip.truth.position_F2).max()))
    return right / count, worst


@pytest.mark.parametrize("side", [24, 32])
def test_reads_the_world_of_the_shipped_model(side):
    world = ShapesWorld((side, side), seed=21)
    share, worst = rates(world, clean)
    assert share.min() >= 0.99 and worst < 0.1


def test_reads_every_shape_colour_and_direction_on_textures():
    world = ShapesWorld(
        (24, 24),
        8,
        SHAPES,
        tuple(COLOURS),
        tuple(MOTIONS),
        "texture",
        bounce=True,
        grow=True,
        seed=22,
    )
    share, worst = rates(world, clean)
    assert share.min() >= 0.99 and worst < 0.3


@pytest.mark.parametrize(
    "spoil",
    [
        noisy,
        pytest.param(blurred, marks=pytest.mark.slow),
        pytest.param(jpeg, marks=pytest.mark.slow),
    ],
)
def test_reads_through_noise_blur_and_compression(spoil):
    share, worst = rates(ShapesWorld((24, 24), 8, SHAPES, tuple(COLOURS), seed=23), spoil)
    assert share.min() >= 0.97 and worst < 1.5


@pytest.mark.slow
def test_reads_larger_pictures_and_long_bouncing_clips():
    share, worst = rates(ShapesWorld((64, 64), 8, SHAPES, seed=24), noisy, 12)
    assert share.min() == 1.0 and worst < 0.5
    clip = ShapesWorld((192, 256), 4, seed=24).clip(1)
    assert np.abs(read(clip.frames_FHWC).position_F2 - clip.truth.position_F2).max() < 0.5
    share, _ = rates(ShapesWorld((32, 32), 48, bounce=True, grow=True, seed=25), clean, 6)
    assert share.min() == 1.0


def film(shape, colour, position_F2, radius_F, ground_HWC):
    covered = coverage(shape, position_F2, radius_F, ground_HWC.shape[:2])
    return np.rint(paint(ground_HWC, covered, np.array(COLOURS[colour]))).astype(np.uint8)


@pytest.fixture(params=range(6))
def clip(request):
    return ShapesWorld((24 + 8 * (request.param % 2),) * 2, seed=31).clip(request.param)


def answer(frames):
    reading = read(frames)
    return reading.sure, reading.steady


def test_sees_nothing_in_empty_frames(clip):
    empty = np.repeat(clip.truth.background_HWC[None], 8, 0)
    for frames in (
        empty,
        noisy(empty, np.random.default_rng(0)),
        np.zeros_like(empty),
        empty // 2 + 100,
    ):
        reading = read(frames)
        assert not reading.sure and not reading.steady and reading.confidence == 0
        assert np.isnan(reading.position_F2).all() or reading.problems


@pytest.mark.parametrize("seed", range(3))
def test_sees_nothing_certain_in_noise(seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    clouds = np.stack([cv2.GaussianBlur(f.astype(np.float32), (0, 0), 2.5) for f in noise])
    clouds = np.clip((clouds - 127) * 8 + 127, 0, 255).astype(np.uint8)
    for frames in (
        noise,
        clouds,
        np.clip(rng.normal(127, 60, noise.shape), 0, 255).astype(np.uint8),
    ):
        assert answer(frames) == (False, False)


def test_two_objects_are_not_one(clip):
    truth, side = clip.truth, clip.frames_FHWC.shape[1]
    far = (truth.position_F2 + side / 2) % side
    for colour in (truth.colour, "magenta"):
        covered = coverage(truth.shape, far, truth.radius_F, (side, side))[..., None]
        both = (clip.frames_FHWC * (1 - covered) + covered * np.array(COLOURS[colour])).astype(
            np.uint8
        )
        assert answer(both) == (False, False)


def test_a_changing_outline_is_not_steady(clip):
    truth = clip.truth
    other = next(s for s in ("circle", "square", "triangle") if s != truth.shape)
    swapped = clip.frames_FHWC.copy()
    swapped[4:] = film(
        other, truth.colour, truth.position_F2, truth.radius_F, truth.background_HWC
    )[4:]
    assert answer(swapped) == (False, False)
    share = np.linspace(0, 1, 8)[:, None, None, None]
    faded = film(other, truth.colour, truth.position_F2, truth.radius_F, truth.background_HWC)
    assert not read((clip.frames_FHWC * (1 - share) + faded * share).astype(np.uint8)).steady


def test_flicker_holes_and_jumps_are_not_steady(clip):
    truth, frames = clip.truth, clip.frames_FHWC
    hole, blink = frames.copy(), frames.copy()
    hole[3] = truth.background_HWC
    blink[::2] = truth.background_HWC
    flicker = np.clip(
        frames * np.where(np.arange(8) % 2, 1.4, 0.6)[:, None, None, None], 0, 255
    ).astype(np.uint8)
    side = frames.shape[1]
    away = np.where(np.arange(8)[:, None] < 4, truth.position_F2, side - 1 - truth.position_F2)
    moved = np.linalg.norm(away[4] - away[3])
    jump = film(truth.shape, truth.colour, away, truth.radius_F, truth.background_HWC)
    for bad in (hole, blink, flicker, *([jump] if moved > side / 3 else [])):
        assert not read(bad).steady
    assert "1 of 8 frames" in read(hole).problems[0]


def test_a_changing_colour_is_not_steady(clip):
    truth = clip.truth
    other = "cyan" if truth.colour != "cyan" else "red"
    changed = clip.frames_FHWC.copy()
    changed[5:] = film(truth.shape, other, truth.position_F2, truth.radius_F, truth.background_HWC)[
        5:
    ]
    assert not read(changed).steady


def test_half_a_shape_and_a_smear_are_none(clip):
    truth, frames = clip.truth, clip.frames_FHWC
    half = frames.copy()
    for f, (x, _) in enumerate(truth.position_F2):
        half[f, :, : round(x)] = truth.background_HWC[:, : round(x)]
    assert not read(half).sure
    smear = np.broadcast_to(
        np.linspace(0, 255, frames.shape[1]).astype(np.uint8)[:, None, None], frames.shape[1:]
    ).copy()
    smear[..., 1] = 60
    assert not read(np.repeat(smear[None], 8, 0)).sure


def test_a_still_object_has_no_direction(clip):
    reading = read(np.repeat(clip.frames_FHWC[:1], 8, 0))
    assert (
        reading.sure
        and reading.steady
        and reading.motion is None
        and reading.motion_confidence == 0
    )
    assert not reading.agrees(clip.caption)["motion"]


def test_the_wrong_caption_is_not_agreed_with(clip):
    reading = read(clip.frames_FHWC)
    assert all(reading.agrees(clip.caption).values())
    assert not any(reading.agrees("a cyan star moving up left").values())


@pytest.mark.parametrize(
    "frames",
    [np.zeros((8, 24, 24)), np.zeros((24, 24, 3), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)],
)
def test_what_is_no_clip_is_refused(frames):
    with pytest.raises(ConfigError, match="frames of"):
        read(frames)
