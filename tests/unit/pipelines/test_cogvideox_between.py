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
        ("interpolate.factor", 4, "interpolate.factor has 4, a run with both ends one frame more"),
        ("interpolate.mask", "between", "interpolate.mask is not read: the network reads both"),
        ("size", "[16,20]", "both must be multiples of 8, 2 latents of 4 pixels"),
    ],
)
def test_what_does_not_fit_is_said(published, images, key, value, sentence, capsys):
    assert infer([*keys(published, images, **{key: value}), "--dry_run"]) != 0
    assert sentence in capsys.readouterr().err


def test_much_that_is_cut_off_is_said(published, images, capsys):
    assert infer([*keys(published, images, size="[48,16]"), "--dry_run"]) == 0
    assert "16x24 pixels become 48x16, and 78% of the image are cut off" in capsys.readouterr().out


def without(arguments, *words):
    return [a for a in arguments if not any(word in a for word in words)]


def test_levels_and_key_frames_of_a_prompt_are_planned(published, images, capsys):
    arguments = without(keys(published, images), "factor", "images")
    own = ["interpolate.factors=[8,16]", "interpolate.keys=9", "size=[16,24]"]
    assert infer([*arguments, *own, "--dry_run"]) == 0
    said = capsys.readouterr().out
    for line in ("1 run of 9 frames 16x24, from the prompt", "8 runs of 9 frames", "64 runs of 17"):
        assert line in said
    assert "1025 frames" in said
    assert infer([*arguments, *own[:1], "interpolate.keys=5", "--dry_run"]) != 0
    assert "interpolate.keys is 5, and nothing else gives key frames" in capsys.readouterr().err


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


@pytest.mark.slow
def test_levels_over_processes_are_those_of_one(published, images, tmp_path, monkeypatch):
    """Two processes, whose runs are made by turns, leave the latents of one process."""
    from types import SimpleNamespace

    from mindlong.config.infer_schema import InferConfig
    from mindlong.config.load import load
    from mindlong.parallel.comm import SerialComm
    from mindlong.pipelines.interpolate import between
    from mindlong.pipelines.interpolate.plan import work_of

    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "cache"))
    arguments = without(keys(published, images[:2]), "factor")
    arguments += ["interpolate.factors=[8,8]", "frames=17"]
    config = load(None, arguments, InferConfig).values

    class Turn(SerialComm):
        """One of several, the others having been before it."""

        def __init__(self, rank, size):
            self.rank, self.size = rank, size

        def all_gather_text(self, text):
            return [text] * self.size

    def made(name, comm):
        session = SimpleNamespace(config=config, folder=tmp_path / name, comm=comm)
        return [
            np.stack(list(frames))
            for *_, frames in between.videos(session, work_of(config), {"of": name}, comm)
        ]

    before = ms.get_context("mode")
    (alone,) = made("alone", SerialComm())
    made("both", Turn(1, 2))
    (both,) = made("both", Turn(0, 2))
    ms.set_context(mode=before)
    assert len(alone) == 17 and np.array_equal(alone, both)
    assert np.array_equal(alone[0], read_image(images[0]))
    files = sorted(p.name for p in (tmp_path / "alone/jobs").rglob("*.npz"))
    assert files == ["gap-00000.npz", "level-1-gap-00000.npz", "level-1-gap-00001.npz"]


def in_levels(published, **more):
    own = {
        "pipeline": "hierarchical",
        "weights": published,
        "prompt": "a red circle",
        "hierarchical.lengths": "[9,9]",
        "size": "[16,24]",
        "sample.steps": 2,
    }
    return [f"{key}={value}" for key, value in (own | more).items()]


def test_a_hierarchy_in_images_is_planned(published, images, capsys):
    assert infer([*in_levels(published), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "1 run of 9 frames 16x24, from the prompt" in said and "8 runs of 9 frames" in said
    listed = "[" + ",".join(map(str, images)) + "]"
    more = {"hierarchical.images": listed, "hierarchical.lengths": "[3,9,17]"}
    assert infer([*in_levels(published, **more), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "2 runs of 9 frames" in said and "16 runs of 17 frames" in said and "257 fr" in said


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("hierarchical.lengths", "[9]", "which takes two levels"),
        ("hierarchical.lengths", "[9,10]", "hierarchical.lengths has 10: frames is 10; the auto"),
        ("hierarchical.level_guidance", "[3]", "hierarchical.level_guidance is not read: the"),
    ],
)
def test_what_a_hierarchy_in_images_has_not_is_said(published, key, value, sentence, capsys):
    assert infer([*in_levels(published, **{key: value}), "--dry_run"]) != 0
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_hierarchy_from_a_prompt(published, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "cache"))
    before = ms.get_context("mode")
    more = {"formats": "[frames]", "output": tmp_path / "out", "frames": 17, "sample.guidance": 1}
    assert infer(in_levels(published, **more)) == 0
    ms.set_context(mode=before)
    run = next((tmp_path / "out").iterdir())
    assert len(list((run / "video").glob("*.png"))) == 17
    assert json.loads((run / "video.json").read_text())["lengths"] == [9, 9]
