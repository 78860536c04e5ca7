"""Patterns of parameters' names: a dry run knows the names without building the network."""

import pytest

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.training.named import check_patterns, names_of
from mindlong.training.tasks import build_task
from mindlong.utils.errors import ConfigError

TINY = {
    "model": "configs/model/vdm_tiny.yaml",
    "data__frames": 4,
    "data__size": [16, 16],
}


def config_of(file=None, **keys):
    return load(file, keys if file else {**TINY, **keys}, TrainConfig).values


@pytest.mark.parametrize(
    "file",
    [
        None,
        "configs/train/latent_shapes_vae.yaml",
        "configs/train/latent_shapes.yaml",
        pytest.param("configs/train/infinet_shapes.yaml", marks=pytest.mark.slow),
        pytest.param("configs/train/interpolate_shapes.yaml", marks=pytest.mark.slow),
        pytest.param("configs/train/cogvideox_shapes.yaml", marks=pytest.mark.slow),
    ],
)
def test_the_names_are_those_of_the_network_built(file, tmp_path):
    few = {} if file is None or "vae" in file else {"latents__clips": 1}
    config = config_of(file, run_dir=str(tmp_path), **few)
    task = build_task(config, build_source(config.data, 0))
    names, unlisted = names_of(config)
    assert not unlisted
    assert sorted(names) == sorted(p.name for p in task.network.get_parameters())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"train__train_only": ["unt.*"]}, r"train_only: the pattern 'unt.\*' .*Did you mean"),
        ({"train__freeze": ["text.*", "none.here"]}, "freeze: the pattern 'none.here' matches no"),
        ({"train__weight_decay": 0.1, "train__no_decay": ["*.gama"]}, r"no_decay: .*'\*.gama'"),
        ({"train__freeze": ["*"]}, "leave none of the"),
        ({"train__train_only": ["text.*"], "train__freeze": ["text.*"]}, "leave none of the"),
    ],
)
def test_a_pattern_that_chooses_nothing_is_found_without_the_network(keys, words):
    with pytest.raises(ConfigError, match=words):
        check_patterns(config_of(**keys))


def test_patterns_that_choose_pass():
    check_patterns(config_of(train__train_only=["text.*"]))
    check_patterns(config_of(train__freeze=["unet.*.bias"]))
