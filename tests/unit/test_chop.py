"""Cutting videos into clips: every frame where the plan says, no clip over a cut, nothing
overwritten.
"""

import csv
import os

import numpy as np
import pytest

from mindlong.cli.chop import command
from mindlong.data.chop import ChopOptions, Piece, Survey, plan, scene_cuts, survey, write_pieces
from mindlong.data.clips import ClipFolder
from mindlong.data.shapes import ShapesWorld
from mindlong.media.read import read_video
from mindlong.media.write import write_video
from mindlong.utils.errors import ConfigError, InputFileError, UserError

CUTS = (0, 30, 52, 60)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """80 frames in four scenes: moving shapes before grounds that differ, among them two that
    resemble each other.
    """
    grounds = [(20, 30, 90), (200, 190, 160), (30, 110, 50), (120, 40, 40)]
    scenes = []
    for i, (first, end) in enumerate(zip(CUTS, (*CUTS[1:], 80), strict=True)):
        clip = ShapesWorld((48, 64), end - first, background="texture", bounce=True, seed=i).clip(i)
        covered = (clip.frames_FHWC != clip.truth.background_HWC).any(-1, keepdims=True)
        scenes.append(np.where(covered, clip.frames_FHWC, np.array(grounds[i])).astype(np.uint8))
    path = tmp_path_factory.mktemp("film") / "my film.avi"
    return write_video(path, np.concatenate(scenes), 10)


def found(frames, scenes=(0,)):
    return Survey(frames, 10.0, (8, 8), scenes)


def test_pieces_follow_each_other_and_the_rest_is_left():
    assert plan(found(25), ChopOptions(8)) == [Piece(0, 8, 0), Piece(8, 16, 0), Piece(16, 24, 0)]
    assert plan(found(25), ChopOptions(8, least=1))[-1] == Piece(24, 25, 0)
    assert plan(found(25), ChopOptions(8, least=2))[-1] == Piece(16, 24, 0)
    assert plan(found(7), ChopOptions(8)) == []


def test_overlapping_and_spaced_pieces():
    assert [(p.first, p.end) for p in plan(found(20), ChopOptions(8, stride=4))] == [
        (0, 8),
        (4, 12),
        (8, 16),
        (12, 20),
    ]
    assert [(p.first, p.end) for p in plan(found(22), ChopOptions(8, stride=4, least=2))][-1] == (
        16,
        22,
    )
    assert [(p.first, p.end) for p in plan(found(20), ChopOptions(8, stride=4, least=2))][-1] == (
        12,
        20,
    )  # all is covered
    assert [(p.first, p.end) for p in plan(found(40), ChopOptions(8, stride=16))] == [
        (0, 8),
        (16, 24),
        (32, 40),
    ]


def test_no_piece_reaches_over_a_cut():
    pieces = plan(found(80, CUTS), ChopOptions(9, stride=5, least=3))
    for piece in pieces:
        assert CUTS[piece.scene] <= piece.first and piece.end <= (*CUTS[1:], 80)[piece.scene]
    assert {p.scene for p in pieces} == {0, 1, 2, 3}


def test_cuts_are_found_and_movement_is_not_one(film):
    assert survey(film, ChopOptions(8, scenes=True)).scenes == CUTS
    assert survey(film, ChopOptions(8)).scenes == (0,)
    wild = np.full(40, 30.0)  # everything moves all the time
    wild[0] = 0
    assert scene_cuts(wild) == []
    wild[20] = 120
    assert scene_cuts(wild) == [20]
    calm = np.zeros(40)
    calm[7] = 12.0  # a flash of little change
    assert scene_cuts(calm) == []


def test_written_clips_hold_the_frames_of_the_plan(film, tmp_path):
    options = ChopOptions(10, stride=6, least=4, scenes=True, kind="frames")
    seen = survey(film, options)
    pieces = plan(seen, options)
    clips = write_pieces(film, tmp_path / "out", seen, pieces, options, caption="a film")
    whole, _ = read_video(film)
    for piece, clip in zip(pieces, clips, strict=True):
        frames, fps = read_video(clip)
        assert (frames == whole[piece.first : piece.end]).all() and fps == 10
        assert clip.with_name(clip.name + ".txt").read_text() == "a film\n"
    with pytest.raises(UserError, match="nothing is overwritten"):
        write_pieces(film, tmp_path / "out", seen, pieces, options)
    rows = list(csv.DictReader((tmp_path / "out" / "my_film_clips.csv").read_text().splitlines()))
    assert [int(r["first_frame"]) for r in rows] == [p.first for p in pieces] and rows[0][
        "clip"
    ] == "my_film_00000"
    assert len(ClipFolder(tmp_path / "out", 4, (24, 24)).paths) == len(pieces)


def test_fps_and_side_shrink_the_clips(film, tmp_path):
    options = ChopOptions(8, fps=5, side=24, kind="frames")
    seen = survey(film, options)
    assert (seen.frames, seen.fps, seen.size, seen.read) == (40, 5, (24, 32), 80)
    clips = write_pieces(film, tmp_path, seen, plan(seen, options), options)
    frames, fps = read_video(clips[0])
    assert frames.shape == (8, 24, 32, 3) and fps == 5
    faster = survey(film, ChopOptions(8, fps=50))
    assert faster.frames == 80 and faster.fps == 10 and "cannot be reached" in faster.notes[0]
    assert survey(film, ChopOptions(8, fps=7)).frames == 56


def test_a_video_that_shrank_since_the_survey_leaves_no_half_clip(film, tmp_path):
    options = ChopOptions(30, kind="mp4")
    seen = Survey(100, 10.0, (48, 64), (0,))
    with pytest.raises(InputFileError, match="has changed since"):
        write_pieces(film, tmp_path, seen, plan(seen, options), options)
    assert sorted(os.listdir(tmp_path)) == ["my_film_00000.mp4", "my_film_00001.mp4"]


@pytest.mark.parametrize(
    "options", [{"length": 0}, {"stride": -1}, {"length": 100, "stride": 5}, {"fps": -1.0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        ChopOptions(**options)


def test_the_tool_plans_writes_and_never_overwrites(film, tmp_path, capsys):
    out = tmp_path / "clips"
    arguments = [str(film), "--out", str(out), "--length", "16", "--scenes", "--kind", "gif"]
    assert command([*arguments, "--dry_run"]) == 0 and not out.exists()
    said = capsys.readouterr().out
    assert (
        "80 frames at 10 a second" in said
        and "4 scenes from frames 0, 30, 52, 60" in said
        and "3 clips, 48 frames used" in said
    )
    assert command(arguments) == 0
    before = {name: (out / name).read_bytes() for name in os.listdir(out)}
    assert len(before) == 4
    assert command(arguments) == 1 and "nothing is overwritten" in capsys.readouterr().err
    assert before == {name: (out / name).read_bytes() for name in os.listdir(out)}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing.mp4"], 3, "does not exist"),
        (["FILM", "--length", "300"], 3, "no video is 300 frames long"),
        (["FILM", "FILM"], 2, "two videos are called 'my film'"),
        (["FILM", "--length", "0"], 2, "length 0"),
        (["TEXT"], 3, "neither a video"),
    ],
)
def test_mistakes_are_one_sentence(film, tmp_path, capsys, arguments, code, words):
    (tmp_path / "a.txt").write_text("")
    places = {"FILM": str(film), "TEXT": str(tmp_path / "a.txt")}
    assert command([*(places.get(a, a) for a in arguments), "--out", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and words in error and not (tmp_path / "out").exists()
