"""What is said of long videos: the truth scores well, and each fault is seen."""

import json

import numpy as np
import pytest

from mindlong.cli.evaluate_long import command, main
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_frames
from mindlong.pipelines.interpolate.key_frames import read_image
from mindlong.scores.long_score import score, table
from mindlong.utils.errors import ConfigError

SHAPES, COLOURS = ("circle", "square", "triangle"), ("red", "green", "blue", "yellow")
WORLD = ShapesWorld((48, 48), 46, shapes=SHAPES, colours=COLOURS)


def scored(frames, caption):
    return score(frames, caption, range(15, len(frames), 15), SHAPES, COLOURS)


def test_a_true_film_is_constant_smooth_and_has_no_joins():
    clip = WORLD.clip_of("a red circle moving right", 1)
    found = scored(clip.frames_FHWC, clip.caption)
    assert (
        found.constant
        and found.windows == 3
        and 0.8 < found.join < 1.2
        and found.bend < 0.5
        and found.moved > 15
    )


def test_another_colour_in_the_middle_a_jump_and_a_shaking_are_seen():
    red, blue = (
        WORLD.clip_of(f"a {c} circle moving right", 1).frames_FHWC for c in ("red", "blue")
    )
    mixed = np.concatenate([red[:15], blue[15:30], red[30:]])
    found = scored(mixed, "a red circle moving right")
    assert not found.constant and found.agreeing < 3 and found.worst > 2
    assert not found.coloured and scored(red, "a red square moving right").coloured
    assert not scored(red, "a red square moving right").constant
    shaken = red.copy()
    shaken[::2] = np.roll(shaken[::2], 2, axis=1)
    assert (
        scored(shaken, "a red circle moving right").bend
        > 4 * scored(red, "a red circle moving right").bend
    )


def test_joins_are_measured_against_the_usual_change():
    frames = (
        np.repeat((np.arange(31) * 2)[:, None, None, None], 48, 1)
        .repeat(48, 2)
        .repeat(3, 3)
        .astype(np.uint8)
    )
    frames[15] += 6
    found = scored(frames, "a red circle moving right")
    assert found.join == pytest.approx((8 + 4) / 2 / 2) and found.worst == pytest.approx(4)


def test_the_tool_prints_a_line_a_video_and_writes_numbers(tmp_path, capsys):
    captions = ["a red circle moving right", "a blue square moving up"]
    for i, caption in enumerate(captions):
        write_frames(tmp_path / "out" / f"video-{i:03d}", WORLD.clip_of(caption, i).frames_FHWC)
    (tmp_path / "out/video.json").write_text(json.dumps({"prompts": captions}))
    assert main([str(tmp_path / "out"), "--json", str(tmp_path / "s.json")]) == 0
    assert capsys.readouterr().out.count("windows agree") == 2
    assert json.loads((tmp_path / "s.json").read_text())["summary"]["constant"] == 1.0


def test_a_caption_of_what_the_reader_does_not_choose_from_is_refused(tmp_path):
    write_frames(tmp_path / "video-000", WORLD.clip_of("a red circle moving right", 1).frames_FHWC)
    for caption, said in (
        ("a red star moving up", "shapes"),
        ("a cyan circle moving up", "colours"),
    ):
        (tmp_path / "video.json").write_text(json.dumps({"prompts": [caption]}))
        with pytest.raises(ConfigError, match=f"none of the {said} that"):
            main([str(tmp_path)])


def test_several_folders_become_a_table_and_a_plot(tmp_path, capsys):
    for way in ("a", "b"):
        write_frames(
            tmp_path / way / "video-000", WORLD.clip_of("a red circle moving right", 1).frames_FHWC
        )
        (tmp_path / way / "video.json").write_text(
            json.dumps({"prompts": ["a red circle moving right"]})
        )
    folders = [str(tmp_path / way) for way in ("a", "b")]
    assert (
        main(
            [
                *folders,
                "--joins",
                "15",
                "0",
                "--names",
                "ours",
                "base",
                "--plot",
                str(tmp_path / "p.png"),
                "--sheet",
                str(tmp_path / "s.png"),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    all_of_one = "1 | 100 % (21 to 100) | 100 % (21 to 100) | 100 %"
    assert f"| ours | {all_of_one} |" in said and f"| base | {all_of_one} | 0 | 0 |" in said
    assert read_image(tmp_path / "p.png").shape[1] > 500
    assert read_image(tmp_path / "s.png").shape[0] > 2 * 48  # a row for each folder
    with pytest.raises(ConfigError, match="one each is needed"):
        main([*folders, "--joins", "1", "2", "3"])


@pytest.fixture
def short(tmp_path):
    """A folder of one video of two frames."""
    clip = WORLD.clip_of("a red circle moving right", 1)
    write_frames(tmp_path / "out/video-000", clip.frames_FHWC[:2])
    (tmp_path / "out/video.json").write_text(json.dumps([clip.caption]))
    return tmp_path / "out"


def test_a_path_too_short_to_bend_is_null_in_the_json(short):
    assert main([str(short), "--json", str(short / "s.json")]) == 0
    held = json.loads((short / "s.json").read_text())
    assert held["summary"]["bend"] is None and held["videos"][0]["bend"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}", "{}"], "2 folders are called"),
        (["{}", "{}/../out", "--names", "a", "a"], "2 folders are called 'a'"),
        (["{}", "--joins", "-15"], "joins is -15; it must be at least 0"),
        (["{}", "--colours", "blu"], "Did you mean 'blue'?"),
    ],
)
def test_arguments_that_lose_or_mean_nothing_are_refused(short, capsys, words, said):
    assert command([word.format(short) for word in words]) == 2
    assert said in capsys.readouterr().err


def test_captions_and_videos_that_cannot_be_measured_are_refused(short, capsys):
    write_frames(short / "video-001", WORLD.clip(1).frames_FHWC[:1])
    (short / "video.json").write_text(json.dumps(["a red circle", "a red circle"]))
    assert command([str(short)]) == 3
    assert f"{short / 'video-001'}: a long video has at least 2 frames" in capsys.readouterr().err
    (short / "video.json").write_text(json.dumps(["a red circle", "hello there"]))
    assert command([str(short)]) == 2
    assert "'hello there' does not name a shape and a colour" in capsys.readouterr().err


def test_the_table_is_rates_and_medians():
    clip = WORLD.clip_of("a red circle moving right", 1)
    good, bad = (
        scored(clip.frames_FHWC, clip.caption),
        scored(clip.frames_FHWC, "a blue circle moving right"),
    )
    found = table([good, bad])
    assert found["constant"] == 0.5 and found["agreeing"] == 0.5
    assert found["constant_low"] < 0.1 and found["constant_high"] > 0.9
    assert found["coloured"] == 0.5 and found["coloured_low"] == found["constant_low"]


def test_a_background_that_flickers_is_seen():
    clip = WORLD.clip_of("a red circle moving right", 1)
    still = scored(clip.frames_FHWC, clip.caption).background
    other = np.arange(len(clip.frames_FHWC))[:, None, None, None] % 2
    flickering = np.clip(clip.frames_FHWC.astype(int) + 4 * other, 0, 255).astype(np.uint8)
    assert scored(flickering, clip.caption).background > still + 3
