"""`steps=N` of infer.py: the steps, and the weights distilled to that number."""

import pytest

from mindlong.config.few_steps import DISTILLED
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.utils.errors import ConfigError

QUICKSTART = "configs/infer/quickstart_latent.yaml"


def read(*words, path=QUICKSTART):
    return load(path, words, InferConfig)


def test_takes_the_distilled_weights_with_their_guidance():
    found = read("steps=4")
    few, guidance = DISTILLED["shipped:latent_shapes", 4]
    assert (found.values.weights, found.values.sample.guidance) == (few, guidance)
    assert (found.values.sample.steps, found.values.steps) == (4, 0)
    assert any("distilled to 4 steps" in note for note in found.notes)


def test_is_only_a_number_of_steps_where_no_weights_are_distilled_to_it():
    found = read("steps=8").values
    assert (found.weights, found.sample.steps, found.sample.guidance) == (
        "shipped:latent_shapes",
        8,
        1.5,
    )
    assert read("steps=4", "weights=runs/mine").values.weights == "runs/mine"


def test_a_guidance_of_the_command_line_stays():
    assert read("steps=4", "sample.guidance=1.25").values.sample.guidance == 1.25


def test_the_sampler_s_own_key_keeps_the_weights():
    found = read("sample.steps=4").values
    assert (found.weights, found.sample.guidance) == ("shipped:latent_shapes", 1.5)


def test_a_saved_configuration_says_the_same_again(tmp_path):
    first = read("steps=4")
    (tmp_path / "config.yaml").write_text(first.text)
    again = read(path=tmp_path / "config.yaml")
    assert again.values == first.values
    more = read("sample.steps=6", path=tmp_path / "config.yaml").values
    assert (more.weights, more.sample.steps) == (first.values.weights, 6)


def test_the_command_line_s_way_of_saying_it_replaces_the_file_s(tmp_path):
    (tmp_path / "few.yaml").write_text("pipeline: text_to_video\nprompt: a red circle\nsteps: 4\n")
    found = read("sample.steps=9", path=tmp_path / "few.yaml").values
    assert (found.weights, found.sample.steps) == ("shipped:latent_shapes", 9)


def test_two_numbers_are_refused():
    with pytest.raises(ConfigError, match="steps is 4 and sample.steps is 9; give one"):
        read("steps=4", "sample.steps=9")


def test_other_pipelines_take_the_number_alone():
    found = read("pipeline=clip_parallel", "steps=4", "prompt=a red circle", path=None).values
    assert (found.weights, found.sample.steps) == ("shipped:latent_shapes", 4)
