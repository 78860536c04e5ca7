"""Training a network that is conditioned on images: what a step is given, what is refused, a whole
training.
"""

import json
import sys

import latent_toys as toys
import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from mindlong.cli.infer import main as infer
from mindlong.cli.train import command
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.training.named import names_of
from mindlong.training.plan import plan_of
from mindlong.training.tasks.images import ImageTask
from mindlong.utils.errors import ConfigError

MODEL = ["channels=[16,32]", "attends=[true,false]", "layers=1", "context_dim=24", "groups=8"]
MODEL += ["head_dim=8", "entry_heads=2", "text_tokens=8"]
DIFFUSION = ["schedule=scaled_linear", "prediction=v", "zero_terminal_snr=true", "loss=l2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.folder(tmp_path_factory.mktemp("toy") / "interp", "dynamicrafter_interp")


def keys(folder, run, family, *more):
    found = [f"model.family=dynamicrafter_{family}", *(f"model.{key}" for key in MODEL)]
    found += [f"diffusion.{key}" for key in DIFFUSION]
    found += ["data.kind=shapes", "data.frames=16", "data.size=[16,16]", f"run_dir={run}"]
    for part in ("vae", "text_weights", "image_encoder", "projector"):
        found.append(f"latents.{part}={folder}")
    return [*found, f"latents.tokenizer={folder}/tokenizer", "latents.clips=2", *more]


def task_of(folder, run, family, *more):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    config = load(None, keys(folder, run, family, *more), TrainConfig).values
    return ImageTask(config, build_source(config.data, config.train.seed))


def test_an_interpolating_network_is_given_both_ends_and_the_first_frames_tokens(folder, tmp_path):
    task = task_of(folder, tmp_path, "interp")
    x0, noise, t, beside, ids, image, fps = task.finish(task.inputs(0, range(3)))
    assert x0.shape == noise.shape == beside.shape == (3, 4, 16, 8, 8)
    np.testing.assert_array_equal(beside[:, :, [0, -1]], x0[:, :, [0, -1]])
    assert not beside[:, :, 1:-1].any()
    assert image.shape == (3, 5, 16) and ids.shape == (3, 8) and fps.tolist() == [8, 8, 8]
    again = task.finish(task.inputs(0, range(3)))
    for a, b in zip(again, (x0, noise, t, beside, ids, image, fps), strict=True):
        np.testing.assert_array_equal(a, b)
    assert task.schedule.signal_scale[999] == 0.7  # the family's own
    names = {p.name.split(".")[0] for p in task.network.trainable_params()}
    assert names == {"unet", "projector"}


def test_an_image_network_is_given_any_frame_and_drops_caption_image_or_both(folder, tmp_path):
    task = task_of(folder, tmp_path, "512", "diffusion.cond_drop=1")
    places = {task._place(i, 16) for i in range(40)}
    assert len(places) > 8
    x0, _, _, beside, ids, image, _ = task.finish(task.inputs(0, range(12)))
    assert np.ptp(beside, axis=2).max() == 0
    for row, place in enumerate(task._place(i, 16) for i in range(12)):
        np.testing.assert_array_equal(beside[row, :, 0], x0[row, :, place])
    grey, empty = task._tokens(0, -1), task.tokenizer([""])[0]
    no_image = [(row == grey).all() for row in image]
    no_text = [(row == empty).all() for row in ids]
    kinds = set(zip(no_image, no_text, strict=True))
    assert kinds == {(True, False), (False, True), (True, True)}


@pytest.mark.slow
def test_videocrafter1_is_given_tokens_alone_and_reads_runs_of_any_length(folder, tmp_path):
    given = [k for k in keys(folder, tmp_path, "512") if not k.startswith("model.family")]
    given += ["model.family=videocrafter1_i2v", "data.frames=3", "diffusion.prediction=eps"]
    given += ["diffusion.zero_terminal_snr=false"]
    loaded = load(None, [k for k in given if k != "data.frames=16"], TrainConfig)
    assert plan_of(loaded)
    config = loaded.values
    ms.set_context(mode=ms.PYNATIVE_MODE)
    task = ImageTask(config, build_source(config.data, config.train.seed))
    x0, noise, t, beside, ids, image, fps = task.finish(task.inputs(0, range(2)))
    assert x0.shape == (2, 4, 3, 8, 8)
    for parameter in task.network.trainable_params():  # no branch is silent
        if not parameter.asnumpy().any():
            parameter.set_data(ms.Tensor(np.full(parameter.shape, 0.1, np.float32)))
    tensors = [ms.Tensor(a) for a in (x0, t, beside, ids, image, fps)]
    other = [*tensors[:2], ms.Tensor(beside + 1), *tensors[3:]]
    out = task.network(*tensors).asnumpy()
    assert out.shape == x0.shape
    np.testing.assert_array_equal(out, task.network(*other).asnumpy())
    moved = task.network(*tensors[:4], ms.Tensor(image + 1), tensors[5]).asnumpy()
    assert (moved != out).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.frames=8", "has image tokens for each of 16 frames"),
        ("latents.projector=", "latents.projector is empty"),
        ("model.in_channels=4", "task images needs 8"),
        ("model.text_tokens=7", "the text encoder reads 8 and 7 is wanted"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(folder, tmp_path, change, said):
    name = change.partition("=")[0]
    given = [key for key in keys(folder, tmp_path, "512") if key.partition("=")[0] != name]
    with pytest.raises(ConfigError, match=said):
        plan_of(load(None, [*given, change], TrainConfig))


def test_no_encoder_runs_in_the_thread_that_prepares_batches(folder, tmp_path, monkeypatch):
    """In graph mode a graph there meets the compiling of the step, which MindSpore refuses."""
    task = task_of(folder, tmp_path, "interp")

    def ran(*_):
        raise AssertionError("an encoder ran")

    monkeypatch.setattr(task, "_tokens", ran)
    monkeypatch.setattr(task, "decoded", ran)
    assert task.inputs(0, range(3))[5].tolist()[0][1] in (0, -1)


def test_patterns_of_a_plan_know_every_parameter_that_learns(folder, tmp_path):
    task = task_of(folder, tmp_path, "interp")
    learning = {p.name for p in task.network.get_parameters()}
    assert set(names_of(task.config)[0]) == learning


@pytest.mark.slow
@pytest.mark.parametrize("only", ["", "train.train_only=['*to_k_ip*','*to_v_ip*','projector.*']"])
def test_a_training_runs_and_its_checkpoint_makes_a_loop(folder, tmp_path, only):
    more = [f"latents.unet_weights={folder}", "train.steps=2", "train.batch_size=1"]
    more += ["train.save_every=2", "train.preview_every=2", "preview.sample.steps=1"]
    assert command(keys(folder, tmp_path / "run", "interp", *more, *filter(None, [only]))) == 0
    assert list((tmp_path / "run/previews").glob("*.gif"))
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "a.png")
    line = ["pipeline=animate", f"weights={tmp_path}/run", f"image={tmp_path}/a.png", "loop=true"]
    assert infer([*line, "sample.steps=1", "formats=[frames]", f"output={tmp_path}/out"]) == 0
    record = json.loads((tmp_path / "out/0001/video.json").read_text())
    assert record["weights"]["family"] == "dynamicrafter_interp", sys.argv
