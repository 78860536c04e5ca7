"""The configurations of interpolation that come with the project can be read and say what they
should.
"""

from pathlib import Path

import pytest

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.config.section import load_model, spec_of
from mindlong.diffusion.hints import Rule
from mindlong.networks import table
from mindlong.networks.unet.names import parameter_count
from mindlong.pipelines.interpolate.hinted import is_hinted
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.utils.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("train/interpolate_*.yaml")), ids=lambda p: p.stem
)
def test_training_configurations_can_be_read(path):
    config = load(path, [], TrainConfig).values
    assert config.interpolation.wanted and config.model.spec().in_channels == 9
    if "sd15" in path.stem:
        assert parameter_count(config.model.spec()) == 1_100_578_616


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("infer/interpolate*.yaml")), ids=lambda p: p.stem
)
def test_inference_configurations_can_be_read(path):
    assert load(path, ["images=[a.png, b.png]"], InferConfig).values.interpolate.images == [
        "a.png",
        "b.png",
    ]


def test_the_shipped_network_has_all_its_parts_and_says_how_it_was_told():
    """Its autoencoder lies in another shipped folder; hint and mask come from the configuration
    beside it.
    """
    weights = load(CONFIGS / "infer/interpolate_shapes.yaml", [], InferConfig).values.weights
    parts = find_latent_parts(weights, LatentModelOptions())
    assert is_hinted(
        parts.network.spec, parts.vae.spec.latent_channels
    ) and parts.network.spec.conditions == ("time", "fps")
    assert parts.network.spec == load_model(CONFIGS / "model/interpolate_shapes.yaml").spec()
    assert trained_rule(weights) == Rule("linear", "between")


def test_keys_of_the_section_may_go_unnamed_on_the_command_line_alone():
    pairs = ["pipeline=interpolate", "video=in.mp4", "factor=4", "interpolate.window=9", "seed=3"]
    config = load(None, pairs, InferConfig).values
    assert (
        config.interpolate.video,
        config.interpolate.factor,
        config.interpolate.window,
        config.seed,
    ) == ("in.mp4", 4, 9, 3)
    with pytest.raises(ConfigError, match="video belongs to pipeline=.*interpolate"):
        load(None, ["pipeline=pixel", "video=in.mp4"], InferConfig)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("interpolate_shapes", []),
        ("pseudo3d_sd15_window5", []),
        ("pseudo3d_tiny", ["reads={attn_temporal: 'window:4:causal'}"]),
        (
            "pseudo3d_tiny",
            ["conditions=[time, fps]", "reads={space: sparse_causal, time: 'window:3|first'}"],
        ),
        ("latent_shapes", []),
        ("tune_a_video_sd15_tiny", ["reads={attn1: 'first,prev,next'}"]),
    ],
)
def test_a_packed_network_keeps_what_its_frames_read_and_what_it_is_told(path, keys):
    model = load_model(CONFIGS / f"model/{path}.yaml", keys)
    section = table.get(model.family).section(model.spec())
    assert spec_of(section) == model.spec()
