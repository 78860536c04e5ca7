"""Frames between images by the network of first and last frame: mask and known latents as
published, the plan and its refusals, one run.
"""

import json
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from cogvideox_toys import SPEC, folder

from mindlong.cli.infer import command as infer
from mindlong.diffusion.known_frames import BLACK, hint, known_share, with_black
from mindlong.media.images import read_image
from mindlong.networks.cogvideox import places
from mindlong.networks.cogvideox.spec import CogVideoXSpec

INP = replace(SPEC, in_channels=9, places="resized")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("hub") / "fun", INP)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    from PIL import Image

    where = tmp_path_factory.mktemp("images")
    paths = [where / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        frame = np.random.default_rng(i).integers(0, 256, (16, 24, 3), np.uint8)
        Image.fromarray(frame).save(path)
    return paths


def keys(published, images, **more):
    listed = "[" + ",".join(map(str, images)) + "]"
    own = {
        "pipeline": "interpolate",
        "weights": published,
        "prompt": "a red circle",
        "interpolate.images": listed,
        "interpolate.factor": 8,
        "sample.steps": 2,
        "sample.guidance": 1,
    }
    return [f"{key}={value}" for key, value in (own | more).items()]


def test_the_mask_is_resized_as_published():
    ends = {0: None, 48: None}
    assert known_share(ends, 49, 13).tolist() == [1, *[0] * 12]
    last_four = {0: None, **dict.fromkeys(range(45, 49))}
    assert known_share(last_four, 49, 13).tolist() == [1, *[0] * 11, 1]
    assert known_share({46: None}, 49, 13).tolist() == [*[0] * 12, 0.5]
    assert known_share({0: None}, 1, 1).tolist() == [1]


def test_what_is_not_given_is_black_and_black_stays_so():
    image = np.full((3, 2, 2), 0.5, np.float32)
    image[0, 0, 0] = BLACK
    video = with_black({0: image}, 3, {0: np.full((3, 2, 2), 0.25, np.float32)})
    assert (video[1:] == BLACK).all() and video[0, 0, 0, 0] == BLACK and video[0, 1, 1, 1] == 0.75
    told = hint({0: image}, 3, np.zeros((4, 2, 1, 1), np.float32), 1.5)
    assert told.shape == (5, 2, 1, 1) and told[0].ravel().tolist() == [1.5, 0.0]


def test_its_places_are_the_trained_table_resized():
    trained = CogVideoXSpec(in_channels=33, places="resized")
    time, column, row = places.parts(trained, 5, 15, 22)
    whole = places.parts(CogVideoXSpec(), 13, 30, 45)
    assert np.array_equal(time, whole[0][:5])
    np.testing.assert_allclose(row, (whole[2][::2] + whole[2][1::2]) / 2, atol=1e-6)
    assert column.shape == (22, 720) and not np.array_equal(column, whole[1][:22])


def test_a_plan(published, images, capsys):
    assert infer([*keys(published, images), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "2 runs of 9 frames 16x24, from image to image" in said
    assert "cogvideox, reads both ends of a run (9 channels)" in said


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("interpolate.factor", 4, "interpolate.factor is 4, a run with both ends one frame more"),
        ("interpolate.mask", "between", "interpolate.mask is not read: the network reads both"),
        ("size", "[16,20]", "both must be multiples of 8, 2 latents of 4 pixels"),
    ],
)
def test_what_does_not_fit_is_said(published, images, key, value, sentence, capsys):
    assert infer([*keys(published, images, **{key: value}), "--dry_run"]) != 0
    assert sentence in capsys.readouterr().err


def test_two_stages_and_no_images_are_refused(published, images, capsys):
    arguments = keys(published, images)
    several = [a for a in arguments if "factor" not in a] + ["interpolate.factors=[2,4]"]
    assert infer([*several, "--dry_run"]) != 0
    assert "give one factor, for example interpolate.factor=48" in capsys.readouterr().err
    assert infer([*(a for a in arguments if "images" not in a), "--dry_run"]) != 0
    assert "give interpolate.images or interpolate.video" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_keeps_what_was_given(published, images, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "cache"))
    before = ms.get_context("mode")
    arguments = keys(published, images, formats="[frames]", output=tmp_path / "out")
    assert infer(arguments) == 0
    ms.set_context(mode=before)
    run = next((tmp_path / "out").iterdir())
    frames = sorted((run / "video").glob("*.png"))
    assert len(frames) == 17
    for place, path in zip((0, 8, 16), images, strict=True):
        assert np.array_equal(read_image(frames[place]), read_image(path))
    assert json.loads((run / "video.json").read_text())["factors"] == [8]
