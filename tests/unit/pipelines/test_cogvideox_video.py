"""CogVideoX from a folder to files: one run, its record, the text states that it keeps."""

import json

import mindspore as ms
import numpy as np
import pytest
from cogvideox_toys import SPEC, TEXT, folder, training

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.cli.infer import command as infer
from mindlong.cli.train import command as train
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks.t5.cell import Layered
from mindlong.pipelines.load_model import load_latent_model
from mindlong.utils.errors import ConfigError

MODE = "pynative"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("hub") / "cog")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of the user's own."""
    where = tmp_path_factory.getbasetemp() / "cogvideox-cache"
    where.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("MINDLONG_CACHE", str(where))
    return where


@pytest.fixture(scope="module", params=["pynative", pytest.param("graph", marks=pytest.mark.slow)])
def run(request, published, tmp_path_factory):
    before, out = ms.get_context("mode"), tmp_path_factory.mktemp("out")
    keys = {
        "pipeline": "text_to_video",
        "weights": published,
        "prompt": "a red circle",
        "frames": 9,
        "size": "[16,24]",
        "sample.steps": 3,
        "sample.guidance": 6,
        "sample.sampler": "cogvideox_dpm",
        "text_to_video.guidance_curve": "wave",
        "formats": "[frames]",
        "output": out,
        "env.mode": request.param,
    }
    assert infer([f"{key}={value}" for key, value in keys.items()]) == 0
    ms.set_context(mode=before)
    return next(out.iterdir())


def test_a_video_of_nine_frames_is_made(run):
    frames = list((run / "video").glob("*.png"))
    assert len(frames) == 9
    with np.load(run / "latents/video.npz") as held:
        assert held["latents"].shape == (4, 3, 4, 6) and np.isfinite(held["latents"]).all()
    record = json.loads((run / "video.json").read_text())
    assert record["plan"]["guidance_curve"] == "wave"
    assert record["plan"]["sampler"] == "cogvideox_dpm"
    assert record["weights"]["family"] == "cogvideox"


def test_states_of_a_prompt_are_kept(published, cache, monkeypatch):
    first = load_latent_model(str(published)).encode_text(["a blue square"])
    assert first.shape == (1, SPEC.tokens, TEXT.width) and list((cache / "texts").glob("*.npz"))
    monkeypatch.setattr(Layered, "__call__", None)
    again = load_latent_model(str(published)).encode_text(["a blue square"])
    assert np.array_equal(first, again)


@pytest.mark.slow
def test_it_is_trained_on_kept_latents_and_kept_states(published, cache, tmp_path, monkeypatch):
    assert train(training(published, tmp_path / "run")) == 0
    held = open_weights(next((tmp_path / "run/checkpoints").iterdir()) / "network.safetensors")
    start = find_latent_parts(str(published), LatentModelOptions()).network.arrays
    assert {name.split(".")[0] for name in held} == {"transformer"}
    moved = [n for n in held if not np.array_equal(held.read(n), start[n[12:]].read())]
    assert len(moved) > 0.9 * len(start)
    monkeypatch.setattr(Layered, "__call__", None)  # a second run encodes no caption
    assert train(training(published, tmp_path / "again", **{"train.steps": "1"})) == 0
    parts = find_latent_parts(str(tmp_path / "run"), LatentModelOptions())
    assert parts.network.spec == SPEC and parts.size == (9, 16, 24)


def test_zeros_or_the_negative_prompt_stand_for_no_text(published):
    context = np.ones((1, SPEC.tokens, TEXT.width), np.float32)
    usual = load_latent_model(str(published))
    assert np.array_equal(usual.null_text("", context), usual.encode_text([""]))
    zeros = load_latent_model(str(published), LatentModelOptions(unconditional="zeros"))
    assert not zeros.null_text("", context).any()
    with pytest.raises(ConfigError, match="multiples of 8, 2 latents of 4 pixels"):
        usual.latent_shape(9, 16, 20)
