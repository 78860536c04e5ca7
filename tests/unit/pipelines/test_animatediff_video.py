"""AnimateDiff from files to a video, with tiny random networks: prompts that turn into each other,
long videos in views and in windows, videos and images to start from, FreeInit.
"""

import json

import motion_toys as toys
import numpy as np
import pytest

from mindlong.checkpoints.files import write_torch
from mindlong.cli.infer import main, plan
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.media.images import read_image
from mindlong.media.read import read_video
from mindlong.media.write import write_frames
from mindlong.pipelines.clips import Clip, first_noise
from mindlong.pipelines.load_model import from_parts
from mindlong.pipelines.text_to_video.guided import TextToVideo
from mindlong.pipelines.text_to_video.make import repeats_of
from mindlong.pipelines.text_to_video.plan import clips_of, parts_of
from mindlong.utils.errors import ConfigError


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    root = tmp_path_factory.mktemp("animatediff")
    toys.image(root / "sd")
    write_torch(root / "mm.ckpt", toys.state("v3"))
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    write_frames(root / "clip", frames)
    return root


def pairs(where, **more):
    given = {
        "pipeline": "text_to_video",
        "weights": where / "sd",
        "latent.motion": where / "mm.ckpt",
        "frames": 6,
        "size": "[16,16]",
        "output": where / "out",
        "sample.steps": 2,
        "sample.guidance": 2,
        "formats": "[gif,png]",
        "prompt": "a cat",
    }
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return [f"{key}={value}" for key, value in given.items()]


def config(where, **more):
    return load(None, pairs(where, **more), InferConfig).values


def latents(where, **more):
    assert main(pairs(where, **more)) == 0
    made = sorted((where / "out").glob("*"))[-1]
    with np.load(made / "latents/video.npz") as held:
        return held["latents"], held["x_T"], made


def test_an_image_model_and_motion_modules_become_a_gif(where):
    found, _, made = latents(where, env__mode="pynative")
    assert found.shape == (4, 6, 8, 8) and np.isfinite(found).all()
    assert read_video(made / "video.gif")[0].shape == (6, 16, 16, 3)
    record = json.loads((made / "video.json").read_text())
    assert record["weights"]["family"] == "animatediff"
    assert record["plan"]["prediction"] == "eps"


@pytest.mark.slow
def test_the_modules_and_their_norms_change_the_video(where):
    usual = latents(where)[0]
    other = latents(where, latent__compat="diffusers")[0]
    assert np.abs(usual - other).max() > 1e-3
    v1 = latents(where, latent__version="v1")[0]
    assert np.abs(usual - v1).max() > 1e-3


@pytest.mark.slow
def test_every_way_to_a_long_video_runs_from_file_to_file(where):
    eager = {"env.mode": "pynative"}
    plain = latents(where, **eager)[0]
    views = {"free_noise.around": "block", "free_noise.window": 4, "free_noise.stride": 2}
    one, x_T, _ = latents(where, **views, **eager)
    assert not np.array_equal(one, plain)
    assert np.array_equal(np.sort(x_T[:, 4:6], 1), np.sort(x_T[:, :2], 1))
    windows = {"contexts.length": 4, "contexts.overlap": 2, "free_noise.noise": "repeat_context"}
    windows |= eager
    for schedule in ("standard_static", "standard_uniform", "looped_uniform"):
        found, x_T, _ = latents(where, **{"contexts.schedule": schedule}, **windows)
        assert np.isfinite(found).all() and np.array_equal(x_T[:, :2], x_T[:, 4:])
    again, _, _ = latents(where, free_init__iterations=2, **eager)
    assert not np.array_equal(again, plain)


@pytest.mark.slow
def test_a_video_or_an_image_to_start_from_shows_through(where):
    write_frames(where / "still", np.full((1, 16, 16, 3), 90, np.uint8))
    image = next((where / "still").glob("*.png"))
    assert read_image(image).shape[-1] == 3
    for key, value in (("video", where / "clip"), ("image", image)):
        given = {f"text_to_video.{key}": value, "env.mode": "pynative"}
        near = latents(where, **given, text_to_video__strength=0.05)[0]
        far = latents(where, **given, text_to_video__strength=1)[0]
        model = from_parts(parts_of(config(where)), config(where).latent)
        frames = read_video(where / "clip")[0] if key == "video" else read_image(image)[None]
        z = model.encode(np.repeat(frames, 6 // len(frames), 0))
        assert np.abs(near - z).mean() < 0.5 * np.abs(far - z).mean()


def test_prompts_turn_into_each_other(where):
    options = config(where, prompt="", text_to_video__scenes="[{0: a cat, 4: a dog}]")
    (clip,) = clips_of(options, 6)
    assert clip.title == "a cat -> a dog" and clip.prompts == ("a cat", "a dog")
    assert clip.shares[0] == (("a cat", 1.0),) and clip.shares[5] == (("a dog", 1.0),)
    assert clip.shares[1] == (("a cat", 0.75), ("a dog", 0.25))

    class Encoder:
        def encode_text(self, prompts):
            states = {"a cat": np.zeros((2, 3)), "a dog": np.ones((2, 3))}
            return np.stack([states[prompt] for prompt in prompts])

    pipeline = TextToVideo.__new__(TextToVideo)
    pipeline.model = Encoder()
    found = pipeline.context([clip], 6)
    assert found.shape == (1, 6, 2, 3)
    assert np.allclose(found[0, :, 0, 0], [0, 0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("{1: a, 4: b}", "one of frame 0"),
        ("{0: a, 6: b}", "frames 0 to 5"),
        ("{0: a, 2-4: b}", "without a prompt"),
    ],
)
def test_a_scene_that_cannot_be_is_a_sentence(where, scene, words):
    with pytest.raises(ConfigError, match=words):
        config(where, prompt="", text_to_video__scenes=f"[{scene}]")


def test_more_frames_than_places_are_a_sentence_that_names_the_ways_out(where):
    with pytest.raises(ConfigError, match=r"33 frames; .* places for 32.*free_noise.*contexts"):
        plan(load(None, pairs(where, frames=33), InferConfig))
    plan(load(None, pairs(where, frames=33, free_noise__around="block"), InferConfig))
    lines = plan(load(None, pairs(where, frames=33, contexts__schedule="batched"), InferConfig))
    assert any("3 windows of 16 frames a step" in line for line in lines)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"free_noise__around": "attention"}, "free_noise.around=block is for such networks"),
        ({"free_noise__around": "block", "free_noise__window": 40}, "places for 32"),
        ({"free_noise__around": "block", "free_noise__stride": 17}, "stride must be"),
        ({"free_noise__around": "block", "free_noise__compat": "longercrafter"}, "is for"),
        ({"free_noise__stride": 3}, "is not read where free_noise.around is empty"),
        ({"contexts__schedule": "batched", "contexts__overlap": 2}, "not read"),
        ({"contexts__schedule": "standard_static", "contexts__overlap": 16}, "must be below"),
        (
            {"contexts__schedule": "looped_uniform", "contexts__fuse": "relative"},
            "is for contexts.schedule=standard_static",
        ),
        ({"text_to_video__video": "a", "text_to_video__image": "b"}, "both given"),
        ({"text_to_video__video": "a", "free_init__iterations": 2}, "what to start from"),
        ({"text_to_video__strength": 0.5}, "is not read where"),
    ],
)
def test_what_cannot_be_is_a_sentence(where, more, words):
    with pytest.raises(ConfigError, match=words):
        plan(load(None, pairs(where, **more), InferConfig))


def test_views_need_attentions_over_frames(where):
    with pytest.raises(ConfigError, match="this network has none"):
        plan(load(None, pairs(where, latent__motion="", free_noise__around="block"), InferConfig))


def test_noise_of_the_first_window_comes_again(where):
    options = config(where, free_noise__around="block", free_noise__window=4).free_noise
    clips = [Clip("a", ("a",), "a", 0, number) for number in (0, 1)]
    noise = first_noise(clips, (4, 12, 2, 2), repeats_of(options, None))
    plain = first_noise(clips, (4, 12, 2, 2))
    for row in (0, 1):
        assert np.array_equal(noise[row, :, :4], plain[row, :, :4])
        for start in (4, 8):
            found = {noise[row, :, f].tobytes() for f in range(start, start + 4)}
            assert found == {plain[row, :, f].tobytes() for f in range(4)}
