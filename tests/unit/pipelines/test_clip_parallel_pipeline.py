"""infer.py pipeline=clip_parallel from prompt to file: clips cannot be seen in it, a stopped run
goes on, all strategies run.
"""

import gc
import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from latent_toys import folder

from mindlong.cli.infer import main
from mindlong.media.read import read_video
from mindlong.ops import device
from mindlong.pipelines.clip_parallel import run as clip_parallel_run
from mindlong.pipelines.clip_parallel.plan import mixed, mixture, mixture_of

COMMON = [
    "pipeline=clip_parallel",
    "prompt=a",
    "frames=6",
    "size=[8,12]",
    "env.mode=pynative",
    "env.native='off'",
    "formats=[gif,png]",
    "sample.steps=3",
]
EXACT = ["local='window:3'", "spread='spread:2'"]


@pytest.fixture(autouse=True)
def _in_order():
    ms.set_context(pynative_synchronize=True)
    yield
    ms.set_context(pynative_synchronize=False)
    device.configure()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("weights"), "videocrafter2")


def run(weights, out, *pairs):
    own = [] if any(pair.startswith("strategy=") for pair in pairs) else EXACT
    assert main([*COMMON, *own, f"weights={weights}", f"output={out}", *pairs]) == 0
    made = sorted(out.glob("0*"))[-1]
    return made, np.load(made / "latents" / "video.npz")["latents"]


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory):
    ms.set_context(pynative_synchronize=True)
    return run(
        weights, tmp_path_factory.mktemp("whole"), "clips=1", "sample.sampler=dpm_solver_sde"
    )


@pytest.mark.parametrize("clips", ["clips=3", "lengths=[1,4,1]"])
@pytest.mark.slow
def test_clips_cannot_be_seen_in_the_video(weights, tmp_path, whole, clips):
    made, latents = run(weights, tmp_path, clips, "sample.sampler=dpm_solver_sde")
    assert (
        latents.shape == (4, 6, 4, 6) and np.abs(latents - whole[1]).max() <= 1e-5 * whole[1].std()
    )
    frames, _ = read_video(made / "video.gif")
    assert frames.shape == (6, 8, 12, 3) and (made / "contact_sheet.png").exists()
    record = json.loads((made / "video.json").read_text())
    assert record["frames"] == 6 and sum(record["clips"]) == 6 and record["processes"] == 1
    assert not (made / ".work").exists()


@pytest.mark.slow
def test_frames_share_the_low_frequencies_of_their_noise_whatever_the_clips(weights, tmp_path):
    asked = ("sample.steps=1", "shared_low=0.01", "formats=[gif]")
    one = run(weights, tmp_path, "clips=1", *asked)[1]
    two = run(weights, tmp_path, "clips=2", *asked)[1]
    plain = run(weights, tmp_path, "clips=1", *asked[::2])[1]
    assert np.abs(one - two).max() <= 1e-5 * one.std()
    assert np.abs(one - plain).max() > 0.01


@pytest.mark.parametrize("sampler", ["dpm_solver_sde", "ddim"])
@pytest.mark.slow
def test_a_stopped_run_goes_on_after_the_last_saved_step(weights, tmp_path, monkeypatch, sampler):
    pairs = [
        "clips=2",
        f"sample.sampler={sampler}",
        *(["sample.eta=1"] if sampler == "ddim" else []),
        "save_every=1",
        "sample.steps=4",
    ]
    _, want = run(weights, tmp_path / "a", *pairs)
    whole_after = clip_parallel_run._Told.after

    def stopped(self, steps, *rest):
        whole_after(self, steps, *rest)
        if steps == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(clip_parallel_run._Told, "after", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(weights, tmp_path / "b", *pairs)
    gc.collect()  # the lock on the folder goes with the run
    assert [p.name for p in (tmp_path / "b/0001/.work/steps").iterdir()] == ["000002"]
    monkeypatch.setattr(clip_parallel_run._Told, "after", whole_after)
    made, latents = run(weights, tmp_path / "b", *pairs)
    assert made.name == "0001" and np.array_equal(latents, want)
    assert "going on after step 2 of 4" in (made / "log.txt").read_text()


QUICK = [  # the others are those that test_every_key.py runs
    ["strategy=free_noise", "window=4", "stride=2"],
    ["strategy=independent", "clips=2"],
]
STRATEGIES = [
    *QUICK,
    ["scenes={0-2: a, 3-5: b}", "prompt=", "blend=2", "sample.guidance=2", "negative=c"],
    [
        "strategy=video_infinity",
        "clips=1",
        "padding=2",
        "top_k=2",
        "late=[30,10,0]",
        "early=[30,0,10]",
    ],
    ["strategy=windows", "window=4", "stride=2"],
]


@pytest.fixture(scope="module")
def one_step(weights, tmp_path_factory):
    return run(weights, tmp_path_factory.mktemp("one"), "clips=1", "sample.steps=1")[1]


@pytest.mark.parametrize("strategy", QUICK)
def test_a_strategy_makes_a_video_of_its_own(weights, tmp_path, one_step, strategy):
    _, latents = run(weights, tmp_path, *strategy, "sample.steps=1")
    assert latents.shape == one_step.shape and np.isfinite(latents).all()
    assert np.abs(latents - one_step).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_makes_a_video_of_its_own_in_several_steps(
    weights, tmp_path, whole, strategy
):
    _, latents = run(weights, tmp_path, *strategy)
    assert latents.shape == whole[1].shape and np.isfinite(latents).all()
    assert np.abs(latents - whole[1]).max() > 1e-2


@pytest.mark.slow
def test_two_passes_are_one_batch_of_two(weights, tmp_path):
    pairs = ["strategy=independent", "clips=2", "frames=4", "sample.steps=1"]
    pairs += ["sample.guidance=3", "negative=b"]
    outs = [
        run(weights, tmp_path / name, *pairs, f"two_passes={name}")[1] for name in ("false", "true")
    ]
    assert np.abs(outs[0] - outs[1]).max() <= 1e-5 * outs[0].std()


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["clips=7"], "6 frames cannot be spread over 7 clips"),
        (["lengths=[3,4]"], "add up to 7 frames; frames is 6"),
        (["strategy=video_infinity", "clips=4"], "needs a multiple of the 4 clips"),
        (
            ["strategy=video_infinity", "clips=3"],
            "padding is 8; the original needs 1 to the 2 frames",
        ),
        (["strategy=windows", "window=4", "stride=9"], "stride is 9"),
        (["local='windw:3'"], "clip_parallel.local"),
        (["early=[3]"], "must be [t, near, far]"),
        (["scenes={0-2: a}", "prompt="], "the ranges end with frame 2"),
        (["prompt="], "nothing to make"),
    ],
)
def test_what_cannot_be_is_one_sentence(weights, tmp_path, pairs, said, capsys):
    from mindlong.cli.infer import command

    assert command(["--dry_run", *COMMON, f"weights={weights}", f"output={tmp_path}", *pairs]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_long_video_is_planned_without_running(weights, tmp_path, capsys):
    assert (
        main(
            [
                "--dry_run",
                *COMMON,
                f"weights={weights}",
                f"output={tmp_path}",
                "frames=2304",
                "clips=144",
                "local='window:17'",
                "spread='spread:16'",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "2304 frames 8x12 by exact: 144 clips of 16 frames" in said and "host memory" in said
    assert not list(tmp_path.iterdir())


def test_prompts_are_mixed_by_their_vectors():
    encoded = {"a": np.zeros((2, 3), np.float32), "b": np.ones((2, 3), np.float32)}
    assert mixed(mixture(["a"] * 4, 2), encoded).shape == (1, 2, 3)
    np.testing.assert_allclose(mixed(mixture(list("aabb"), 1), encoded)[:, 0, 0], [0, 0, 0.5, 1])
    own = SimpleNamespace(scenes={"0": "a", "4": "b"}, blend=0)
    rows = mixture_of(SimpleNamespace(clip_parallel=own), ["a"] * 6)
    np.testing.assert_allclose(mixed(rows, encoded)[:, 0, 0], [0, 0.25, 0.5, 0.75, 1, 1])
