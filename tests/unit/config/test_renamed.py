"""Older names of keys, and the other command's names of sections, are understood with a note."""

import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError

TINY = "model={family: vdm, dim: 8, dim_mults: [1, 2]}"
T2V = "pipeline=text_to_video"


@pytest.mark.parametrize(
    ("pairs", "schema", "key", "value", "note"),
    [
        ([T2V, "told_fps=4"], InferConfig, "text_to_video.fps_condition", 4, "told_fps is called"),
        (
            ["pipeline=clip_parallel", "prompt=a", "clips=2", "clip_parallel.told_fps=4"],
            InferConfig,
            "clip_parallel.fps_condition",
            4,
            "clip_parallel.told_fps is called clip_parallel.fps_condition here",
        ),
        (
            [T2V, "latents.vae=x"],
            InferConfig,
            "latent.vae",
            "x",
            "latents.vae is called latent.vae here",
        ),
        (
            ["pipeline=interpolate", "interpolation.factor=4", "video=a.mp4"],
            InferConfig,
            "interpolate.factor",
            4,
            "interpolation.factor is called interpolate.factor here",
        ),
        (
            ["latent.vae=x"],
            TrainConfig,
            "latents.vae",
            "x",
            "latent.vae is called latents.vae here",
        ),
    ],
)
def test_a_name_of_before_or_of_the_other_command(pairs, schema, key, value, note):
    loaded = load("latent_shapes" if schema is TrainConfig else None, pairs, schema)
    assert loaded.given[key].value == value
    assert any(note in said for said in loaded.notes)


def test_a_file_with_older_names_keeps_its_lines(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"{T2V.replace('=', ': ')}\nlatents:\n  vae: x\ntext_to_video:\n  told_fps: 4\n"
    )
    loaded = load(path, [], InferConfig)
    assert loaded.values.latent.vae == "x" and loaded.values.text_to_video.fps_condition == 4
    assert loaded.given["latent.vae"].place.endswith("line 3")
    assert loaded.given["text_to_video.fps_condition"].place.endswith("line 5")
    path.write_text(path.read_text().replace("4", "many"))
    with pytest.raises(ConfigError, match="line 5: text_to_video.fps_condition"):
        load(path, [], InferConfig)


def test_a_saved_configuration_is_read_without_notes():
    from mindlong.checkpoints.locate import locate
    from mindlong.checkpoints.run_config import config_of

    shipped = locate("shipped:infinet_shapes")
    assert config_of(shipped / "branch.safetensors").infinet.mask == "place"


def test_what_the_other_command_alone_has_is_still_refused():
    with pytest.raises(ConfigError, match="latents.text_weights belongs to train.py"):
        load(None, [T2V, "latents.text_weights=x"], InferConfig)
