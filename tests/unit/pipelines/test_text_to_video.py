"""Latent text to video, from a configuration to files, with tiny random networks."""

import json
import shutil

import numpy as np
import pytest
from latent_toys import folder

from mindlong.cli.infer import command, plan
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.sample import FLAVOURS, SAMPLERS, SPACINGS, SampleOptions
from mindlong.diffusion import samplers
from mindlong.diffusion.samplers import spacing
from mindlong.media.read import read_video
from mindlong.pipelines import results
from mindlong.pipelines.clips import Clip, first_noise
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.text_to_video.guided import TextToVideo

MODE = "pynative"

SHAPE = (4, 4, 6, 6)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("t2v") / "tiny")


@pytest.fixture(scope="module")
def model(where):
    return load_latent_model(str(where), LatentModelOptions())


def clip(number, *prompts):
    return Clip(f"video-{number:03d}", prompts, " / ".join(prompts), 7, number)


def made(model, clips, **options):
    own = {key: options.pop(key) for key in ("negative", "two_passes") if key in options}
    sample = SampleOptions(**{"steps": 3, "guidance": 2.0, **options})
    return TextToVideo(model, sample, **own).latents(clips, first_noise(clips, SHAPE))


@pytest.mark.slow
def test_a_video_does_not_depend_on_its_batch_nor_on_how_guidance_asks(model):
    one, two = clip(0, "a cat"), clip(1, "a dog")
    both = made(model, [one, two])
    assert both.shape == (2, *SHAPE) and np.isfinite(both).all()
    np.testing.assert_allclose(made(model, [two])[0], both[1], atol=2e-5)
    np.testing.assert_allclose(made(model, [one, two], two_passes=True), both, atol=2e-5)
    assert np.abs(made(model, [one, two], negative="a dog") - both).max() > 1e-3
    assert np.abs(made(model, [one, two], guidance=1.0) - both).max() > 1e-3


@pytest.mark.slow
def test_frames_can_have_prompts_of_their_own(model):
    whole, split = (
        made(model, [clip(0, "a cat")])[0],
        made(model, [clip(0, "a cat", "a cat", "a dog", "a dog")])[0],
    )
    same = made(model, [clip(0, *["a cat"] * 4)])[0]
    np.testing.assert_allclose(same, whole, atol=2e-5)
    assert np.abs(split - whole).max() > 1e-3
    mixed = made(model, [clip(0, "a cat"), clip(1, "a cat", "a cat", "a dog", "a dog")])
    np.testing.assert_allclose(mixed[0], whole, atol=2e-5)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.slow
def test_every_sampler_can_be_named(model, name):
    steps = 4 if name == "pndm" else 3  # as few as its Runge-Kutta steps take
    latents = made(model, [clip(0, "a cat")], sampler=name, steps=steps)
    assert latents.shape == (1, *SHAPE) and np.isfinite(latents).all()


def test_the_words_of_the_configuration_are_those_of_the_samplers():
    assert set(SAMPLERS) == {"", *samplers.SAMPLERS}
    words = {word for each in samplers.SAMPLERS.values() for word in each.flavours}
    assert set(FLAVOURS) == {"", *words} and set(SPACINGS) == {"", *spacing.SPACINGS}


def asked(where, out, *more):
    return [
        "pipeline=text_to_video",
        f"weights={where}",
        f"output={out}",
        "frames=4",
        "size=[12,12]",
        "sample.steps=3",
        "sample.guidance=2",
        "seed=7",
        "env.device_target=CPU",
        "env.mode=pynative",
        *more,
    ]


def record_of(run):
    return json.loads((run / "video.json").read_text())


def test_a_run_leaves_videos_latents_previews_and_a_record(where, tmp_path):
    out = tmp_path / "out"
    scene = "text_to_video.scenes=[{0-1: a cat, 2-3: a dog}]"
    assert (
        command(
            asked(
                where,
                out,
                "prompts=[a cat, a dog]",
                scene,
                "batch=2",
                "preview_every=2",
            )
        )
        == 0
    )
    run, record = out / "0001", record_of(out / "0001")
    assert [p["prompt"] for p in record["prompts"]] == ["a cat", "a dog", "a cat / a dog"]
    assert record["prompts"][2]["frame_prompts"] == ["a cat", "a cat", "a dog", "a dog"]
    assert (
        record["plan"]["latents_CFHW"] == list(SHAPE)
        and record["plan"]["prediction"] == "v"
        and record["plan"]["steps"] == 3
    )
    assert len(record["files"]) == 7 and all(
        (run / name).stat().st_size > 0 for name in record["files"]
    )
    assert read_video(run / "video-002.mp4")[0].shape == (4, 12, 12, 3)
    held = np.load(run / "latents/video-001.npz")
    assert held["latents"].shape == SHAPE and held["x_T"].shape == SHAPE
    assert (run / "config.yaml").exists() and not (run / ".work").exists()
    assert len(list((run / "preview").glob("*.png"))) == 4, "steps 2 and 3 of two batches"
    again = asked(
        where, out, "prompt=a dog", f"text_to_video.start={run / 'latents/video-001.npz'}"
    )
    assert command([*again, "env.mode=graph", "text_to_video.two_passes=true"]) == 0
    np.testing.assert_allclose(
        np.load(out / "0002/latents/video.npz")["latents"], held["latents"], atol=2e-5
    )


def test_frames_share_the_low_frequencies_of_their_noise(where, tmp_path):
    out = tmp_path / "out"
    args = asked(where, out, "prompts=[a cat, a dog]", "formats=[gif]")
    assert command([*args, "text_to_video.shared_low=0.01"]) == 0
    means = [
        np.load(out / f"0001/latents/video-{i:03d}.npz")["x_T"].mean((-1, -2)) for i in range(2)
    ]
    for of_frames in means:
        np.testing.assert_allclose(of_frames, of_frames[:, :1].repeat(4, 1), atol=1e-6)
    assert np.abs(means[0] - means[1]).max() > 0.01, "each video has its own"


class Killed(BaseException):
    pass


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_stopped(where, tmp_path, monkeypatch):
    args = asked(
        where, tmp_path / "out", "prompts=[a cat, a dog, a fox]", "batch=1", "formats=[gif,png]"
    )
    assert command([*args[:2], f"output={tmp_path / 'whole'}", *args[3:]]) == 0
    real, calls = results.write_files, []

    def stops(folder, stem, *rest):
        if len(calls) == 1:
            raise Killed
        calls.append(stem)
        return real(folder, stem, *rest)

    monkeypatch.setattr(results, "write_files", stops)
    with pytest.raises(Killed):
        command(args)
    monkeypatch.setattr(results, "write_files", real)
    run = tmp_path / "out/0001"
    assert (
        (run / "video-000.gif").exists()
        and not (run / "video-001.gif").exists()
        and not (run / "video.json").exists()
    )
    (run / "latents/video-002.npz").unlink()
    before = [
        (run / name).stat().st_mtime_ns for name in ("video-000.gif", "latents/video-001.npz")
    ]
    (run / ".lock").unlink()  # the process that held it is this one
    assert command(args) == 0
    assert [
        (run / name).stat().st_mtime_ns for name in ("video-000.gif", "latents/video-001.npz")
    ] == before
    assert record_of(run)["timings"]["resumed"] and not (tmp_path / "out/0002").exists()
    for name in record_of(run)["files"]:
        assert (run / name).read_bytes() == (tmp_path / "whole/0001" / name).read_bytes(), name
    assert command(args) == 0 and (tmp_path / "out/0002/video.json").exists(), (
        "a finished run is left alone"
    )


def test_the_dry_run_says_what_it_would_cost(where, tmp_path):
    rows = "\n".join(plan(load(None, asked(where, tmp_path, "prompt=a cat"), InferConfig)))
    for word in (
        "unet",
        "vae",
        "text encoder",
        "1 videos of 4 frames 12x12",
        "3 steps",
        "FLOP",
        "decoding 4 frames at a time",
    ):
        assert word in rows, word
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ([], 2, "there is nothing to make: give prompt=TEXT"),
        (["prompt=a", "size=[12,15]"], 2, "size is [12, 15]; both must be multiples of 2"),
        (["text_to_video.scenes=[{0-1: a, 3: b}]"], 2, "scenes[0]: frame 2 is without a prompt"),
        (["text_to_video.scenes=[{0-2: a, 2-3: b}]"], 2, "scenes[0]: frame 2 is twice"),
        (
            ["text_to_video.scenes=[{0-2: a}]"],
            2,
            "the ranges end with frame 2; the video has frames 0 to 3",
        ),
        (["text_to_video.scenes=[{first: a}]"], 2, "'first' is not a range of frames"),
        (["prompt=a", "text_to_video.negatve=b"], 2, "Did you mean 'text_to_video.negative'?"),
        (["prompt=a", "pixel.negative=b"], 2, "pixel.* belongs to pipeline=pixel"),
        (["prompt=a", "sample.sampler=dim"], 2, "sample.sampler is 'dim'"),
        (["prompt=a", "sample.eta=2"], 2, "sample.eta is 2; it is at most 1"),
        (["prompt=a", "sample.steps=51"], 2, "steps is 51"),
        (["prompt=a", "weights=nowhere"], 3, "weights: nothing at nowhere"),
        (["prompt=a", "text_to_video.start=no.npz"], 3, "text_to_video.start: no file at no.npz"),
        (
            ["prompt=a", "text_to_video.shared_low=2"],
            2,
            "text_to_video.shared_low is 2.0; it must be at most 1",
        ),
        (
            ["prompt=a", "text_to_video.start=x.npz", "text_to_video.shared_low=0.2"],
            2,
            "text_to_video.shared_low is not read where text_to_video.start says what noise there is",
        ),
    ],
)
def test_bad_input_is_one_sentence(where, tmp_path, capsys, more, code, words):
    weights = [] if any(w.startswith("weights=") for w in more) else [f"weights={where}"]
    args = [a for a in asked(where, tmp_path / "out") if not a.startswith("weights=")]
    keys = {a.split("=")[0] for a in more}
    assert command([*weights, *(a for a in args if a.split("=")[0] not in keys), *more]) == code
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_noise_of_another_shape_is_refused(where, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x_T=np.zeros((1, 4, 4, 5, 6), np.float32))
    np.savez(tmp_path / "y.npz", other=np.zeros(3))
    for name, code, words in (
        ("x.npz", 2, "this run needs floats of the shape (1, 4, 4, 6, 6)"),
        ("y.npz", 3, "has no array x_T"),
    ):
        start = f"text_to_video.start={tmp_path / name}"
        assert command(asked(where, tmp_path / "out", "prompt=a cat", start)) == code
        assert words in capsys.readouterr().err


def test_videocrafter_is_told_the_frame_rate(tmp_path):
    model = load_latent_model(str(folder(tmp_path / "vc", "videocrafter2")))
    assert model.wants_fps and model.noising.schedule.signal_scale is not None
    sample, clips = SampleOptions(steps=2), [clip(0, "a cat")]
    slow, fast = (
        TextToVideo(model, sample, fps=fps).latents(clips, first_noise(clips, SHAPE))
        for fps in (4, 24)
    )
    assert np.abs(slow - fast).max() > 1e-4
    shutil.rmtree(tmp_path / "vc")
