"""infer.py with the interpolation pipeline: files in, files out, from flow and from networks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindlong.cli.evaluate_interpolation import command as evaluate
from mindlong.cli.infer import command
from mindlong.data.agreement import agreed
from mindlong.data.flow import blend, fill_between, warp_flow
from mindlong.media.deflicker import deflickered
from mindlong.media.read import probe, read_video
from mindlong.media.write import write_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import latent_toys  # noqa: E402

FLOW = str(Path(__file__).parents[2] / "configs/infer/interpolate.yaml")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("toy") / "base")


@pytest.fixture
def video(tmp_path):
    """9 frames of 16 x 24 at 4 a second, bit for bit."""
    y, x = np.mgrid[:16, :24]
    frames = [
        np.repeat(((x * 9 + y * 5 + 12 * i) % 256).astype(np.uint8)[..., None], 3, -1)
        for i in range(9)
    ]
    return write_frames(tmp_path / "in", np.stack(frames), 4)


def made(tmp_path):
    (folder,) = (tmp_path / "out").iterdir()
    return folder, json.loads((folder / "video.json").read_text())


def test_one_command_raises_the_frame_rate(tmp_path, video):
    """`video=` and `factor=` need not name their section."""
    assert (
        command(
            [
                "--config",
                FLOW,
                f"video={video}",
                "factor=3",
                "method=blend",
                "formats=[frames, mp4]",
                f"output={tmp_path / 'out'}",
            ]
        )
        == 0
    )
    folder, record = made(tmp_path)
    frames, fps = read_video(folder / "video")
    assert fps == 12 and np.array_equal(
        frames, np.stack(list(fill_between(read_video(video)[0], 3, blend)))
    )
    assert (record["frames"], record["fps"], probe(folder / "video.mp4").frames) == (25, 12, 25)


def test_what_is_written_flickers_less_where_that_is_asked_for(tmp_path, video):
    arguments = ["--config", FLOW, f"video={video}", "factor=2", "method=blend", "deflicker=2"]
    assert command([*arguments, "formats=[frames]", f"output={tmp_path / 'out'}"]) == 0
    plain = fill_between(read_video(video)[0], 2, blend)
    assert np.array_equal(
        read_video(made(tmp_path)[0] / "video")[0], np.stack(list(deflickered(plain, 2)))
    )


@pytest.mark.slow
def test_networks_fill_a_video_in_windows_and_keep_its_latents(tmp_path, toy, video):
    """A network that reads no hints, its given frames pinned; the same command again makes nothing
    new.
    """
    arguments = [
        "pipeline=interpolate",
        f"weights={toy}",
        f"video={video}",
        "factors=[2,2]",
        "window=5",
        "sample.steps=2",
        "formats=[frames]",
        "batch=2",
        "chunk=4",
        f"output={tmp_path / 'out'}",
    ]
    assert command(arguments) == 0
    folder, record = made(tmp_path)
    frames, fps = read_video(folder / "video")
    assert frames.shape == (33, 16, 24, 3) and fps == 16 and record["factors"] == [2, 2]
    names = [
        json.loads(line)["job"]
        for line in (folder / "jobs/video/journal-0000.jsonl").read_text().splitlines()
    ]
    assert [
        sum(name.startswith(stage) for name in names) for stage in ("keys", "stage1", "stage2")
    ] == [3, 4, 8]


def doubled(toy, video):
    """The words of a run that puts a frame between any two."""
    pairs = ("factor=2", "sample.steps=2", "formats=[frames]")
    return ["pipeline=interpolate", f"weights={toy}", f"video={video}", *pairs]


@pytest.mark.slow
def test_detail_of_flow_keeps_the_given_frames_and_what_both_show(tmp_path, toy, video):
    arguments = doubled(toy, video)
    shown = {}
    for detail in ("network", "flow"):
        out = tmp_path / detail / "out"
        assert command([*arguments, f"detail={detail}", f"output={out}"]) == 0
        shown[detail] = read_video(made(tmp_path / detail)[0] / "video")[0]
    given = read_video(video)[0]
    flow = list(fill_between(given, 2, warp_flow))
    assert np.array_equal(shown["flow"][::2], given)
    assert np.array_equal(shown["flow"][1], agreed(shown["network"][1], flow[1]))
    assert not np.array_equal(shown["network"][::2], given)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(tmp_path, toy, video):
    arguments = [
        *doubled(toy, video),
        "window=5",
        f"output={tmp_path / 'out'}",
    ]
    assert command(arguments) == 0
    folder, _ = made(tmp_path)
    first, journal = read_video(folder / "video")[0], folder / "jobs/video/journal-0000.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]))  # as if killed before the last two windows
    (folder / "video.json").unlink()
    assert command(arguments) == 0
    assert len(journal.read_text().splitlines()) == len(lines)
    assert np.array_equal(read_video(made(tmp_path)[0] / "video")[0], first)


@pytest.mark.slow
def test_key_frames_from_a_prompt_and_from_latents(tmp_path, toy):
    common = [
        "pipeline=interpolate",
        f"weights={toy}",
        "factor=2",
        "sample.steps=2",
        "formats=[frames]",
        "size=[16,16]",
    ]
    assert (
        command(
            [*common, "prompt=a red circle", "interpolate.keys=3", f"output={tmp_path / 'out'}"]
        )
        == 0
    )
    assert read_video(made(tmp_path)[0] / "video")[0].shape == (5, 16, 16, 3)
    np.savez(
        tmp_path / "keys.npz",
        latents=np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32),
    )
    assert (
        command(
            [*common[:-1], f"key_latents={tmp_path / 'keys.npz'}", f"output={tmp_path / 'out2'}"]
        )
        == 0
    )


@pytest.mark.slow
def test_key_frames_are_every_nth_of_a_longer_clip(tmp_path, toy):
    shown = {}
    for keys, stride in ((5, 1), (3, 2)):
        assert (
            command(
                [
                    "pipeline=interpolate",
                    f"weights={toy}",
                    "factor=2",
                    "sample.steps=2",
                    "formats=[frames]",
                    "size=[16,16]",
                    "prompt=a red circle",
                    f"interpolate.keys={keys}",
                    f"interpolate.key_stride={stride}",
                    f"output={tmp_path / str(stride) / 'out'}",
                ]
            )
            == 0
        )
        folder, record = made(tmp_path / str(stride))
        shown[stride] = read_video(folder / "video")[0][::2]
        assert record["prompts"] == [{"prompt": "a red circle"}]
    assert np.array_equal(shown[2], shown[1][::2])


def image(path, size):
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (["video={video}", "factor=1"], 2, "factor is 1; a factor is at least 2"),
        (["video={video}", "images=[{a},{b}]"], 2, "both given"),
        (["images=[{a},{b}]"], 3, "key frame 1 is 16x24, the one before 16x16"),
        (["images=[{a}]"], 2, "at least 2 key frames"),
        (["method=flow"], 2, "needs interpolate.video or interpolate.images"),
        (["keys=1", "method=diffusion"], 2, "keys is 1; interpolation needs at least 2"),
        (["video={missing}"], 3, "does not exist"),
        (
            ["video={video}", "window=3", "method=diffusion", "weights=shipped:latent_shapes"],
            2,
            "window is 3; one gap at factor 4 already takes 5 frames",
        ),
        (["video={video}", "frames=99"], 2, "give 33"),
        (["video={video}", "detail=flow"], 2, "interpolate.detail is not read"),
        (["method=diffusion", "weights=w", "detail=flow"], 2, "interpolate.detail is not read"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, video, change, code, words, capsys):
    names = {
        "video": video,
        "missing": tmp_path / "none.mp4",
        "a": image(tmp_path / "a.png", (16, 16)),
        "b": image(tmp_path / "b.png", (16, 24)),
    }
    arguments = [part.format(**names) for part in change]
    assert (
        command(["--config", FLOW, "--dry_run", f"output={tmp_path / 'out'}", *arguments]) == code
    )
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1


def test_the_dry_run_says_the_chain(video, toy, capsys):
    assert (
        command(
            [
                "pipeline=interpolate",
                f"weights={toy}",
                f"video={video}",
                "factors=[4,4]",
                "window=9",
                "--dry_run",
            ]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "129 frames at 64 frames a second" in told and "9 of 16x24 at 4 frames a second" in told
    assert "reads no hints" in told and "129 frames in" in told


@pytest.mark.slow
def test_the_evaluation_ranks_methods_and_measures_networks(tmp_path, toy, video, capsys):
    arguments = [
        "--shapes",
        "2",
        "--size",
        "32",
        "32",
        "--frames",
        "6",
        "--methods",
        "repeat",
        "blend",
        "--weights",
        str(toy),
        "--steps",
        "2",
        "--detail",
        "network",
        "flow",
        "--json",
        str(tmp_path / "scores.json"),
        str(video),
    ]
    assert evaluate(arguments) == 0
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["videos"]["in"]["blend"]["frames"] == 6 and set(found["shapes"]) == {
        "truth",
        "repeat",
        "blend",
        "network",
        "network and flow",
    }
    assert found["shapes"]["truth"]["psnr"] == 100 and found["shapes"]["truth"]["position"] < 0.5
    assert "network" in capsys.readouterr().out
    assert evaluate(["--every", "1", str(video)]) == 2 and evaluate([]) == 2
    assert evaluate(["--detail", "flow", "--shapes", "1"]) == 2


@pytest.mark.parametrize("given", ["inside", "before"])
@pytest.mark.slow
def test_a_picture_and_a_video_are_continued(tmp_path, toy, video, given):
    """Random networks without hints take given frames inside their runs only; the video's own
    frames stay as they are.
    """
    arguments = [
        "pipeline=extend",
        f"weights={toy}",
        f"video={video}",
        f"given={given}",
        "frames=5",
        "extend.run=4",
        "overlap=2",
        "sample.steps=2",
        "formats=[frames]",
        f"output={tmp_path / 'out'}",
    ]
    if given == "before":
        assert command(arguments) == 2
        return
    assert command(arguments) == 0
    frames, fps = read_video(made(tmp_path)[0] / "video")
    assert frames.shape == (14, 16, 24, 3) and fps == 4
    assert np.array_equal(frames[:7], read_video(video)[0][:7])
    picture = image(tmp_path / "a.png", (16, 16))
    assert (
        command(
            [
                "pipeline=extend",
                f"weights={toy}",
                f"images=[{picture}]",
                "frames=3",
                "extend.run=3",
                "sample.steps=2",
                "formats=[frames]",
                f"output={tmp_path / 'out2'}",
            ]
        )
        == 0
    )
