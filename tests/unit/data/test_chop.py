"""Cutting videos into clips: every frame where the plan says, no clip over a cut, nothing
overwritten.
"""

import csv
import os

import numpy as np
import pytest
from media_files import ffmpeg
from PIL import Image

from mindlong.cli.chop import command
from mindlong.data.chop import (
    ChopOptions,
    Piece,
    Survey,
    plan,
    rate_of,
    scene_cuts,
    survey,
    write_pieces,
)
from mindlong.data.chop_tree import write_tree
from mindlong.data.clips import ClipFolder
from mindlong.data.shapes import ShapesWorld
from mindlong.media.read import read_video
from mindlong.media.write import write_frames, write_video
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


@pytest.fixture
def short(tmp_path):
    """Twelve frames."""
    return write_video(
        tmp_path / "in" / "short.gif", ShapesWorld((16, 24), 12).clip(0).frames_FHWC, 10
    )


def test_letters_of_all_scripts_stay_and_names_that_meet_are_made_distinct(short, tmp_path, capsys):
    names = [
        "\u4e2d\u6587.gif",
        "\u65e5\u672c.gif",
        "caf\u00e9 1.gif",
        "caf\u00e9_1.gif",
        os.fsdecode(b"\xff.gif"),
    ]
    videos = []
    for name in names:
        videos.append(short.with_name(name))
        videos[-1].write_bytes(short.read_bytes())
    (tmp_path / "other").mkdir()
    videos.append(tmp_path / "other" / "\u4e2d\u6587.gif")
    videos[-1].write_bytes(short.read_bytes())
    out = tmp_path / "out"
    assert command([*map(str, videos), "--out", str(out), "--length", "6", "--kind", "gif"]) == 0
    stems = [
        "\u4e2d\u6587",
        "\u65e5\u672c",
        "caf\u00e9_1",
        "caf\u00e9_1_2",
        "video",
        "\u4e2d\u6587_2",
    ]
    wanted = {f"{s}_{n:05d}.gif" for s in stems for n in range(2)} | {
        f"{s}_clips.csv" for s in stems
    }
    assert set(os.listdir(out)) == wanted
    assert "its clips are called caf\u00e9_1_2, as caf\u00e9_1 is taken" in capsys.readouterr().out


@pytest.mark.parametrize(
    "there", ["short_00001.gif", "short_00000.txt", "short_clips.csv", "second_00000.gif"]
)
@pytest.mark.parametrize("dry", [True, False])
def test_all_outputs_are_checked_before_the_first_is_written(short, tmp_path, capsys, there, dry):
    second = short.with_name("second.gif")
    second.write_bytes(short.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    (out / there).write_text("mine")
    arguments = [str(short), str(second), "--out", str(out), "--length", "6", "--kind", "gif"]
    assert command([*arguments, "--caption", "x", *["--dry_run"] * dry]) == 1
    assert f"{there} exists, and nothing is overwritten" in capsys.readouterr().err
    assert os.listdir(out) == [there] and (out / there).read_text() == "mine"


def test_an_index_takes_the_place_of_an_index_only(short, tmp_path, capsys):
    arguments = [str(short), "--index", str(tmp_path / "i.json"), "--levels", "3,3"]
    assert command(arguments) == 0 and command(arguments) == 0
    before = short.read_bytes()
    assert command([str(short), "--index", str(short), "--levels", "3,3"]) == 1
    assert "is no index of nodes; nothing is overwritten" in capsys.readouterr().err
    assert short.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--index", "i.json", "--fps", "4"], "--fps has no effect with --index"),
        (["--index", "i.json", "--alpha_background", "red"], "--alpha_background has no effect"),
        (["--out", "o", "--tree", "2", "--scenes"], "--scenes has no effect with --tree"),
        (["--out", "o", "--levels", "4,4"], "--levels belongs to --index"),
        (["--out", "o", "--tree", "2", "--kind", "frames"], "a tree is of mp4 or gif"),
        (["--out", "o", "--alpha_background", "nocolour"], "--alpha_background is 'nocolour'"),
        ([], "--out is missing"),
    ],
)
def test_what_would_not_be_read_is_refused(short, capsys, arguments, words):
    assert command([str(short), *arguments]) == 2 and words in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder_is_a_sentence(short, tmp_path, capsys):
    (tmp_path / "o").write_text("mine")
    for more in (["--length", "6"], ["--tree", "3"]):
        assert command([str(short), "--out", str(tmp_path / "o"), *more]) == 1
        assert "o is no folder; give another --out" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_is_a_sentence(short, tmp_path, capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert command([str(short), "--out", str(tmp_path / "o"), "--length", "6"]) == 1
    error = capsys.readouterr().err
    assert "o cannot be written: Permission denied" in error and "Traceback" not in error


UNEVEN = [100] * 8 + [25] * 8


@pytest.fixture
def uneven(tmp_path):
    """Eight frames of a tenth of a second, eight of a fortieth."""
    frames = [Image.fromarray(np.full((16, 16, 3), 9 * i, np.uint8)) for i in range(16)]
    path = tmp_path / "uneven.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=UNEVEN)
    return path


def test_clips_of_an_uneven_video_keep_their_own_length(uneven, tmp_path):
    options = ChopOptions(8, kind="frames")
    seen = survey(uneven, options)
    assert seen.frames / seen.fps == pytest.approx(sum(shown(UNEVEN)) / 1000)
    assert any("for 20 to 100 ms" in note for note in seen.notes)
    rates = [
        read_video(clip)[1]
        for clip in write_pieces(uneven, tmp_path / "o", seen, plan(seen, options), options)
    ]
    assert rates == pytest.approx([10, 50], rel=0.01)
    rows = list(csv.DictReader((tmp_path / "o" / "uneven_clips.csv").read_text().splitlines()))
    assert [row["start_s"] for row in rows] == ["0.000", "0.800"]


def shown(delays):
    """GIF counts in hundredths."""
    return [10 * (d // 10) for d in delays]


def test_an_uneven_video_is_thinned_by_the_times_of_its_frames(uneven, tmp_path):
    options = ChopOptions(10, fps=10, least=1, kind="frames")
    seen = survey(uneven, options)
    assert seen.frames == 10 and seen.frames / seen.fps == pytest.approx(0.96)
    [clip] = write_pieces(uneven, tmp_path / "o", seen, plan(seen, options), options)
    kept = [round(frame[0, 0, 0] / 9) for frame in read_video(clip)[0]]
    assert kept == [0, 1, 2, 3, 4, 5, 6, 7, 8, 13]


def test_transparency_goes_to_the_colour_asked_for(tmp_path, capsys):
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (4, 4, 12, 12))
    other = image.copy()
    other.putpixel((8, 8), (255, 255, 255, 255))
    image.save(tmp_path / "a.gif", save_all=True, append_images=[other], duration=100, disposal=2)
    for colour, seen in ((), [255, 255, 255]), (("--alpha_background", "#00ff00"), [0, 255, 0]):
        out = tmp_path / f"o{len(colour)}"
        command(
            [
                str(tmp_path / "a.gif"),
                "--out",
                str(out),
                "--length",
                "2",
                "--kind",
                "frames",
                *colour,
            ]
        )
        frames, _ = read_video(out / "a_00000")
        assert frames[0, 0, 0].tolist() == seen and frames[0, 6, 6].tolist() == [0, 0, 0]
        assert "transparent parts are shown on" in capsys.readouterr().out


def test_a_playlist_is_never_followed(short, tmp_path, capsys):
    playlist = tmp_path / "harmless.mp4"
    playlist.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{short}\n#EXT-X-ENDLIST\n"
    )
    assert command([str(playlist), "--out", str(tmp_path / "o"), "--length", "2"]) == 3
    assert "is a playlist (HLS) that names other files" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_video_without_a_videos_name_is_taken_by_what_it_holds(short, tmp_path):
    short.rename(tmp_path / "film.bin")
    assert command([str(tmp_path / "film.bin"), "--out", str(tmp_path / "o"), "--length", "6"]) == 0


def test_a_tree_is_written_under_its_name_at_the_right_rate(short, tmp_path):
    folder = short.with_name("\u4e2d.gif")
    short.rename(folder)
    assert command([str(folder), "--out", str(tmp_path / "o"), "--tree", "3", "--kind", "gif"]) == 0
    clip = tmp_path / "o" / "\u4e2d" / "scenario_0" / "depth_0" / "part_0" / "subset_0.gif"
    assert read_video(clip)[1] == pytest.approx(10)


def test_the_seeds_word_for_a_tree_is_understood(short, tmp_path, monkeypatch):
    """video_chop.py VIDEO --L N, which wrote to ./VIDEO/scenario_0."""
    monkeypatch.chdir(tmp_path)
    assert command([str(short), "--L", "3"]) == 0
    assert list((tmp_path / short.stem / "scenario_0").rglob("subset_0.mp4"))
    assert short.exists()


def test_a_tree_of_a_frame_folder_keeps_what_stands_behind_a_dot(tmp_path):
    frames = ShapesWorld((16, 24), 9).clip(0).frames_FHWC
    write_frames(tmp_path / "scene_0.5", frames)
    (clip, *_) = write_tree(tmp_path / "scene_0.5", tmp_path / "o", 9, 3, "gif")
    assert clip.relative_to(tmp_path / "o").parts[0] == "scene_0_5"


@pytest.mark.parametrize(
    "stamp",
    ["if(lt(N,20),N*100,1900)", "if(lt(N,20),N*100,N*100-1500)"],
    ids=["repeat", "go back"],
)
def test_times_that_repeat_or_go_back_are_taken_for_even(tmp_path, stamp):
    """As is said when such a video is opened."""
    plain, path = tmp_path / "plain.mkv", tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32:r=10:d=4", "-c:v", "mjpeg", str(plain))
    ffmpeg("-i", str(plain), "-c", "copy", "-bsf:v", f"setts=ts='{stamp}'", str(path))
    found = survey(path, ChopOptions(length=10))
    assert found.frames == 40 and not found.times
    assert any("even spacing is assumed" in note for note in found.notes)
    pieces = plan(found, ChopOptions(length=10))
    assert {rate_of(piece, found) for piece in pieces} == {found.fps}
