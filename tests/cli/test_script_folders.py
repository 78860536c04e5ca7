"""Scripts go to the checkout, and write where the user is."""

import pytest
from recorded_scripts import ROOT, asked

NAME = "my folder of results"


EVERY = [
    ("film_world.sh", ["text"]),
    ("long_ways.sh", []),
    ("compare_tuning.sh", ["1", "2"]),
    ("compare_lora_edits.sh", ["1"]),
]


@pytest.mark.parametrize(("script", "words"), [*EVERY, ("interpolation.sh", ["2"])])
def test_a_relative_python_is_the_users_own(tmp_path, script, words):
    """With a blank in its path."""
    beside = tmp_path / "a folder"
    beside.mkdir()
    code, commands = asked(
        script, tmp_path, str(tmp_path / "out"), *words, cwd=beside, python="../python"
    )
    assert code == 0 and commands
    named = tmp_path / "my env"
    named.mkdir()
    code, commands = asked(
        script, named, str(tmp_path / "more"), *words, cwd=tmp_path, python="my env/python"
    )
    assert code == 0 and commands


@pytest.mark.parametrize(("script", "words"), EVERY)
def test_a_relative_folder_is_the_users_own(tmp_path, script, words):
    clips = tmp_path / NAME / "clips"
    clips.mkdir(parents=True)
    (clips / "clip-000.txt").write_text("a red circle moving right")  # what the tool would write
    code, commands = asked(script, tmp_path, NAME, *words, cwd=tmp_path)
    named = [word for command in commands for word in command if NAME in word]
    assert code == 0 and named
    assert all(f"{tmp_path}/{NAME}" in word for word in named)
    assert not (ROOT / NAME).exists()


@pytest.mark.parametrize(("script", "words"), EVERY[2:])
def test_clips_that_are_there_are_not_written_again(tmp_path, script, words):
    """The tool writes over nothing; a script that was stopped goes on."""
    folder = str(tmp_path / "out")
    written = [
        sum("--write_clips" in command for command in asked(script, tmp_path, folder, *words)[1])
        for _ in range(2)
    ]
    assert written == [1, 0]


@pytest.mark.parametrize(
    "script",
    [
        "film_world.sh",
        "long_ways.sh",
        "interpolation.sh",
        "compare_tuning.sh",
        "compare_lora_edits.sh",
    ],
)
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_without_a_folder_there_is_the_usage(tmp_path, script, words):
    assert asked(script, tmp_path, *words, cwd=tmp_path) == (2, [])
    assert not (tmp_path / "--help").exists()


@pytest.mark.parametrize("script", ["compare_tuning.sh", "compare_lora_edits.sh"])
def test_clips_of_which_some_are_there_are_completed(tmp_path, script):
    """After a stop, or for more of them than the first time."""
    out = tmp_path / "out"
    (out / "clips").mkdir(parents=True)
    (out / "clips/clip-000.txt").write_text("a blue square moving up")
    code, commands = asked(script, tmp_path, str(out), "2")
    assert code == 0 and sum("--write_clips" in command for command in commands) == 1
    assert (out / "clips/clip-000.txt").read_text() == "a blue square moving up"
    assert (out / "clips/clip-001.txt").exists() and not (out / "clips.part").exists()
