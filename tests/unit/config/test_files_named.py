"""Every key that names a file is known by the file's content."""

import numpy as np
import pytest

from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.inputs import changed
from mindlong.config import file_keys
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import load
from mindlong.config.pipelines import PIPELINES
from mindlong.config.schema import TrainConfig
from mindlong.networks import table
from mindlong.pipelines.inputs import inputs_of as inputs_of_infer
from mindlong.training.inputs import PLACES
from mindlong.training.inputs import inputs_of as inputs_of_training

# texts and lists that name no file of a stranger: words, patterns, numbers, places to write to
INFER = (
    *("lora", "prompt", "prompts", "size", "output", "hierarchical.work", "interpolate.scenes"),
    *("conditioning.fs", "edit.report", "edit.invert_prompt", "text_to_video.scenes"),
    *("clip_parallel.lengths", "clip_parallel.early", "clip_parallel.late"),
)
TRAIN = (
    *(
        "run_dir",
        "model",
        "data.folder",
        "data.speed",
        "data.tempo",
        "latents.cache",
        "infinet.shares",
    ),
    *("tune.prompt", "tune.prompts", "train.start", "train.no_decay", "train.train_only"),
    *("train.freeze", "train.lora.targets", "preview.prompts", "resume.allow"),
)


def _empty(keys):
    return {
        key for key, leaf in keys.items() if leaf.default in ("", []) and not leaf.said("choices")
    }


def test_no_key_of_a_pipeline_that_names_a_file_is_left_out():
    found = {key for entry in PIPELINES.values() for key in _empty(leaves(entry.schema))}
    others = {key for key in found if key.startswith("hierarchical.l") or "negative" in key}
    left = found - others - set(INFER) - set(file_keys.WEIGHTS) - set(file_keys.FILES)
    assert left == {"hierarchical.part"}, "put it among the files, or into the list here"


def test_no_key_of_a_training_that_names_a_file_is_left_out():
    keys = {k: v for n in table.networks() for k, v in leaves(n.keys, "model.").items()}
    found = _empty({**keys, **leaves(TrainConfig)}) - set(PLACES) - set(TRAIN)
    words = {"model.float32", "model.classes", "model.conditions", "infinet.lengths"}
    assert found <= words, "put it among the files, or into the list here"


@pytest.mark.parametrize("key", ["model.text.weights", "latents.motion"])
def test_a_training_knows_the_weights_beside_its_own(tmp_path, key):
    path = tmp_path / "text.safetensors"
    said = ["model=configs/model/vdm_tiny.yaml", "model.text.encoder=bert"]
    if key == "latents.motion":
        said = ["model=configs/model/animatediff_tiny.yaml"]
        said += ["latents.vae=x", "latents.tokenizer=x", "latents.text_encoder=x"]
    config = load(None, [*said, f"{key}={path}"], TrainConfig).values
    config.latents.vae = config.latents.tokenizer = config.latents.text_encoder = ""
    write_safetensors(path, {"a": np.zeros(3, np.float32)})
    before = inputs_of_training(config)
    assert key in before
    write_safetensors(path, {"a": np.ones(3, np.float32)})
    after = inputs_of_training(config)
    assert changed(before, after) == [key]
    assert changed({}, after) == []  # of a run that did not remember it


def test_a_run_in_pixels_knows_the_videos_it_mixes(tmp_path):
    videos = [tmp_path / name for name in ("a.mp4", "b.mp4")]
    for video in videos:
        video.write_bytes(b"1")
    words = ["pipeline=pixel", f"pixel.interpolate=[{videos[0]},{videos[1]}]", "pixel.timestep=5"]
    config = load(None, words, InferConfig).values
    before = inputs_of_infer(config)
    videos[1].write_bytes(b"2")
    assert changed(before, inputs_of_infer(config)) == ["pixel.interpolate[1]"]
