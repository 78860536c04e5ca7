"""The configurations of interpolation that come with the project can be read and say what they should."""

from pathlib import Path

import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.spec.unet_names import parameter_count
from mindlong.utils.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("train/interpolate_*.yaml")), ids=lambda p: p.stem)
def test_training_configurations_can_be_read(path):
    config = load(path, [], TrainConfig).values
    assert config.interpolation.wanted and config.model.spec().in_channels == 9
    if "sd15" in path.stem:
        assert parameter_count(config.model.spec()) == 1_100_578_616


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("infer/interpolate*.yaml")), ids=lambda p: p.stem)
def test_inference_configurations_can_be_read(path):
    assert load(path, ["images=[a.png, b.png]"], InferConfig).values.interpolate.images == ["a.png", "b.png"]


def test_keys_of_the_section_may_go_unnamed_on_the_command_line_alone():
    pairs = ["pipeline=interpolate", "video=in.mp4", "factor=4", "interpolate.window=9", "seed=3"]
    config = load(None, pairs, InferConfig).values
    assert (config.interpolate.video, config.interpolate.factor, config.interpolate.window, config.seed) == ("in.mp4", 4, 9, 3)
    with pytest.raises(ConfigError, match="unknown key 'video'"):
        load(None, ["pipeline=pixel", "video=in.mp4"], InferConfig)
