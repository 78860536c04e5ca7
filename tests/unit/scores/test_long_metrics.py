"""The measures of a long clip, on clips that cohere and clips that do not."""

import numpy as np
import pytest

from mindlong.cli import compare_long
from mindlong.data.film import FILM_SHAPES, FilmWorld
from mindlong.data.shapes import COLOURS, ShapesWorld
from mindlong.scores.long_metrics import coherence, seam_ratio
from mindlong.scores.long_score import score
from mindlong.scores.worlds import WORLDS, world_of
from mindlong.utils.errors import ConfigError


def moving(index, frames=32):
    return ShapesWorld(frames=frames, bounce=True).clip(index)


def test_one_object_throughout_has_no_seams():
    made = moving(3)
    found = coherence(made.frames_FHWC, made.caption, [range(0, 16), range(16, 32)])
    assert found.right == found.constant == 1 and found.seam < 1.5 and found.step < 1.5
    assert found.background < 1


def test_another_object_in_every_clip_is_seen():
    first = moving(3)
    here = first.truth
    other = next(
        c
        for c in map(moving, range(4, 40))
        if c.truth.colour != here.colour and c.truth.shape != here.shape
    )
    frames = np.concatenate([first.frames_FHWC[:16], other.frames_FHWC[:16]])
    found = coherence(frames, first.caption, [range(0, 16), range(16, 32)])
    assert found.right == 0.5 and found.constant == 0 and found.seam > 3


def test_seams_are_measured_at_the_joints():
    frames = np.zeros((9, 2, 2, 3), np.uint8)
    for f in range(9):
        frames[f] = f + 10 * (f >= 3)
    assert (
        seam_ratio(frames, [3]) == pytest.approx(11)
        and seam_ratio(frames, [4]) < 1
        and seam_ratio(frames, []) == 1
    )


def test_table_and_plot_are_means_over_prompts(tmp_path):
    row = {
        "right": 1.0,
        "constant": 0.5,
        "steady": 1.0,
        "seam": 1.2,
        "step": float("nan"),
        "background": 0.25,
        "prompt": "p",
    }
    rows = [
        {"way": "exact", "clips": 4, **row},
        {"way": "exact", "clips": 4, **row, "constant": 1.0},
        {"way": "windows", "clips": 8, **row},
    ]
    text = compare_long.table(rows)
    assert (
        "| exact | 4 | 2 | 100 % (100 to 100) | 75 % (50 to 100) | 100 % (100 to 100) | 1.20 | nan | 0.25 |"
        in text
        and text.count("\n") == 4
    )
    compare_long.plot(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def film(index, frames=32):
    return FilmWorld(frames=frames, objects=1 + index % 2).clip(index)


@pytest.mark.parametrize("index", [4, 7])
def test_a_film_is_one_throughout_and_two_films_are_not(index):
    """With one object and with two, under a camera that may move."""
    made, other = film(index), film(index + 2)
    pieces, world = [range(0, 16), range(16, 32)], WORLDS["film"]
    whole = coherence(made.frames_FHWC, made.caption, pieces, world=world)
    assert whole.right == whole.constant == whole.steady == 1 and whole.background < 6
    frames = np.concatenate([made.frames_FHWC[:16], other.frames_FHWC[:16]])
    cut = coherence(frames, made.caption, pieces, world=world)
    assert (cut.right, cut.constant) == (0.5, 0) and cut.seam > 1.5
    found = [
        score(f, made.caption, [16], FILM_SHAPES, tuple(COLOURS), world)
        for f in (made.frames_FHWC, frames)
    ]
    assert found[0].constant and not found[1].constant and found[1].join > 1.5 * found[0].join


def test_captions_say_which_world_is_shown():
    plain = ["a red circle moving right"]
    assert world_of(plain) is WORLDS["shapes"] and world_of(plain, "film") is WORLDS["film"]
    assert world_of([*plain, "a blue star, the camera pans left"]) is WORLDS["film"]
    said = WORLDS["film"].said("a red circle and a blue star moving up, the camera zooms in")
    assert said == (("circle", "red"), ("star", "blue"))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("caption", ["hello there", "a red thing", "a circle moving up"])
def test_captions_that_name_nothing_are_refused(world, caption):
    with pytest.raises(ConfigError, match=f"the caption '{caption}' .* shape and .* colour"):
        WORLDS[world].said(caption)
    assert WORLDS[world].said("a red circle") == (("circle", "red"),), "no direction is needed"


def test_an_outline_that_a_world_has_not_is_refused():
    assert WORLDS["shapes"].known(["diamond"]) == ("diamond",)
    with pytest.raises(ConfigError, match="has 'diamond', unknown to the world that is shown"):
        WORLDS["film"].known(["circle", "diamond"])
