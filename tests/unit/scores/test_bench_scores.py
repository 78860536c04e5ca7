"""Scores of videos: the Frechet distance, VBench's formulas on videos whose scores are known, and
the tool that compares folders.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

from mindlong.cli.compare_videos import main
from mindlong.media.write import write_frames, write_video
from mindlong.scores import bench, intervals
from mindlong.scores.frechet import frechet_distance
from mindlong.utils.errors import ConfigError, InputFileError

RNG = np.random.default_rng(0)


def published(a, b):
    """The distance as pytorch-fid and its followers compute it, by scipy's root of a matrix."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.asarray(linalg.sqrtm(cov_a @ cov_b))
    difference = a.mean(0) - b.mean(0)
    return difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root.real)


@pytest.mark.parametrize("width", [2, 16, 64])
def test_the_distance_is_the_published_one(width):
    a = RNG.standard_normal((200, width))
    b = RNG.standard_normal((150, width)) @ RNG.standard_normal((width, width)) * 0.3 + 0.5
    want = published(a, b)
    assert abs(frechet_distance(a, b) - want) <= 1e-6 * max(1, want)


def test_the_distance_of_known_sets():
    a = RNG.standard_normal((50, 8))
    assert frechet_distance(a, a) < 1e-9
    assert frechet_distance(a, a + 2.0) == pytest.approx(8 * 4.0)
    few = RNG.standard_normal((3, 40))  # fewer samples than features
    assert frechet_distance(few, few + 1) == pytest.approx(40.0)
    assert frechet_distance(a, 2 * a) == pytest.approx(frechet_distance(2 * a, a))


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.zeros((3, 4)), np.zeros((3, 5)), "shapes"),
        (np.zeros((1, 4)), np.zeros((3, 4)), "at least 2"),
        (np.full((3, 4), np.nan), np.zeros((3, 4)), "not finite"),
    ],
)
def test_what_cannot_be_compared(a, b, said):
    with pytest.raises(ConfigError, match=said):
        frechet_distance(a, b)


def square_at(places, size=48):
    frames = np.full((len(places), size, size, 3), 30, np.uint8)
    texture = np.random.default_rng(1).integers(60, 255, (16, 16, 3), dtype=np.uint8)
    for frame, (y, x) in zip(frames, places, strict=True):
        frame[y : y + 16, x : x + 16] = texture
    return frames


def test_a_still_video_is_steady_and_not_dynamic():
    found = bench.scores(square_at([(10, 10)] * 6))
    assert found["temporal_flickering"] == found["motion_smoothness"] == 1.0
    assert found["dynamic"] == 0.0 and found["motion_pixels"] < 0.1


def test_motion_is_measured_in_pixels_and_even_motion_is_smooth():
    even = square_at([(10, 4 + 3 * n) for n in range(8)])
    shaken = square_at([(10, 4 + 3 * n + (6 if n % 2 else 0)) for n in range(8)])
    assert bench.motion(even).mean() == pytest.approx(3.0, abs=0.5)
    assert bench.smoothness(even) > bench.smoothness(shaken) + 0.01
    assert bench.is_dynamic(bench.motion(even), 8, (48, 48))
    assert not bench.is_dynamic(bench.motion(even), 8, (480, 480))


def test_flicker_is_the_mean_change():
    frames = np.zeros((5, 4, 4, 3), np.uint8)
    frames[1::2] = 51
    assert bench.steadiness(frames) == pytest.approx(0.8)
    assert bench.steadiness(frames[:1]) == bench.smoothness(frames[:2]) == 1.0


def test_consistency_is_vbench_s():
    units = np.array([[1.0, 0], [0.6, 0.8], [-1.0, 0]])
    want = np.mean([(0.6 + 0.6) / 2, (0 + 0) / 2])
    assert bench.consistency(units) == pytest.approx(want)
    assert bench.consistency(units[:1]) == 1.0


def test_drift_sees_a_slow_change():
    angles = np.linspace(0, np.pi / 2, 64)
    units = np.stack([np.cos(angles), np.sin(angles)], 1)
    cosines = bench.drift(units)
    assert cosines[0] == pytest.approx(1) and np.all(np.diff(cosines) < 0) and cosines[-1] < 0.3


def test_joins_are_seen():
    frames = np.concatenate([np.full((8, 8, 8, 3), shade, np.uint8) for shade in (10, 90)])
    frames[::2] += 1
    assert bench.scores(frames, joints=[8])["seam"] > 10


def test_intervals_hold_the_mean_and_shrink():
    few, many = RNG.normal(5, 1, 10), RNG.normal(5, 1, 1000)
    narrow, wide = intervals.of_mean(many), intervals.of_mean(few)
    assert narrow.low < many.mean() < narrow.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    apart = intervals.of_difference([0.0] * 20, [1.0] * 20)
    assert (apart.mean, apart.low, apart.high) == (1.0, 1.0, 1.0)


@pytest.fixture
def folders(tmp_path):
    for name, step in (("a", 1), ("b", 4)):
        (tmp_path / name).mkdir()
        for number in range(3):
            places = [(8 + number, 2 + step * n) for n in range(6)]
            write_video(tmp_path / name / f"{number}.mp4", square_at(places), 8)
    write_video(tmp_path / "b" / "0.gif", square_at(places), 8)
    return tmp_path


def test_folders_are_compared(folders, capsys):
    for name, shift in (("fa", 0.0), ("fb", 1.0)):
        np.save(folders / f"{name}.npy", np.random.default_rng(3).standard_normal((9, 4)) + shift)
    features = ["--features", str(folders / "fa.npy"), str(folders / "fb.npy")]
    files = ["--json", str(folders / "s.json"), "--plot", str(folders / "s.png")]
    assert main([str(folders / "a"), str(folders / "b"), "--joints", "3", *features, *files]) == 0
    held = json.loads((folders / "s.json").read_text())
    assert held["distances"]["frechet_features"] == pytest.approx(4.0)
    moved = held["compared"]["motion_pixels"]["B - A"]
    assert 2 < moved["low"] <= moved["mean"] <= moved["high"] < 4
    assert sorted(map(len, held["videos"].values())) == [3, 3]
    assert all(path.endswith("mp4") for path in held["videos"]["B"])
    assert (folders / "s.png").stat().st_size > 2000
    assert "frechet_features" in capsys.readouterr().out


def test_bad_input_is_a_sentence(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.npy").write_bytes(b"no array")
    a, b = str(folders / "a"), str(folders / "b")
    for arguments, said in (
        ([a, str(tmp_path / "empty")], "holds no clip"),
        ([a, str(tmp_path / "none")], "is no folder"),
        (
            [a, b, "--features", str(tmp_path / "bad.npy"), str(tmp_path / "bad.npy")],
            "cannot be read",
        ),
    ):
        with pytest.raises(InputFileError, match=said):
            main(arguments)
    with pytest.raises(ConfigError, match="joints"):
        main([a, b, "--joints", "-1"])
    with pytest.raises(ConfigError, match="--tokenizer belongs to --clip"):
        main([a, b, "--tokenizer", "nowhere"])


def test_frame_folders_whose_names_differ_behind_a_dot_are_videos_of_their_own(tmp_path):
    for name in ("scene_0.5", "scene_0.7"):
        write_frames(tmp_path / "a" / name, square_at([(10, 10)] * 4))
    write_video(tmp_path / "a" / "scene_0.7.mp4", square_at([(10, 10)] * 4), 8)
    whole = [str(tmp_path / "a")] * 2
    assert main([*whole, "--json", str(tmp_path / "s.json")]) == 0
    videos = json.loads((tmp_path / "s.json").read_text())["videos"]["A"]
    assert sorted(Path(path).name.removesuffix(".mp4") for path in videos) == [
        "scene_0.5",
        "scene_0.7",
    ]


@pytest.fixture
def run(tmp_path):
    """A run's folder with everything that runs keep beside their videos."""
    still = square_at([(10, 10)] * 4)
    for name in ("video.mp4", "levels/video-level-0.mp4", "source.mp4"):
        write_video(tmp_path / "runs/0001" / name, still, 8)
    for name in ("preview", "source"):
        write_frames(tmp_path / "runs/0001" / name, still)
    (tmp_path / "runs/0001/run.json").write_text("{}")
    return tmp_path / "runs/0001"


@pytest.mark.parametrize("named", [".", ".."])
def test_what_a_run_keeps_beside_its_videos_is_none(run, tmp_path, named):
    files = ["--json", str(tmp_path / "s.json")]
    assert main([str(run / named), str(run / named), *files]) == 0
    videos = json.loads((tmp_path / "s.json").read_text())["videos"]["A"]
    assert [Path(path).name for path in videos] == ["video.mp4"]


def test_what_is_named_itself_and_what_is_no_run_is_taken_as_it_is(run, tmp_path):
    files = ["--json", str(tmp_path / "s.json")]
    assert main([str(run / "levels"), str(run / "preview"), *files]) == 0
    (run / "run.json").unlink()
    assert main([str(run), str(run), *files]) == 0
    videos = json.loads((tmp_path / "s.json").read_text())["videos"]["A"]
    assert sorted(Path(path).name for path in videos) == [
        "preview",
        "source.mp4",
        "video-level-0.mp4",
        "video.mp4",
    ]


def test_a_run_that_has_made_no_video_yet_is_a_sentence(run):
    (run / "video.mp4").unlink()
    with pytest.raises(InputFileError, match="holds no video that a run has made"):
        main([str(run), str(run)])


def test_a_first_video_without_a_joint_hides_no_seam(folders):
    write_video(folders / "a" / "0.mp4", square_at([(10, 10)] * 3), 8)
    asked = [str(folders / "a"), str(folders / "b"), "--joints", "3"]
    assert main([*asked, "--json", str(folders / "s.json")]) == 0
    held = json.loads((folders / "s.json").read_text())
    assert held["compared"]["seam"]["A"]["mean"] > 0
    assert sum("seam" in row for row in held["videos"]["A"].values()) == 2


@pytest.mark.parametrize("short", ["a", "b", "both"])
def test_a_folder_without_a_joint_is_named(folders, short):
    write_video(folders / "both" / "0.mp4", square_at([(10, 10)] * 3), 8)
    long = [str(folders / "a"), str(folders / "both")]
    asked = {"a": long[::-1], "b": long, "both": [long[1]] * 2}[short]
    with pytest.raises(ConfigError, match="no video of .*both has more than 3 frames"):
        main([*asked, "--joints", "3", "--json", str(folders / "s.json")])
    assert not (folders / "s.json").exists()


def test_a_score_that_is_no_number_is_null_in_the_json(folders):
    write_video(folders / "c" / "0.mp4", square_at([(10, 10)] * 2), 8)
    asked = [str(folders / "c")] * 2
    assert main([*asked, "--joints", "1", "--json", str(folders / "s.json")]) == 0
    (row,) = json.loads((folders / "s.json").read_text())["videos"]["A"].values()
    assert row["seam"] is None
