"""Configurations of mindone's and the original's Tune-A-Video are read as they are."""

import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError

MINDONE = """
version: "1.5"
video_path: man.mp4
prompt: a man is skiing
num_frames: 12
sample_start_idx: 3
sample_interval: 2
image_size: 256
output_path: out
start_learning_rate: 3.0e-5
train_batch_size: 1
max_train_steps: 300
betas: [0.9, 0.98]
scheduler: constant
clip_grad: False
max_grad_norm: 1.0
use_ema: False
ckpt_save_interval: 250
seed: 3407
pretrained_model_path: models/
pretrained_model_file: sd.ckpt
trainable_modules: [attn1.to_q., attn_temp.]
mode: 0
"""
ORIGINAL = """
pretrained_model_path: ./checkpoints/stable-diffusion-v1-4
output_dir: ./outputs/man
train_data:
  video_path: data/man.mp4
  prompt: a man is skiing
  n_sample_frames: 24
  width: 512
  height: 320
  sample_start_idx: 0
  sample_frame_rate: 2
validation_data:
  prompts: [mickey is skiing]
  video_length: 24
  width: 512
  height: 512
  num_inference_steps: 40
  guidance_scale: 12.5
  use_inv_latent: True
  num_inv_steps: 30
learning_rate: 3e-5
train_batch_size: 1
max_train_steps: 300
checkpointing_steps: 1000
validation_steps: 100
trainable_modules: [attn1.to_q, attn2.to_q, attn_temp]
seed: 33
mixed_precision: fp16
use_8bit_adam: False
gradient_checkpointing: True
enable_xformers_memory_efficient_attention: True
"""


def file(tmp_path, text):
    path = tmp_path / "theirs.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(file(tmp_path, text), [], TrainConfig)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mindones_yaml_is_read(tmp_path):
    loaded = load(file(tmp_path, MINDONE), [], TrainConfig)
    found = loaded.values
    assert (found.tune.video, found.tune.prompt, found.tune.start) == (
        "man.mp4",
        "a man is skiing",
        3,
    )
    assert (found.data.frames, found.data.stride, found.data.size) == (12, 2, [256, 256])
    train = found.train
    assert (train.lr, train.batch_size, train.steps, train.seed) == (3e-5, 1, 300, 3407)
    assert (train.betas, train.clip_norm, train.ema_decay) == ([0.9, 0.98], 0.0, 0.0)
    assert found.run_dir == "out" and found.latents.unet_weights == "models/sd.ckpt"
    assert found.tune.trainable == ["unet.*attn1.to_q.*", "unet.*attn_temp.*"]
    assert found.model.spec().context_dim == 768 and found.diffusion.prediction == "eps"
    assert any("words of mindone" in note for note in loaded.notes)
    assert any(note.startswith("mode: nothing here") for note in loaded.notes)


def test_the_originals_yaml_is_read(tmp_path):
    found = load(file(tmp_path, ORIGINAL), [], TrainConfig).values
    assert (found.tune.video, found.data.frames, found.data.stride) == ("data/man.mp4", 24, 2)
    assert found.data.size == [320, 512] and found.run_dir == "./outputs/man"
    assert found.latents.unet_weights == "./checkpoints/stable-diffusion-v1-4"
    assert found.preview.prompts == ["mickey is skiing"]
    assert (found.preview.sample.steps, found.preview.sample.guidance) == (40, 12.5)
    assert (found.tune.inverted, found.tune.inversion_steps) == (True, 30)
    assert (found.train.precision, found.train.recompute) == ("fp16", True)


@pytest.mark.parametrize(
    ("version", "width", "prediction"),
    [("1.5", 768, "eps"), ("2.0", 1024, "eps"), ("2.1", 1024, "eps"), ("2.1-v", 1024, "v")],
)
def test_a_version_is_a_network(tmp_path, version, width, prediction):
    found = load(file(tmp_path, MINDONE.replace("1.5", version)), [], TrainConfig).values
    assert found.model.spec().context_dim == width and found.diffusion.prediction == prediction


def test_mindones_command_words_are_read(tmp_path):
    words = ["version=1.5", "video_path=a.mp4", "prompt=a man", "num_frames=8", "image_size=256"]
    found = load(None, words, TrainConfig).values
    assert (found.tune.video, found.tune.prompt, found.data.frames) == ("a.mp4", "a man", 8)
    assert found.data.size == [256, 256] and found.model.spec().context_dim == 768
    given = load(
        None,
        [
            f"train_config={file(tmp_path, MINDONE)}",
            "num_frames=5",
            "version=2.1-v",
            "use_ema=True",
        ],
        TrainConfig,
    ).values
    assert (given.data.frames, given.tune.video) == (5, "man.mp4")
    assert given.model.spec().context_dim == 1024 and given.train.ema_decay == 0.9999


def test_mindones_words_of_a_run_are_read():
    words = ["ckpt_path=out/sd-500.ckpt", "video_path=a.mp4", "prompt=a bear", "num_frames=8"]
    more = [
        "version=2.1",
        "sampling_steps=20",
        "H=256",
        "W=320",
        "scale=7.5",
        "negative_prompt=bad",
    ]
    found = load(None, [*words, *more], InferConfig).values
    assert found.pipeline == "edit" and found.weights == "out/sd-500.ckpt"
    assert (found.edit.video, found.frames, found.size) == ("a.mp4", 8, [256, 320])
    assert (found.sample.steps, found.sample.guidance, found.edit.negative) == (20, 7.5, "bad")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_frames", "num_frame", "unknown key 'num_frame'. Did you mean 'num_frames'?"),
        ("constant", "cosine", "scheduler is 'cosine'. Did you mean 'cosine_decay'?"),
        ('"1.5"', "1.5-wukong", "version is '1.5-wukong'. Valid names: 1.5, 2.0, 2.1"),
    ],
)
def test_a_word_that_is_not_theirs_is_refused(tmp_path, old, new, said):
    assert said in refusal(tmp_path, MINDONE.replace(old, new))
