"""The reader of the film world: right on the truth, also through blur and compression, and able to
say no.
"""

import cv2
import numpy as np
import pytest

from mindlong.data.film import FilmWorld
from mindlong.data.film_reader import read_film
from mindlong.data.shapes import COLOURS, MOTIONS
from mindlong.utils.errors import ConfigError

WORLD = FilmWorld(seed=41)
CLIP = WORLD.clip_of(
    "a red circle moving right in front of a blue square moving up, the camera pans left", 3
)
ALL = ("shape", "colour", "motion", "order", "camera", "steady")


def right(frames, caption, **names):
    """The names of what is right."""
    reading = read_film(frames, **names)
    return {n for n, held in {**reading.agrees(caption), "steady": reading.steady}.items() if held}


def jpeg(frame):
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1], 1)


def blurred(frame):
    return cv2.GaussianBlur(frame, (0, 0), 0.8)


def without(clip, frame, which):
    """A frame from which one object is taken out."""
    mask = clip.truth.objects[which].mask_FHW[frame].astype(np.uint8)
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    return cv2.inpaint(clip.frames_FHWC[frame], near, 3, cv2.INPAINT_TELEA)


def recoloured(clip, frames):
    """The two objects' colours changed for one another in `frames`."""
    made, (a, b) = clip.frames_FHWC.copy(), clip.truth.objects
    for thing, other in ((a, b), (b, a)):
        old, new = (np.array(COLOURS[o.colour], float) for o in (thing, other))
        for f in frames:
            seen = made[f][thing.mask_FHW[f]].astype(float)
            made[f][thing.mask_FHW[f]] = np.clip(
                new * seen.mean(1, keepdims=True) / old.mean(), 0, 255
            )
    return made


def test_reads_a_film():
    reading = read_film(CLIP.frames_FHWC)
    assert all(reading.agrees(CLIP.caption).values()) and reading.text == CLIP.caption
    assert reading.complaints == () and reading.confidence > 0.9 and reading.ground_change < 5
    for truth in CLIP.truth.objects:
        seen = reading.of(truth.colour)
        far = np.linalg.norm(seen.image_F2 - truth.where.image_F2, axis=1)
        assert np.nanmax(far) < 1.5 and seen.overlap > 0.85
        assert np.abs(seen.visible_F - truth.visible_F).max() < 0.25
    moved = reading.camera.centre_F2 - reading.camera.centre_F2[0]
    assert np.abs(moved - CLIP.truth.camera.centre_F2).max() < 1.5


def test_what_vanishes_behind_another_and_comes_back_is_steady():
    caption = "a green square moving right in front of a magenta circle"
    found = (WORLD.clip_of(caption, i) for i in range(40))
    gone = next(c for c in found if c.truth.objects[1].visible_F.min() < 0.2)
    assert right(gone.frames_FHWC, caption) == set(ALL)
    reading = read_film(gone.frames_FHWC).of("magenta")
    assert np.isnan(reading.image_F2).any() and reading.problems == ()
    f = int(np.argmax(gone.truth.objects[1].visible_F))
    hole = gone.frames_FHWC.copy()
    hole[f] = without(gone, f, 1)
    assert "nothing hides it" in read_film(hole).of("magenta").problems[0]


@pytest.mark.parametrize("spoil", [jpeg, blurred])
def test_reads_through_blur_and_compression(spoil):
    frames = np.stack([spoil(f) for f in CLIP.frames_FHWC])
    assert right(frames, CLIP.caption) == set(ALL)


def test_another_order_of_frames_is_not_steady():
    order = np.random.default_rng(0).permutation(len(CLIP.frames_FHWC))
    reading = read_film(CLIP.frames_FHWC[order])
    assert not reading.steady and any("jumps" in line for line in reading.complaints)
    back = right(CLIP.frames_FHWC[::-1], CLIP.caption)
    assert "motion" not in back and "camera" not in back


def test_changed_colours_are_seen():
    half = read_film(recoloured(CLIP, range(8, 16)))
    assert not half.steady
    assert "shape" not in right(recoloured(CLIP, range(16)), CLIP.caption)


def test_a_frozen_ground_is_a_camera_that_stands_still():
    frames = np.repeat(without(CLIP, 0, 0)[None], 16, 0)
    both = np.any([o.mask_FHW for o in CLIP.truth.objects], axis=0)
    frames[both] = CLIP.frames_FHWC[both]
    assert "camera" not in right(frames, CLIP.caption)


def test_a_ground_that_jumps_or_another_film_is_not_steady():
    jumping = CLIP.frames_FHWC.copy()
    free = ~np.any([o.mask_FHW for o in CLIP.truth.objects], axis=0)
    for f in range(1, 16, 2):
        jumping[f][free[f]] = np.roll(jumping[f], 13, axis=0)[free[f]]
    other = WORLD.clip(5).frames_FHWC
    cut = np.concatenate([CLIP.frames_FHWC[:8], other[8:]])
    share = np.linspace(0, 1, 16)[:, None, None, None]
    dissolve = (CLIP.frames_FHWC * (1 - share) + other * share).astype(np.uint8)
    for frames in (jumping[:6], cut[4:12], dissolve[::2]):
        assert not read_film(frames).steady


def test_noise_and_empty_grounds_show_nothing():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    empty = np.repeat(rng.integers(40, 90, (1, 64, 64, 1), dtype=np.uint8), 8, 0).repeat(3, 3)
    for frames in (noise, empty):
        reading = read_film(frames)
        assert not reading.sure and not reading.steady and reading.motion_confidence == 0
    assert read_film(empty).text == "nothing" and read_film(empty).position_F2.shape == (8, 2)
    one = read_film(CLIP.frames_FHWC[:1])
    assert one.sure and one.camera.pan is None and one.ground_change == 0


def test_what_is_no_clip_and_no_caption_is_refused():
    with pytest.raises(ConfigError, match="frames of"):
        read_film(np.zeros((2, 64, 64), np.uint8))
    with pytest.raises(ConfigError, match="names no objects"):
        read_film(CLIP.frames_FHWC).agrees("a dog")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 43])
def test_reads_two_hundred_films(seed):
    world = FilmWorld(seed=seed, motions=("left", "right", "up", "down"))
    count = dict.fromkeys((*ALL, "all"), 0)
    for index in range(200):
        clip = world.clip(index)
        found = right(clip.frames_FHWC, clip.caption)
        for name in found:
            count[name] += 1
        count["all"] += found == set(ALL)
    assert min(count.values()) >= 196, count


@pytest.mark.slow
def test_reads_diagonals_and_larger_films():
    world = FilmWorld((96, 128), seed=44, motions=tuple(MOTIONS))
    clips = [world.clip(i) for i in range(40)]
    found = [right(c.frames_FHWC, c.caption, motions=tuple(MOTIONS)) == set(ALL) for c in clips]
    assert sum(found) >= 38


@pytest.mark.slow
def test_says_no_to_spoiled_films():
    """Shuffled, cut, with changed colours: of 24 each, none is accepted."""
    for index in range(24):
        clip = WORLD.clip(index)
        order = np.random.default_rng(index).permutation(16)
        other = WORLD.clip(100 + index).frames_FHWC
        spoiled = [clip.frames_FHWC[order], np.concatenate([clip.frames_FHWC[:8], other[8:]])]
        if len(clip.truth.objects) == 2:
            spoiled += [recoloured(clip, range(8, 16)), recoloured(clip, range(16))]
        for frames in spoiled:
            assert right(frames, clip.caption) != set(ALL), (index, clip.caption)
