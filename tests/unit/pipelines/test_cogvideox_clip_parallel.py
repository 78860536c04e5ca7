"""CogVideoX's clip-parallel runs: clips of latents, the plan, what is refused, one run by clips and
one by a queue, whose latents are decoded together.
"""

import mindspore as ms
import numpy as np
import pytest
from cogvideox_toys import VAE, folder

from mindlong.cli.compare_long import main as compare
from mindlong.cli.infer import command as infer
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.pipelines.clip_parallel.plan import latent_clips
from mindlong.utils.errors import ConfigError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("hub") / "cog")


def arguments(where, **more):
    own = {
        "pipeline": "clip_parallel",
        "weights": where,
        "prompt": "a red circle",
        "frames": 33,
        "size": "[16,24]",
        "clip_parallel.local": "window:3",
        "clip_parallel.spread": "",
        "sample.steps": 2,
        "sample.guidance": 1,
    }
    return [f"{key}={value}" for key, value in (own | more).items() if value is not None]


def clips(where, usual=9, **more):
    config = load(None, arguments(where, **more), InferConfig).values
    return [len(clip) for clip in latent_clips(config, usual, VAE)]


def test_clips_are_of_latents(published):
    assert clips(published) == [5, 4]
    assert clips(published, frames=0) == [3, 2]  # two clips of nine frames that share one
    assert clips(published, frames=0, **{"clip_parallel.lengths": "[2,2,1]"}) == [2, 2, 1]
    with pytest.raises(ConfigError, match="nearest are 25 and 33"):
        clips(published, frames=32)


def test_a_plan(published, capsys):
    assert infer([*arguments(published), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "33 frames (9 latents) 16x24 by exact: 2 clips of 4 or 5 frames" in said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"clip_parallel.strategy": "video_infinity", "clip_parallel.clips": 3},
            "belongs to UNets",
        ),
        ({"clip_parallel.scenes": "{0-3: a circle, 4-8: a square}", "prompt": None}, "one prompt"),
        ({"clip_parallel.text_reads": "window:3"}, "reads other frames from each"),
        ({"clip_parallel.strategy": "queue", "clip_parallel.stride": 9}, "so many latents between"),
    ],
)
def test_what_cannot_be_is_said(published, more, sentence, capsys):
    if more.get("clip_parallel.strategy"):
        more = {"clip_parallel.local": None, "clip_parallel.spread": None} | more
    if more.get("clip_parallel.strategy") == "queue":
        more |= {"clip_parallel.window": 9}
    assert infer([*arguments(published, **more), "--dry_run"]) != 0
    assert sentence in capsys.readouterr().err


def test_keys_of_joint_attention_are_not_for_unets(capsys):
    own = {"clip_parallel.places": "fold", "size": None, "clip_parallel.local": None}
    assert infer([*arguments("shipped:latent_shapes", **own), "--dry_run"]) != 0
    assert "clip_parallel.places is not read: text and video" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["exact", "queue"])
def test_a_run(published, strategy, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "cache"))
    before = ms.get_context("mode")
    more = {"formats": "[frames]", "output": tmp_path / "out", "clip_parallel.strategy": strategy}
    if strategy == "queue":
        more |= {"clip_parallel.local": None, "clip_parallel.spread": None}
        more |= {"clip_parallel.window": 4, "clip_parallel.stride": 2}
    assert infer(arguments(published, **more)) == 0
    ms.set_context(mode=before)
    run = next((tmp_path / "out").iterdir())
    assert len(list((run / "video").glob("*.png"))) == 33
    with np.load(run / "latents/video.npz") as held:
        assert held["latents"].shape == (4, 9, 4, 6) and np.isfinite(held["latents"]).all()


@pytest.mark.slow
def test_ways_to_a_long_video_are_compared(tmp_path, capsys):
    own = ["--weights", "shipped:cogvideox_shapes", "--clips", "2", "--out", str(tmp_path)]
    ways = ["--ways", "near, fold", "queue", "independent clips"]
    before = ms.get_context("mode")
    assert compare([*ways, *own, "sample.steps=2", "sample.guidance=1"]) == 0
    ms.set_context(mode=before)
    said = capsys.readouterr().out
    assert all(f"| {way} | 2 | 1 |" in said for way in ways[1:])
    assert len(list(tmp_path.glob("*/video.gif"))) == 3
