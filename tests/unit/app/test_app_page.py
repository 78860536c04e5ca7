"""What the page's tabs answer. A stand-in takes the place of Gradio: what is looked at is what we
hand to it.
"""

import shutil
import sys
from unittest.mock import MagicMock

import pytest
from app_places import ANNA, desk, place_in

from mindlong.training import metrics

SKIP = {"unchanged": True}  # what the stand-in's gr.skip() gives


@pytest.fixture(autouse=True)
def gradio(monkeypatch):
    """Components that hold nothing, and updates as plain keys."""
    made = MagicMock(name="gradio")
    made.update = lambda **keys: keys
    made.skip = lambda: SKIP
    for name in [each for each in sys.modules if each.startswith("mindlong.app.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", made)
    yield made
    for name in [each for each in sys.modules if each.startswith("mindlong.app.page")]:
        del sys.modules[name]  # they hold the stand-in


@pytest.mark.parametrize(("typed", "kept"), [(0, 0.0), ("0", 0.0), (None, None), ("", None)])
def test_a_guidance_is_told_from_an_empty_field(typed, kept):
    from mindlong.app.page.make import _plain

    assert _plain("guidance", typed) == kept and _plain("strength", typed) == 0.0


def training(place, name, text=""):
    """A training that has begun, with what its metrics.csv holds below the columns."""
    folder = place.trainings[0] / name
    folder.mkdir()
    (folder / "config.yaml").write_text("task: pixel\n")
    (folder / metrics.FILE).write_bytes((",".join(metrics.COLUMNS) + f"\n{text}").encode("latin-1"))
    return folder


@pytest.fixture
def place(tmp_path):
    return place_in(tmp_path)


@pytest.fixture
def tab(place):
    """The tab of trainings, before one has begun."""
    from mindlong.app.page.trainings import TrainingsTab

    return TrainingsTab(place, lambda _: desk(place, ANNA))


def test_a_training_that_begins_later_is_listed_and_shown(tab, place):
    choice, curves, *_, seen = tab.first(None, None)
    assert choice == SKIP or not choice["choices"]
    assert "No training yet" in curves
    training(place, "b", "1,0.5,0.5,0.001,0,4.0,0.1,900\n")
    choice, curves, _, facts, _, seen = tab.look(None, seen, None)
    assert choice == {"choices": ["trainings/b"], "value": "trainings/b"}
    assert "curves.png" in curves and "0.5" in facts
    assert tab.look("trainings/b", seen, None)[:5] == [SKIP] * 5


def test_what_is_chosen_stays_chosen_when_another_training_begins(tab, place):
    training(place, "b")
    seen = tab.first("trainings/b", None)[-1]
    training(place, "a")
    choice, *shown, seen = tab.look("trainings/b", seen, None)
    assert choice == {
        "choices": ["trainings/a", "trainings/b"]
    }  # no value: a person may be choosing
    assert shown == [SKIP] * 4
    choice, curves, *_ = tab.look("trainings/a", seen, None)
    assert choice == SKIP and "No row yet" in curves


def test_a_page_that_is_loaded_lists_what_is_there_by_then(tab, place):
    for name in ("a", "b"):
        training(place, name)
    assert tab.first("trainings/b", None)[0] == {"choices": ["trainings/a", "trainings/b"]}


def test_a_training_that_has_gone_is_watched_no_more(tab, place):
    gone = training(place, "a", "1,0.5,0.5,0.001,0,4.0,0.1,900\n")
    seen = tab.first("trainings/a", None)[-1]
    shutil.rmtree(gone)
    choice, curves, previews, facts, log, _ = tab.look("trainings/a", seen, None)
    assert choice == {"choices": [], "value": None}
    assert "No training yet" in curves and (previews, facts, log) == ("", "", "")


def test_metrics_that_cannot_be_read_are_said_beside_the_log(tab, place):
    folder = training(place, "a", "\xff\n")
    (folder / "log.txt").write_text("began")
    _, curves, _, facts, log, _ = tab.first("trainings/a", None)
    assert "ml-error" in curves and metrics.FILE in curves and (facts, log) == ("", "began")


def test_weights_that_arrive_later_are_listed(place):
    from mindlong.app.page.make import MakeTab

    make = MakeTab(place, lambda _: desk(place, ANNA))
    named = make.weights_now([])[-1]
    assert make.weights_now(named) == [SKIP] * 3
    begun = str(training(place, "a"))
    arrived = place.weights[0] / "model.safetensors"
    arrived.write_bytes(b"x")
    weights, keys, now = make.weights_now(named)
    assert set(now) - set(named) == {begun, str(arrived)}
    assert weights == {"choices": now} and keys == {"choices": ["", *now]}


def test_a_folder_of_weights_that_has_gone_hides_no_other(place):
    from mindlong.app.page.fields import weights_named

    place.weights[0].rmdir()
    assert weights_named(place)
