"""What a dry run of a training finds, as the run would: sentences with the place of the key."""

import numpy as np
import pytest

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.media.write import write_frames
from mindlong.training.plan import notes_on_data, plan_of
from mindlong.utils.errors import ConfigError, InputFileError

TINY = ["model=configs/model/vdm_tiny.yaml", "data.frames=4", "data.size=[16,16]"]


def planned(file, *keys):
    loaded = load(file, keys if file else [*TINY, *keys], TrainConfig)
    plan_of(loaded)
    return notes_on_data(loaded.values)


@pytest.mark.parametrize(
    ("file", "keys", "words"),
    [
        (None, ["model.dim_mults=[]"], "the command line: model: dim_mults is empty"),
        (
            None,
            ["model.compat=vdm_0.6", "model.dim=12"],
            "the command line: model: .* a multiple of 8 channels; dim is 12",
        ),
        (
            "configs/train/latent_shapes.yaml",
            ["model.channels=[30,64]"],
            "the command line: model: channels holds 30",
        ),
        (
            "configs/train/latent_shapes.yaml",
            ["model.out_channels=3"],
            "model.out_channels is 3; the autoencoder's latents have 4",
        ),
        ("configs/train/latent_shapes.yaml", ["model.eps=-1"], "it must be at least 0"),
        (None, ["run_dir="], "the command line: run_dir is empty"),
        (None, ["data.colours=[purple]"], "data.colours has 'purple'"),
        (None, ["data.motions=[]"], "data.motions is empty; choose from left"),
        (None, ["data.size=[8,8]"], "each at least 16"),
        (None, ["train.freeze=[txt.*]"], r"the pattern 'txt.\*' matches no parameter"),
        (
            None,
            ["diffusion.schedule=linear", "diffusion.beta_start=0"],
            "diffusion.beta_start is 0 .* betas are above 0",
        ),
    ],
)
def test_a_dry_run_finds_what_would_end_the_run(file, keys, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        planned(file, f"run_dir={tmp_path}", *keys)


def test_a_training_that_is_well_is_planned(tmp_path):
    assert planned(None, f"run_dir={tmp_path}") == []


def test_a_video_to_be_tuned_on_has_the_frames(tmp_path):
    video = write_frames(tmp_path / "clip", np.zeros((6, 48, 48, 3), np.uint8))
    words = [f"run_dir={tmp_path / 'run'}", f"tune.video={video}", "tune.start=3"]
    file = "configs/train/tune_a_video_shapes.yaml"
    with pytest.raises(InputFileError, match="clip has 6 frames; 4 frames from number 3 .* need 7"):
        planned(file, *words, "data.frames=4")
    planned(file, *words, "data.frames=3")
