"""Training of interpolation: inflation of image and video networks, what the network is told, whole
runs of the trainer.
"""

import json

import latent_toys
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.inflate import deflate, inflate
from mindlong.checkpoints.load import arrays_of, load_into
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.names import names, parameter_count
from mindlong.training.task import select
from mindlong.training.tasks import build_task
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError

MODE = "pynative"

SIZES = {
    "channels": (8, 16),
    "layers": 1,
    "attends": (True, False),
    "groups": 4,
    "context_dim": 12,
    "heads": 2,
    "head_dim": None,
    "linear_projection": False,
}
TIME = ["*.temporal.*", "*.attn_temporal.*", "*.norm_temporal.*"]


def random(spec, seed=0):
    draw = np.random.default_rng(seed)
    return {
        e.ours: (
            draw.standard_normal(e.our_shape) / np.sqrt(max(np.prod(e.our_shape[1:]), 4))
        ).astype(np.float32)
        + ("norm" in e.ours and e.ours.endswith("weight"))
        for e in names(spec)
    }


def fresh(spec):
    return arrays_of(initialise(UNet(spec), 0))


def test_the_published_size_takes_686_tensors_and_adds_244():
    """Names and shapes only; nothing is allocated."""
    flat, full = family("stable_diffusion").spec(in_channels=9), family("pseudo3d").spec()
    empty = {e.ours: np.broadcast_to(np.float32(0), e.our_shape) for e in names(flat)}
    target = {e.ours: np.broadcast_to(np.float32(0), e.our_shape) for e in names(full)}
    made = inflate(empty, target, identity=False)
    assert (len(made.arrays), len(made.mapped), len(made.fresh)) == (930, 686, 244)
    assert parameter_count(full) == 1_100_578_616
    assert sum(target[n].size for n in made.mapped) == 859_535_364
    assert {name: a.shape for name, a in deflate(target).items()} == {
        name: a.shape for name, a in empty.items()
    }


def test_inflated_and_back_is_bit_equal():
    source = random(family("stable_diffusion").spec(**SIZES, in_channels=9))
    made = inflate(source, fresh(family("pseudo3d").spec(**SIZES, in_channels=9)))
    back = deflate(made.arrays)
    assert back.keys() == source.keys() and all(np.array_equal(back[n], source[n]) for n in source)


@pytest.mark.parametrize("channels", [pytest.param(4, marks=pytest.mark.slow), 9])
def test_a_fresh_inflation_does_what_the_picture_s_network_does(channels):
    """On equal frames exactly; on different ones not, for norms run over frames together. Mask and
    hint count for nothing where the source had none."""
    flat, full = (
        family("stable_diffusion").spec(**SIZES, in_channels=channels),
        family("pseudo3d").spec(**SIZES, in_channels=9),
    )
    source, pictures, video = random(flat), UNet(flat), UNet(full)
    load_into(pictures, source)
    load_into(video, inflate(source, fresh(full)).arrays)
    draw = np.random.default_rng(1)
    x = draw.standard_normal((1, 9, 1, 4, 6)).astype(np.float32).repeat(3, 2)
    t, context = (
        Tensor(np.array([7], np.int32)),
        Tensor(draw.standard_normal((1, 5, 12)).astype(np.float32)),
    )
    one, three = (
        pictures(Tensor(x[:, :channels]), t, context).asnumpy(),
        video(Tensor(x), t, context).asnumpy(),
    )
    assert np.abs(one - three).max() <= 2e-6 * np.abs(one).max() + 1e-6
    moving = draw.standard_normal(x.shape).astype(np.float32)
    apart = pictures(Tensor(moving[:, :channels]), t, context).asnumpy()
    assert np.abs(apart - video(Tensor(moving), t, context).asnumpy()).max() > 1e-2


def test_another_architecture_is_refused_in_a_sentence():
    full = fresh(family("pseudo3d").spec(**SIZES, in_channels=9))
    with pytest.raises(ConfigError, match="another architecture"):
        inflate(
            random(
                family("modelscope").spec(
                    **{**SIZES, "heads": None, "head_dim": 4, "linear_projection": True}
                )
            ),
            full,
        )
    with pytest.raises(ConfigError, match="their sizes differ"):
        inflate(
            random(family("stable_diffusion").spec(**{**SIZES, "context_dim": 16}, in_channels=9)),
            full,
        )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A latent pipeline of random networks that read no hints."""
    return latent_toys.folder(tmp_path_factory.mktemp("toy") / "base")


UNET = {
    "model.family": "modelscope",
    "model.channels": "[16,32]",
    "model.attends": "[true,false]",
    "model.layers": "1",
    "model.context_dim": "24",
    "model.groups": "8",
    "model.head_dim": "8",
    "model.entry_heads": "2",
    "model.in_channels": "9",
    "model.reads": "{time: 'window:5'}",
    "data.size": "[16,16]",
    "data.frames": "9",
    "diffusion.prediction": "v",
    "diffusion.loss": "l2",
    "latents.clips": "6",
    "interpolation.factor": "4",
    "train.steps": "2",
    "train.batch_size": "2",
    "train.preview_every": "2",
    "preview.sample.steps": "2",
}


def config(toy, run, **changes):
    where = {
        "run_dir": run,
        "latents.vae": toy,
        "latents.text_weights": toy,
        "latents.unet_weights": toy,
        "latents.tokenizer": toy / "tokenizer",
        "latents.cache": toy.parent / "cache",
    }
    keys = UNET | where | {key.replace("__", "."): value for key, value in changes.items()}
    return load(None, [f"{key}={value}" for key, value in keys.items()], TrainConfig)


def task_of(loaded):
    return build_task(loaded.values, build_source(loaded.values.data, 0))


@pytest.mark.slow
def test_a_stage_is_trained_from_a_base_without_hints_and_resumes(toy, tmp_path):
    loaded = config(toy, tmp_path / "run")
    task = task_of(loaded)
    assert not task.network.unet.conv_in.weight.asnumpy()[
        :, 4:
    ].any()  # mask and hint count for nothing at first
    Trainer(task, loaded.values.train, tmp_path / "run", config_text=loaded.text).run()
    assert task.network.unet.conv_in.weight.asnumpy()[:, 5:].any()
    assert (tmp_path / "run/previews/step-00000002.gif").stat().st_size > 500
    metrics = np.genfromtxt(tmp_path / "run/metrics.csv", delimiter=",", names=True)
    assert np.isfinite(metrics["loss"]).all()


def test_the_network_is_told_the_frames_before(toy, tmp_path):
    task = task_of(config(toy, tmp_path))
    x0, noise, t, told, ids = task.inputs(0, [0, 1, 5])
    assert x0.shape == noise.shape == (3, 4, 9, 8, 8) and told.shape == (3, 5, 9, 8, 8)
    assert not told[:, 0].any()
    assert np.array_equal(told[:, 1:], x0[:, :, [0, 0, 0, 0, 4, 4, 4, 4, 8]])
    again = [task.inputs(9, [i]) for i in (0, 1, 5)]
    assert all(
        np.array_equal(a, np.concatenate([one[k] for one in again]))
        for k, a in enumerate((x0, noise, t, told, ids))
    )


def test_the_first_frame_model_learns_the_frames_after_it(toy, tmp_path):
    task = task_of(
        config(toy, tmp_path, interpolation__factor=0, interpolation__first_frame="true")
    )
    whole = task_of(config(toy, tmp_path)).inputs(0, [2])[0]
    x0, noise, _, told, _ = task.inputs(0, [2])
    assert np.array_equal(x0, whole[:, :, 1:]) and noise.shape == x0.shape
    assert np.array_equal(told[:, 1:], whole[:, :, :1].repeat(8, 2))


def test_strides_serve_all_stages_with_one_network_that_is_told_the_rate(toy, tmp_path):
    loaded = config(
        toy,
        tmp_path,
        interpolation__frames=3,
        interpolation__factor=2,
        interpolation__strides="[1,4]",
        model__conditions="[time, fps]",
        latents__fps=8,
    )
    task = task_of(loaded)
    *_, told, ids, fps = task.inputs(0, list(range(8)))
    assert set(fps) == {8.0, 2.0} and told.shape[2] == 3
    whole = {i: task_of(config(toy, tmp_path)).inputs(0, [i])[0] for i in range(8)}
    for i in range(8):
        stride = int(8 / fps[i])
        assert any(
            np.array_equal(told[i, 1:, 0], whole[i][0, :, start]) for start in range(9 - 2 * stride)
        )


def test_noise_on_hints_is_drawn_for_each_sample(toy, tmp_path):
    clean = task_of(config(toy, tmp_path)).inputs(0, [0, 1])[3]
    noisy = task_of(config(toy, tmp_path, interpolation__hint_noise=0.9)).inputs(0, [0, 1])[3]
    error = np.abs(noisy - clean)[:, 1:].mean((1, 2, 3, 4))
    assert error.min() > 0 and error[0] != error[1]


def test_only_what_works_over_time_can_be_trained(toy, tmp_path):
    loaded = config(
        toy,
        tmp_path,
        model__family="pseudo3d",
        latents__unet_weights="",
        model__reads="{}",
        train__train_only=json.dumps(TIME),
    )
    selection = select(task_of(loaded).network, loaded.values.train)
    found = {p.name for p in selection.trainable}
    assert found and all("temporal" in name for name in found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interpolation__factor": 1}, "factor is 1; it must be at least 2"),
        ({"interpolation__first_frame": "true"}, "both given"),
        ({"interpolation__strides": "[2]"}, "takes clips of 17 frames, and data.frames is 9"),
        ({"model__in_channels": 4}, "in_channels is 4; interpolation needs 9"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(toy, tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        config(toy, tmp_path, **changes)
