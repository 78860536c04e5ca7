"""The networks of a latent pipeline behind numpy arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from latent_toys import TEXT, VAE, folder

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.pipelines.load_model import load_latent_model
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("latent") / "tiny")


@pytest.fixture(scope="module")
def model(where):
    return load_latent_model(str(where))


def test_a_folder_of_ours_is_a_model(model):
    assert (
        model.family == "modelscope" and model.vae_spec == VAE and model.noising.prediction == "v"
    )
    assert (
        model.noising.schedule.timesteps == 50
        and model.noising.flavour.offset == 1
        and model.noising.bound is None
    )
    assert model.latent_shape(3, 12, 16) == (4, 3, 6, 8)
    with pytest.raises(ConfigError, match=r"size is \[12, 15\]; both must be multiples of 2"):
        model.latent_shape(3, 12, 15)


def test_text_becomes_vectors_one_prompt_like_many(model):
    both = model.encode_text(["abc", "a dog"])
    assert both.shape == (2, TEXT.length, TEXT.width) and both.dtype == np.float32
    assert np.array_equal(both[1], model.encode_text(["a dog"])[0]) and not np.array_equal(
        both[0], both[1]
    )


def test_a_prediction_depends_on_all_it_is_told(model):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 6, 5)).astype(np.float32)
    context = model.encode_text(["abc", "a dog"])
    out = model.predict(x, np.array([3, 3]), context)
    assert out.shape == x.shape and out.dtype == np.float32
    swapped = model.predict(x[::-1], np.array([3, 3]), context[::-1])
    np.testing.assert_allclose(swapped[::-1], out, atol=2e-6)
    assert np.abs(model.predict(x, np.array([9, 3]), context) - out)[0].max() > 1e-4
    assert np.abs(model.predict(x, np.array([3, 3]), context[::-1]) - out).max() > 1e-4
    frames = np.repeat(context[:, None], 3, axis=1)
    np.testing.assert_allclose(model.predict(x, np.array([3, 3]), frames), out, atol=2e-6)


def test_decoding_streams_frames_whatever_the_chunk(where, model):
    latents = np.random.default_rng(1).standard_normal((4, 5, 6, 6)).astype(np.float32)
    frames = list(model.decode(latents))
    assert len(frames) == 5 and frames[0].shape == (12, 12, 3) and frames[0].dtype == np.uint8
    one = load_latent_model(str(where), LatentModelOptions(chunk=1))
    assert (
        max(
            int(np.abs(a.astype(int) - b).max())
            for a, b in zip(frames, one.decode(latents), strict=True)
        )
        <= 1
    )


def test_frames_become_latents_the_mode_or_a_sample(model):
    frames = np.random.default_rng(2).integers(0, 256, (3, 12, 8, 3)).astype(np.uint8)
    mode = model.encode(frames)
    assert mode.shape == (4, 3, 6, 4)
    noise = np.zeros((3, 4, 6, 4), np.float32)
    np.testing.assert_allclose(model.encode(frames, noise), mode, atol=1e-6)
    assert np.abs(model.encode(frames, noise + 1) - mode).max() > 1e-3


def test_a_network_that_is_let_go_comes_back_the_same(model):
    before = model.encode_text(["zebra"])
    model.release("text_encoder")
    model._texts.clear()
    assert np.array_equal(model.encode_text(["zebra"]), before)


def test_what_is_missing_is_named_with_the_key_that_gives_it(tmp_path, where):
    import shutil

    part = tmp_path / "part"
    shutil.copytree(where, part)
    (part / "vae.safetensors").unlink()
    with pytest.raises(InputFileError, match="has no vae; name one with latent.vae"):
        find_latent_parts(str(part), LatentModelOptions())
    assert find_latent_parts(str(part), LatentModelOptions(vae=str(where))).vae.spec == VAE
    shutil.rmtree(part / "tokenizer")
    with pytest.raises(InputFileError, match="has no tokenizer; .* latent.tokenizer"):
        find_latent_parts(str(part), LatentModelOptions(vae=str(where)))
    with pytest.raises(InputFileError, match="latent.vae: nothing at"):
        find_latent_parts(str(part), LatentModelOptions(vae="nowhere"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("prediction_type", "flow", "prediction_type is 'flow'"),
        ("beta_schedule", "cos", "beta_schedule is 'cos'"),
        ("num_train_timesteps", "many", "num_train_timesteps is 'many'; it must be a number"),
        ("steps_offset", 0.5, "steps_offset is 0.5; it must be a whole number"),
    ],
)
def test_a_scheduler_that_cannot_be_read_says_which_key(tmp_path, where, key, value, words):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({key: value}))
    with pytest.raises(InputFileError, match=words):
        find_latent_parts(str(where), LatentModelOptions(scheduler=str(path)))


def test_options_rule_over_what_the_weights_say(where):
    options = LatentModelOptions(prediction="eps", dynamic_scale="on", reads={"time": "window:3"})
    parts = find_latent_parts(str(where), options)
    assert parts.noising.prediction == "eps" and parts.noising.schedule.signal_scale is not None
    assert {
        b.reads for s in parts.network.spec.stages[2:] for b in s.branches if b.kind == "time"
    } == {"window:3"}
    assert set(parts.parameters()) == {"unet", "vae", "text encoder"} and Path(where) == parts.where
