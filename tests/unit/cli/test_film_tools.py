"""The tools that measure films and storyboards replace nothing, and end in a sentence."""

import runpy
import sys
from pathlib import Path

import pytest

from mindlong.utils.errors import ConfigError, InputFileError

TOOLS = Path(__file__).parents[3] / "tools"


def tool(name):
    return runpy.run_path(str(TOOLS / f"{name}.py"))


@pytest.fixture(scope="module")
def key_frames():
    return tool("evaluate_key_frames")


@pytest.fixture
def films(tmp_path):
    found = [tmp_path / "a/bikes.mp4", tmp_path / "b/bikes.mp4"]
    for film in found:
        film.parent.mkdir()
        film.write_bytes(b"")
    return found


def test_films_of_one_name_have_folders_of_their_own(key_frames, films, tmp_path):
    found = key_frames["places_of"](films, ["flow", "twin"], tmp_path / "out")
    assert list(found.values()) == ["bikes-flow", "bikes-twin", "bikes_2-flow", "bikes_2-twin"]


def test_a_frame_folder_is_called_by_its_whole_name(key_frames, tmp_path):
    films = [tmp_path / "scene_0.5", tmp_path / "scene_0.7"]
    for film in films:
        film.mkdir()
    found = key_frames["places_of"](films, ["flow"], tmp_path / "out")
    assert list(found.values()) == ["scene_0_5-flow", "scene_0_7-flow"]


@pytest.mark.parametrize("name", ["bikes-flow", "bikes_2-flow", "films.md"])
def test_what_is_there_is_not_replaced(key_frames, films, tmp_path, name):
    mine = tmp_path / "out" / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    words = [*map(str, films), "--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match=f"{name} is there already .* another --out"):
        key_frames["main"](words)
    assert mine.read_text() == "mine"


def test_doubles_and_missing_films_are_refused(key_frames, films, tmp_path):
    places = key_frames["places_of"]
    with pytest.raises(ConfigError, match="flow is given twice"):
        places(films, ["flow", "flow"], tmp_path)
    with pytest.raises(ConfigError, match="bikes.mp4 is given twice"):
        places([films[0], films[0]], ["flow"], tmp_path)
    with pytest.raises(InputFileError, match="no film at nothere.mp4"):
        places([Path("nothere.mp4")], ["flow"], tmp_path)


@pytest.mark.parametrize(
    ("name", "words", "code", "said"),
    [
        ("evaluate_key_frames", ["nothere.mp4"], 3, "no film at nothere.mp4"),
        ("evaluate_storyboards", ["--weights", "nothere"], 3, "nothing at nothere"),
        ("evaluate_storyboards", ["--videos", "0"], 2, "--videos is 0"),
    ],
)
def test_the_tools_end_in_a_sentence(tmp_path, monkeypatch, capsys, name, words, code, said):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
    error = capsys.readouterr().err
    assert ended.value.code == code and said in error and "Traceback" not in error
    assert not out.exists()


def test_settings_that_are_no_pairs_are_refused():
    settings = tool("evaluate_storyboards")["settings"]
    assert settings(["sample.steps=3", "level_steps=[1,4]"]) == {
        "sample__steps": 3,
        "level_steps": [1, 4],
    }
    with pytest.raises(ConfigError, match="'level_steps' is not understood"):
        settings(["level_steps"])
