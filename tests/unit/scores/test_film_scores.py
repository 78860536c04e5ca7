"""Films are counted by what their captions say, interpolated ones by where their objects are."""

import json

import cv2
import numpy as np
import pytest

from mindlong.cli import evaluate_interpolation, evaluate_shapes, train_tokenizer
from mindlong.config.data_options import DataOptions
from mindlong.data.build import build_source
from mindlong.data.check import check
from mindlong.data.film import FilmWorld
from mindlong.data.film_captions import parse_film
from mindlong.data.needs import Needs
from mindlong.media.write import write_frames
from mindlong.scores.film import score_films
from mindlong.scores.interpolation import score_shapes
from mindlong.utils.errors import ConfigError

WORLD = FilmWorld(frames=8, seed=51)
CAPTIONS = [
    "a red circle moving right, the camera pans down",
    "a blue star in front of a green cross moving up",
]
CLIPS = [WORLD.clip_of(caption, i) for i, caption in enumerate(CAPTIONS)]


@pytest.fixture(scope="module")
def scores():
    return score_films([c.frames_FHWC for c in CLIPS], CAPTIONS)


def test_the_truth_scores_full_and_order_counts_where_it_is_said(scores):
    assert all(rate.share == 1 for rate in scores.rates.values())
    assert [scores.rates[n].total for n in ("shape", "order", "camera", "all")] == [2, 1, 2, 2]
    assert min(scores.overlaps) > 0.8 and max(scores.backgrounds) < 5
    assert "order" in scores.table() and "1/1" in scores.table()


def test_captions_of_other_films_are_not_shown():
    swapped = score_films([c.frames_FHWC for c in CLIPS], CAPTIONS[::-1])
    assert {n: r.hits for n, r in swapped.rates.items() if n != "steady"} == dict.fromkeys(
        ("shape", "colour", "shape and colour", "direction", "camera", "order", "all"), 0
    )
    with pytest.raises(ConfigError, match="names no objects of the film world; the shape"):
        score_films([], ["a dog"])
    with pytest.raises(ConfigError, match="0 samples and 1 captions"):
        score_films([], CAPTIONS[:1])


def test_a_reader_that_is_not_sure_of_an_outline_may_be_believed_all_the_same():
    blurred = [np.stack([cv2.GaussianBlur(f, (0, 0), 3) for f in c.frames_FHWC]) for c in CLIPS]
    sure, believed = (score_films(blurred, CAPTIONS, unsure=u).rates for u in (False, True))
    assert sure["colour"].hits < believed["colour"].hits and believed["direction"].hits >= 1


def test_the_command_knows_films_by_their_captions(tmp_path, capsys):
    for i, clip in enumerate(CLIPS):
        write_frames(tmp_path / f"{i}", clip.frames_FHWC, 8)
    (tmp_path / "video.json").write_text(json.dumps(CAPTIONS))
    assert evaluate_shapes.main([str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    assert "camera" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out.json").read_text())["samples"]
    assert [row["read"] for row in rows] == CAPTIONS and rows[0]["camera_confidence"] > 0.5


def test_interpolated_films_are_measured_object_by_object():
    clip = CLIPS[1]
    found = score_shapes(clip, clip.frames_FHWC, 4)
    assert found.position < 0.6 and found.steady and found.right and found.lost == 0
    held = clip.frames_FHWC[[0, 0, 0, 0, 4, 4, 4, 4]]
    assert score_shapes(clip, held, 4).position > 2 * found.position


def test_the_interpolation_command_takes_the_world(tmp_path, capsys, monkeypatch):
    where = ["--world", "film", "--shapes", "1", "--frames", "5", "--size", "64", "64"]
    sheet = tmp_path / "sheet.png"
    assert evaluate_interpolation.main([*where, "--methods", "blend", "--sheet", str(sheet)]) == 0
    assert cv2.imread(str(sheet)).shape[0] > 2 * 64, "the truth and one method"
    assert "1 clips of the film world" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--bounce"):
        evaluate_interpolation.main([*where, "--bounce"])
    drawn = []
    monkeypatch.setattr(
        evaluate_interpolation, "_one", lambda args, clips, fill: drawn.extend(clips) or ({}, [])
    )
    monkeypatch.setattr(evaluate_interpolation, "_row", lambda name, means: None)
    some = ["--shapes", "6", "--outlines", "circle", "--colours", "red", "blue"]
    assert evaluate_interpolation.main([*where, *some, "--methods"]) == 0
    assert len(drawn) == 6 and not any(
        word in clip.caption for clip in drawn for word in ("square", "star", "green", "cyan")
    )
    with pytest.raises(ConfigError, match="'hexagon', unknown to the film world"):
        evaluate_interpolation.main([*where, "--outlines", "hexagon"])


def test_the_interpolation_command_fits_videos_to_a_size(tmp_path, capsys):
    write_frames(tmp_path / "clip", CLIPS[0].frames_FHWC[:5, :, :51])
    wide, fitted = tmp_path / "wide.json", tmp_path / "fitted.json"
    asked = [str(tmp_path / "clip"), "--methods", "blend"]
    assert evaluate_interpolation.main([*asked, "--json", str(wide)]) == 0
    assert evaluate_interpolation.main([*asked, "--fit", "32", "32", "--json", str(fitted)]) == 0
    scores = [json.loads(f.read_text())["videos"]["clip"]["blend"] for f in (wide, fitted)]
    assert scores[0]["frames"] == scores[1]["frames"] == 3
    for words, said in (
        (["--fit", "0", "32"], "fit is 0; it must be at least 1"),
        (["--fit", "32", "100000"], "fit is 100000; it must be at most 8192"),
        (["--max_frames", "-5"], "max_frames is -5; it must be at least 0"),
        (["--threads", "-3"], "threads is -3; it must be at least 0"),
        (["--shapes", "-1"], "shapes is -1; it must be at least 0"),
        (["--sheet", "x.png"], "--sheet is of clips of a world"),
        (["--colours", "red"], "--colours is of clips of a world"),
    ):
        with pytest.raises(ConfigError, match=said):
            evaluate_interpolation.main([*asked, *words])
    with pytest.raises(ConfigError, match="--fit is of videos"):
        evaluate_interpolation.main(["--shapes", "1", "--fit", "32", "32"])
    assert scores[1]["ssim"] > scores[0]["ssim"] + 0.03, "fine texture is gone"


@pytest.mark.parametrize("world", ["shapes", "film"])
@pytest.mark.parametrize(
    ("speed", "said"),
    [
        (["0.1", "0.02"], r"speed is \[0.1, 0.02\]; it must be \[slowest, fastest\]"),
        (["-1", "0.02"], "speed is -1.0; it must be at least 0"),
        (["0", "1e300"], r"speed is 1e\+300; it must be at most 1"),
    ],
)
def test_speeds_that_are_none_are_refused(world, speed, said):
    with pytest.raises(ConfigError, match=said):
        evaluate_interpolation.main(["--shapes", "1", "--world", world, "--speed", *speed])


@pytest.mark.parametrize(
    "words",
    [
        ["--steps", "3"],
        ["--stages", "7"],
        ["--reads", "nonsense"],
        ["--pin", "none"],
        ["--detail", "flow"],
        ["--hint", "nearest"],
        ["--mask", "zero"],
        ["--guidance", "2"],
        ["--seed", "1"],
        ["--window", "5"],
        ["--threads", "1"],
    ],
)
def test_options_of_a_network_are_refused_without_one(words):
    with pytest.raises(ConfigError, match=f"{words[0]} is of a network, and there is none"):
        evaluate_interpolation.main(["a.mp4", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["--frames", "40"],
        ["--world", "film"],
        ["--size", "32", "32"],
        ["--first", "3"],
        ["--bounce"],
        ["--speed", "0", "0.1"],
        ["--outlines", "circle"],
    ],
)
def test_options_of_a_world_are_refused_without_one(words):
    with pytest.raises(ConfigError, match=f"{words[0]} is of clips of a world; give --shapes"):
        evaluate_interpolation.main(["a.mp4", *words])


def test_frames_of_a_video_are_refused_without_one():
    with pytest.raises(ConfigError, match="--max_frames is of videos, and none is named"):
        evaluate_interpolation.main(["--shapes", "1", "--max_frames", "5"])


def test_videos_of_one_name_are_kept_apart(tmp_path, capsys):
    for place in ("a", "b"):
        write_frames(tmp_path / place / "clip", CLIPS[0].frames_FHWC[:5, :32, :32])
    videos = [str(tmp_path / place / "clip") for place in ("a", "b")]
    asked = ["--methods", "repeat", "--json", str(tmp_path / "out.json")]
    assert evaluate_interpolation.main([*videos, *asked]) == 0
    assert list(json.loads((tmp_path / "out.json").read_text())["videos"]) == videos
    assert videos[1] in capsys.readouterr().out
    with pytest.raises(ConfigError, match="a video is named twice"):
        evaluate_interpolation.main([videos[0], *videos])


def test_a_vocabulary_of_films(tmp_path):
    assert train_tokenizer.main(["--film", "--size", "600", "--dst", str(tmp_path / "words")]) == 0
    words = json.loads((tmp_path / "words/vocab.json").read_text())
    assert {"camera</w>", "front</w>", "zooms</w>"} <= set(words)
    with pytest.raises(ConfigError, match="one of"):
        train_tokenizer.main(["--film", "--shapes", "--dst", str(tmp_path / "other")])


def test_every_key_of_the_film_world_reaches_it():
    options = DataOptions(
        kind="film",
        frames=3,
        size=[40, 48],
        shapes=["star"],
        colours=["red", "cyan"],
        motions=["up"],
        objects=1,
        cameras=["zoom"],
        textures=["dots"],
        shadows=False,
        speed=[0.01, 0.02],
        world_seed=9,
    )
    world = FilmWorld(
        (40, 48),
        3,
        ("star",),
        ("red", "cyan"),
        ("up",),
        1,
        ("zoom",),
        ("dots",),
        False,
        9,
        speed=(0.01, 0.02),
    )
    assert build_source(options, 0) == world
    assert np.array_equal(build_source(options, 1).sample(4).frames_FHWC, world.clip(4).frames_FHWC)


def test_a_caption_encoder_that_is_too_short_is_said_before():
    options = DataOptions(kind="film", size=[64, 64], frames=2)
    (problem,) = check(options, Needs(longest=12)).problems
    assert "model.text.length" in problem and "takes 12" in problem
    longest = FilmWorld().longest_caption(len)
    assert parse_film(longest).text == longest
    assert max(map(len, FilmWorld().captions())) <= len(longest)
    assert check(options, Needs(longest=64)).problems == []
