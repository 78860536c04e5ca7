"""The film world: deterministic, exact truth, captions that say what is there."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from mindlong.data.film import FILM_SHAPES, FilmWorld
from mindlong.data.film_captions import FilmCaption, Named, only_film, parse_film
from mindlong.data.film_ground import GROUNDS, make_ground, see_ground
from mindlong.data.film_paths import CameraPath
from mindlong.data.shapes import COLOURS, MOTIONS, ShapesWorld
from mindlong.utils.errors import ConfigError
from mindlong.utils.rng import generator

WORLD = FilmWorld(seed=3, motions=tuple(MOTIONS))


@pytest.fixture(scope="module")
def clips():
    return [WORLD.clip(i) for i in range(50)]


def digest(clip):
    return hashlib.sha256(clip.frames_FHWC.tobytes()).hexdigest()


def test_a_clip_is_a_function_of_seed_and_index_in_any_process(clips):
    assert digest(WORLD.clip(7)) == digest(clips[7]) != digest(clips[8])
    assert digest(FilmWorld(seed=4, motions=tuple(MOTIONS)).clip(7)) != digest(clips[7])
    code = (
        "import hashlib; from mindlong.data.film import FilmWorld; from mindlong.data.shapes import "
        "MOTIONS; c = FilmWorld(seed=3, motions=tuple(MOTIONS)).clip(7);"
        "print(hashlib.sha256(c.frames_FHWC.tobytes()).hexdigest(), c.caption)"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert other == f"{digest(clips[7])} {clips[7].caption}"


@pytest.mark.parametrize(("size", "frames"), [((32, 32), 1), ((40, 72), 2), ((96, 64), 33)])
def test_any_size_and_length(size, frames):
    clip = FilmWorld(size, frames).clip(1)
    assert clip.frames_FHWC.shape == (frames, *size, 3) and clip.frames_FHWC.dtype == np.uint8
    for thing in clip.truth.objects:
        assert thing.mask_FHW.shape == (frames, *size) and thing.mask_FHW[0].any()
        assert len(thing.where.image_F2) == len(thing.visible_F) == frames


def test_a_caption_says_what_the_truth_says(clips):
    for clip in clips:
        said = parse_film(clip.caption)
        assert said == clip.truth.said and said.text == clip.caption
        for named, thing in zip(said.objects, clip.truth.objects, strict=True):
            assert (named.shape, named.colour, named.motion) == (
                thing.shape,
                thing.colour,
                thing.motion,
            )
            way = thing.where.scene_F2[-1] - thing.where.scene_F2[0]
            wanted = MOTIONS[named.motion] if named.motion else (0, 0)
            assert np.allclose(way / max(np.linalg.norm(way), 1e-9), wanted, atol=1e-6)
        seen = clip.truth.camera
        way = seen.centre_F2[-1] - seen.centre_F2[0]
        pan = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), None: (0, 0)}
        assert np.allclose(np.sign(np.round(way, 6)), pan[said.pan])
        assert np.sign(seen.zoom_F[-1] - seen.zoom_F[0]) == {"in": 1, "out": -1, None: 0}[said.zoom]
        assert said.occludes == (
            len(said.objects) == 2 and bool(clip.truth.objects[1].visible_F.min() < 0.8)
        )


def test_every_kind_of_clip_occurs(clips):
    said = [clip.truth.said for clip in clips]
    assert {len(s.objects) for s in said} == {1, 2}
    assert sum(s.occludes for s in said) >= 6
    assert {s.pan is not None for s in said} == {s.zoom is not None for s in said} == {True, False}
    assert any(s.pan and s.zoom for s in said) and any(not s.pan and not s.zoom for s in said)
    assert any(o.motion is None for s in said for o in s.objects)
    assert {clip.truth.ground for clip in clips} == set(GROUNDS)
    assert {clip.truth.shadows for clip in clips} == {True, False}
    assert any(clip.truth.objects[-1].visible_F.min() < 0.1 for clip in clips)


def test_objects_stay_inside_and_follow_scene_and_camera(clips):
    for clip in clips:
        height, width = WORLD.size
        for thing in clip.truth.objects:
            where, camera = thing.where, clip.truth.camera
            assert np.allclose(camera.to_image(where.scene_F2, WORLD.size), where.image_F2)
            assert np.allclose(camera.to_scene(where.image_F2, WORLD.size), where.scene_F2)
            x, y, r = *where.image_F2.T, where.radius_F
            assert (np.minimum(x, y) - r).min() >= -0.5
            assert (x + r).max() <= width - 0.5 and (y + r).max() <= height - 0.5


def test_masks_hold_the_colour_and_hide_one_another(clips):
    for clip in clips[:30]:
        masks = [thing.mask_FHW for thing in clip.truth.objects]
        assert len(masks) == 1 or not (masks[0] & masks[1]).any()
        for thing, mask in zip(clip.truth.objects, masks, strict=True):
            area = np.pi * thing.where.radius_F**2 * thing.visible_F
            assert np.abs(mask.sum((1, 2)) - area).max() < 0.12 * area.max() + 3
            seen = clip.frames_FHWC[mask].astype(float).mean(0)
            named = np.array(COLOURS[thing.colour], float)
            a, b = seen - seen.mean(), named - named.mean()
            assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98


def test_at_a_tempo_objects_their_turning_and_the_camera_are_slowed_down_alike(clips):
    slow = FilmWorld(seed=3, motions=tuple(MOTIONS), tempo=(0.1, 0.1))
    most = np.zeros((2, 4))
    slower = [slow.clip(i) for i in range(len(clips))]
    for row, found in enumerate((clips, slower)):
        for clip in found:
            truth = clip.truth
            ways = [
                np.linalg.norm(t.where.scene_F2[-1] - t.where.scene_F2[0]) for t in truth.objects
            ]
            turns = [abs(t.where.angle_F[-1] - t.where.angle_F[0]) for t in truth.objects]
            seen = truth.camera
            pan = np.linalg.norm(seen.centre_F2[-1] - seen.centre_F2[0])
            zoom = np.ptp(np.log(seen.zoom_F))
            most[row] = np.maximum(most[row], [max(ways), max(turns), pan, zoom])
    assert (most[1] > 0).all() and np.allclose(most[1][1:] / most[0][1:], 0.1, atol=0.03)
    assert most[1, 0] < 0.2 * most[0, 0]  # what is slow need not be slowed down to stay inside


def test_tempos_are_drawn_between_the_slowest_and_the_fastest():
    world = FilmWorld(objects=1, cameras=("pan",), tempo=(1 / 15, 1))
    pans = [np.linalg.norm(world.clip(i).truth.camera.centre_F2[1]) for i in range(60)]
    assert 0.0013 <= min(pans) / 64 < 0.004 and 0.015 < max(pans) / 64 <= 0.045
    for tempo in ((0, 1), (1, 0.5), (0.5, 50)):
        with pytest.raises(ConfigError, match="data.tempo"):
            FilmWorld(tempo=tempo)


def test_the_flow_of_the_ground_carries_one_frame_to_the_next():
    """A ground alone, seen before and after: what the truth calls its flow finds every pixel."""
    import cv2

    clip = next(c for c in map(WORLD.clip, range(40)) if c.truth.said.pan and c.truth.said.zoom)
    ground = make_ground(generator(0, "test"), "clouds", 64)
    before, after = see_ground(ground, clip.truth.camera, WORLD.size)[[4, 5]]
    y, x = np.mgrid[:64, :64].astype(np.float32)
    flow = clip.truth.ground_flow(5).astype(np.float32)
    assert np.abs(flow).max() > 0.5
    again = cv2.remap(before, x - flow[..., 0], y - flow[..., 1], cv2.INTER_CUBIC)
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(again[inner] - after[inner]).mean() < 0.6 < np.abs(before - after).mean()


def test_a_ground_has_no_seam():
    camera = CameraPath(np.array([[0.0, 0.0], [160.0, -160.0]]), np.ones(2))
    for kind in GROUNDS:
        ground = make_ground(generator(1, kind), kind, 64)
        assert len(ground) == 160
        first, again = see_ground(ground, camera, (64, 64))
        assert np.abs(first - again).max() < 1e-3
        step = np.abs(np.diff(ground, axis=0))
        assert np.abs(ground[0] - ground[-1]).max() <= step.max() + 1


def test_a_clip_can_be_asked_for_by_its_caption():
    caption = "a cyan star moving down left in front of a green square, the camera pans up"
    two = [FilmWorld().clip_of(caption, i) for i in range(2)]
    for clip in two:
        assert clip.caption == caption and clip.truth.objects[1].visible_F.min() < 0.8
    assert digest(two[0]) != digest(two[1])
    with pytest.raises(ConfigError, match="shape .* and colour"):
        FilmWorld().clip_of("a red diamond moving up", 0)
    with pytest.raises(ConfigError, match="no paths"):
        FilmWorld((32, 32), 2, radius=(0.3, 0.31)).clip_of("a red star and a blue star", 0)


def test_captions_of_the_shapes_world_are_captions_of_films():
    for text in ShapesWorld().captions():
        assert parse_film(text).text == text and not only_film(text)
    said = parse_film("A RED circle moving up in front of an orange star; the camera zooms in")
    objects = Named("circle", "red", "up"), Named("star", "orange", None)
    assert said == FilmCaption(objects, True, None, "in") and only_film(said.text)
    assert parse_film("a dog and a red circle") is None and not only_film("a dog")
    three = "a red circle and a blue circle and a green star"
    assert parse_film(three) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colours": ("rad", "blue")}, ["data.colours", "'rad'", "film world", "'red'"]),
        ({"shapes": ("diamond",)}, ["data.shapes", "diamond", "film world"]),
        ({"cameras": ("pans",)}, ["data.cameras", "'pan'"]),
        ({"textures": ()}, ["data.textures is empty"]),
        ({"size": (16, 32)}, ["data.size", "[16, 32]", "32"]),
        ({"frames": 0}, ["data.frames is 0"]),
        ({"colours": ("red",)}, ["data.colours", "data.objects=1"]),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError) as error:
        FilmWorld(**options)
    assert all(word in str(error.value) for word in words)


def test_options_narrow_what_is_drawn():
    world = FilmWorld(shapes=("star",), objects=1, cameras=("still",), textures=("dots",))
    for index in range(3):
        truth = world.clip(index).truth
        assert [(o.shape, o.texture) for o in truth.objects] == [("star", "dots")]
        assert truth.said.pan is None and truth.said.zoom is None
    assert "1 object," in world.describe() and "camera still" in world.describe()
    assert set(FILM_SHAPES) == {o.shape for i in range(20) for o in WORLD.clip(i).truth.objects}
