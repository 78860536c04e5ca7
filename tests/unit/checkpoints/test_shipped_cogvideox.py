"""The shipped small CogVideoX: what its files say, and that it follows captions."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.cli.evaluate_shapes import command as evaluate
from mindlong.cli.infer import command as infer
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.noising import of_options

ROOT = Path(__file__).parents[3]
NAME = "shipped:cogvideox_shapes"
MOST = 2.2e6  # bytes of weights


@pytest.fixture(scope="module")
def parts():
    return find_latent_parts(NAME, LatentModelOptions())


def test_it_is_what_the_training_makes(parts):
    config = load(ROOT / "configs/train/cogvideox_shapes.yaml", [], TrainConfig).values
    assert parts.network.spec == config.model.spec()
    assert parts.size == (16, 48, 48) and parts.vae.spec.latent_channels == 4
    want = of_options(config.diffusion).schedule.alphas_cumprod
    np.testing.assert_allclose(parts.noising.schedule.alphas_cumprod, want, rtol=1e-12, atol=1e-15)
    assert want[-1] < 1e-15 and parts.noising.prediction == "v"


def test_it_is_small():
    folder = ROOT / "mindlong/weights/cogvideox_shapes"
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= MOST


@pytest.mark.slow
def test_it_follows_captions(tmp_path):
    prompts = [
        "a red circle moving right",
        "a green square moving up",
        "a blue triangle moving left",
    ]
    own = ["pipeline=text_to_video", f"weights={NAME}", "formats=[frames]", "seed=5", "batch=3"]
    own += [f"prompts={json.dumps(prompts)}", "sample.steps=25", "sample.guidance=1.5"]
    assert infer([*own, f"output={tmp_path}"]) == 0
    scores = tmp_path / "scores.json"
    known = ["--shapes", "circle", "square", "triangle"]
    known += ["--colours", "red", "green", "blue", "yellow"]
    assert evaluate([str(next(tmp_path.iterdir())), *known, "--json", str(scores)]) == 0
    rows = json.loads(scores.read_text())["samples"]
    read = ["a {1} {0} moving {2}".format(*row["read"]) for row in rows]
    assert sum(a == b for a, b in zip(read, prompts, strict=True)) >= 2, read
