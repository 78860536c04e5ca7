"""What edits of shapes world clips are measured by."""

import json

import cv2
import numpy as np
import pytest

from mindlong.cli.evaluate_edits import command, edits_of, main
from mindlong.data.film import FilmWorld
from mindlong.data.film_captions import parse_film
from mindlong.data.shapes import ShapesWorld
from mindlong.data.shapes_reader import read
from mindlong.media.read import read_video
from mindlong.media.write import write_frames
from mindlong.scores.edit_pairs import comparison, flip_test, sign_test
from mindlong.scores.edits import EditScore, path_likeness, score_edit, summary
from mindlong.utils.errors import ConfigError, InputFileError

WORLD = ShapesWorld((48, 48), 12)


def test_a_perfect_edit_is_right_the_source_itself_is_not_changed_and_another_motion_is_not_kept():
    source = WORLD.clip_of("a red circle moving left", 3)
    seen = read(source.frames_FHWC)
    same = score_edit(seen, source.frames_FHWC, "a blue square moving left")
    assert not same.changed and same.correlation == pytest.approx(1) and same.distance == 0
    other = score_edit(
        seen, WORLD.clip_of("a blue square moving up", 3).frames_FHWC, "a blue square moving up"
    )
    assert other.changed and not other.kept
    back = score_edit(seen, source.frames_FHWC[::-1], "a red circle moving left")
    assert back.changed and back.correlation < -0.9
    with pytest.raises(ConfigError, match="the edit has 5 frames and its source 12"):
        score_edit(seen, source.frames_FHWC[:5], "a red circle")


def test_paths_that_stand_still_or_are_not_seen_have_no_correlation():
    line = np.stack([np.arange(8.0), np.zeros(8)], 1)
    assert path_likeness(line, line * 2 + 5)[0] == pytest.approx(1)
    assert np.isnan(path_likeness(line, np.zeros((8, 2)))[0])
    hidden = line.copy()
    hidden[:5] = np.nan
    assert np.isnan(path_likeness(line, hidden)[0])


def test_the_tool_reads_a_run_and_writes_clips(tmp_path, capsys):
    assert main(["--write_clips", str(tmp_path / "clips"), "--count", "2", "--frames", "12"]) == 0
    first = read_video(tmp_path / "clips/clip-000")[0]
    assert np.array_equal(first, WORLD.sample(1000).frames_FHWC)
    assert (tmp_path / "clips/clip-001.txt").read_text() == WORLD.sample(1001).caption
    run = tmp_path / "run"
    write_frames(run / "source", first)
    write_frames(run / "edit-000", first)
    (run / "video.json").write_text(
        json.dumps({"prompts": [{"prompt": WORLD.sample(1000).caption}]})
    )
    (score,) = edits_of(run)
    assert score.changed and score.kept
    assert main([str(run), "--json", str(tmp_path / "out.json")]) == 0
    assert "both           1/1   100.0 %" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())[0]["changed"]


def test_films_are_read_by_their_own_reader_and_written_with_what_models_know(tmp_path, capsys):
    film = ["--world", "film", "--size", "64", "--count", "1", "--seed", "2004"]
    assert main(["--write_clips", str(tmp_path / "clips"), *film]) == 0
    caption = (tmp_path / "clips/clip-000.txt").read_text()
    said = parse_film(caption)
    assert len(said.objects) == 1 and said.objects[0].shape in ("circle", "square", "triangle")
    wanted = caption.replace(said.objects[0].colour, "blue").replace(said.objects[0].shape, "star")
    frames = read_video(tmp_path / "clips/clip-000")[0]
    right = FilmWorld((64, 64), objects=1).clip_of(wanted, 3).frames_FHWC
    for name, held in (("source", frames), ("edit-000", right), ("edit-001", frames)):
        write_frames(tmp_path / "run" / name, held)
    prompts = [{"prompt": wanted}, {"prompt": wanted}]
    (tmp_path / "run/video.json").write_text(json.dumps({"prompts": prompts}))
    assert main([str(tmp_path / "run"), "--json", str(tmp_path / "out.json")]) == 0
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["changed"] and not second["changed"]
    assert second["correlation"] == pytest.approx(1), "of another colour, on the same path"
    known = ["--shapes", "circle", "square", "triangle"]
    with pytest.raises(ConfigError, match="names 'star', which is none of the shapes that"):
        main([str(tmp_path / "run"), *known])
    capsys.readouterr()
    assert main([str(tmp_path / "run"), "--unsure"]) == 0
    assert "--unsure" in capsys.readouterr().out


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(InputFileError, match="no finished run of the edit pipeline"):
        list(edits_of(tmp_path))
    with pytest.raises(ConfigError, match="no FOLDER is given"):
        main([])
    with pytest.raises(ConfigError, match="no edits to measure"):
        summary([])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "-1"], "count is -1; it must be at least 1"),
        (["--frames", "0"], "frames is 0; it must be at least 1"),
        (["--seed", "-1"], "seed is -1; it must be at least 0"),
    ],
)
def test_numbers_of_clips_below_the_least_are_refused(tmp_path, capsys, words, said):
    assert command(["--write_clips", str(tmp_path / "clips"), *words]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "clips").exists()


def test_prompts_that_are_no_texts_are_refused(tmp_path, capsys):
    (tmp_path / "video.json").write_text('{"prompts": [{"prompt": 3}]}')
    assert command([str(tmp_path)]) == 3
    assert "a prompt is no text" in capsys.readouterr().err


def test_a_correlation_that_there_is_not_is_null_in_the_json(tmp_path):
    still = WORLD.sample(1000).frames_FHWC[:1].repeat(4, 0)
    for name in ("source", "edit-000"):
        write_frames(tmp_path / name, still)
    (tmp_path / "video.json").write_text('{"prompts": [{"prompt": "a red circle"}]}')
    assert main([str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())[0]["correlation"] is None


def test_two_ways_are_compared_edit_by_edit():
    def run(*kept):
        return [
            EditScore(f"prompt {i}", True, 1.0 if k else 0.2, 1.0 if k else 9.0, k, 0.5)
            for i, k in enumerate(kept)
        ]

    text = comparison([run(True, True), run(True, False)], [run(False, True), run(False, False)])
    assert "motion kept     3/4     1/4          2         0   0.5      0.5" in text
    assert "changed         4/4     4/4          0         0   1        1" in text
    assert "distance: this less that -4.0000 [-4.0000, -4.0000]" in text
    with pytest.raises(
        ConfigError, match=r"not edited under the same prompts: 1 and 1 runs, of \[2\] and \[1\]"
    ):
        comparison([run(True, True)], [run(True)])
    with pytest.raises(ConfigError, match="no edits to compare"):
        comparison([], [])


def test_the_sign_test_is_mcnemars():
    assert sign_test(0, 0) == 1 and sign_test(3, 3) == 1
    assert sign_test(8, 0) == sign_test(0, 8) == pytest.approx(2 / 2**8)
    assert sign_test(1, 9) == pytest.approx(2 * 11 / 2**10)


def test_the_flip_test_takes_sources_as_what_is_independent():
    assert flip_test([0, 0]) == 1
    assert flip_test([4] * 3) == pytest.approx(2 / 8) and flip_test([-4] * 3) == pytest.approx(
        2 / 8
    )
    assert flip_test([3, -1]) == pytest.approx(1), "1 and 1 way are 2, 2 are 4"
    assert flip_test([3, 1, 1]) == pytest.approx(2 / 8)
    assert flip_test([1] * 20) < 1e-3


def test_the_tool_compares_runs_with_runs(tmp_path, capsys):
    for name, caption in (("a", "a blue square moving up"), ("b", "a red circle moving up")):
        run = tmp_path / name
        write_frames(run / "source", WORLD.clip_of("a red circle moving up", 3).frames_FHWC)
        write_frames(run / "edit-000", WORLD.clip_of(caption, 3).frames_FHWC)
        (run / "video.json").write_text(
            json.dumps({"prompts": [{"prompt": "a blue square moving up"}]})
        )
    sheet = tmp_path / "sheet.png"
    asked = [str(tmp_path / "a"), "--against", str(tmp_path / "b"), "--sheet", str(sheet)]
    assert main([*asked, "--json", str(tmp_path / "both.json")]) == 0
    held = json.loads((tmp_path / "both.json").read_text())
    assert [held[name][0]["changed"] for name in ("this", "against")] == [True, False]
    assert cv2.imread(str(sheet)).shape[0] > 3 * 48, "a row for the source and each way"
    assert (
        "changed         1/1     0/1          1         0   1        1" in capsys.readouterr().out
    )
    write_frames(tmp_path / "c/source", WORLD.clip_of("a red circle moving up", 4).frames_FHWC)
    write_frames(tmp_path / "c/edit-000", WORLD.clip_of("a red circle moving up", 4).frames_FHWC)
    (tmp_path / "c/video.json").write_text((tmp_path / "a/video.json").read_text())
    with pytest.raises(ConfigError, match="edit different videos"):
        main([str(tmp_path / "a"), "--against", str(tmp_path / "c")])
    with pytest.raises(ConfigError, match="FOLDER names .*a twice, whose edits would count twice"):
        main([str(tmp_path / "a"), f"{tmp_path}/b/../a"])
    with pytest.raises(ConfigError, match="2 ways are called 'one'"):
        main([str(tmp_path / "a"), "--against", str(tmp_path / "b"), "--names", "one", "one"])


@pytest.mark.parametrize("there", ["clip-001.txt", "clip-000"])
def test_clips_are_written_over_nothing(tmp_path, capsys, there):
    (tmp_path / there).write_text("mine")
    assert command(["--write_clips", str(tmp_path), "--count", "2", "--frames", "4"]) == 1
    said = capsys.readouterr().err
    assert f"{there} exists, and nothing is overwritten; give another --write_clips" in said
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--write_clips", "c", "--sheet", "x.png"], "--sheet has no effect with --write_clips"),
        (["--write_clips", "c", "--json", "x"], "--json has no effect with --write_clips"),
        (["--write_clips", "c", "--against", "a"], "--against has no effect with --write_clips"),
        (["--write_clips", "c", "--names", "a", "b"], "--names has no effect with --write_clips"),
        (["--write_clips", "c", "--unsure"], "--unsure has no effect with --write_clips"),
        (["run", "--write_clips", "c"], "FOLDER has no effect with --write_clips"),
        (["run", "--count", "2"], "--count belongs to --write_clips"),
        (["run", "--frames", "2"], "--frames belongs to --write_clips"),
        (["run", "--size", "64"], "--size belongs to --write_clips"),
        (["run", "--seed", "3"], "--seed belongs to --write_clips"),
        (["run", "--names", "a", "b"], "--names belongs to --against"),
    ],
)
def test_what_nothing_would_read_is_refused(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert command(words) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())
