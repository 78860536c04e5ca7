"""Previews of every training: each key of preview.sample acts, samplers with noise serve, and what
is not finite costs a preview, not the training. Min-SNR and focus masks reach every loss they can.
"""

import dataclasses
import json

import mindspore as ms
import numpy as np
import pytest
from latent_toys import SIZES, VAE, folder
from mindspore import Tensor
from training_toys import ToyTask

from mindlong.config.load import load
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import TrainConfig
from mindlong.config.train_options import TrainOptions
from mindlong.data.build import build_source
from mindlong.data.source import to_network
from mindlong.diffusion.finite import NotFiniteError
from mindlong.diffusion.losses import min_snr_weights
from mindlong.diffusion.schedules import linear, zero_terminal_snr
from mindlong.media.write import write_frames
from mindlong.training.tasks import build_task, latent, pixel
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError

MODE = "pynative"

UNET = {
    "entry_heads": 2,
    **{k: list(v) if isinstance(v, tuple) else v for k, v in SIZES.items() if v},
}
COMMON = {
    "data.frames": 3,
    "data.size": [16, 16],
    "train.batch_size": 2,
    "train.seed": 3,
    "diffusion.timesteps": 50,
    "diffusion.schedule": "scaled_linear",
    "diffusion.beta_start": 0.001,
    "diffusion.beta_end": 0.2,
    "diffusion.prediction": "v",
}
SLOW = ("infinet", "interpolation")  # their networks take longest to compile
KINDS = {
    "latent": {"model": {"family": "modelscope", **UNET}},
    "infinet": {"model": {"family": "modelscope", **UNET}, "infinet.lengths": [3, 3]},
    "interpolation": {
        "model": {"family": "modelscope", **UNET, "in_channels": 9},
        "data.frames": 5,
        "interpolation.factor": 4,
    },
    "tune": {"model": {"family": "tune_a_video", **UNET}, "tune.prompt": "a dog runs"},
    "pixel": {
        "model.family": "vdm",
        "model.dim": 8,
        "model.dim_mults": [1, 2],
        "model.attn_heads": 1,
        "model.cond_dim": 8,
        "model.text.encoder": "caption",
        "model.text.width": 8,
        "model.text.heads": 2,
    },
}
SETTINGS = [
    {},
    {"sampler": "euler"},
    {"sampler": "euler_ancestral"},
    {"sampler": "dpm_solver_sde"},
    {"sampler": "ddpm"},
    {"eta": 1.0},
    {"spacing": "linspace"},
    {"flavour": "modelscope"},
    {"steps": 5},
    {"guidance": 4.0},
    {"guidance": 4.0, "rescale": 0.9},
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("toy") / "base")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    return write_frames(tmp_path_factory.mktemp("video") / "clip", frames)


def task_of(kind, base, video, run, **more):
    keys = {**COMMON, **KINDS[kind], "run_dir": str(run), **more}
    if kind == "tune":
        keys = {"tune.video": str(video), "tune.inverted": False, **keys}
    elif kind != "pixel":
        keys["latents.clips"] = 4
    if kind != "interpolation":
        keys["preview.prompts"] = ["a red circle moving left", "a cat"]
    if kind != "pixel":
        keys |= {f"latents.{part}": str(base) for part in ("vae", "text_weights")}
        keys |= {"latents.tokenizer": str(base / "tokenizer")}
        keys["latents.cache"] = str(base.parent / f"cache of {kind}")
    pairs = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in keys.items()
    ]
    config = load(None, pairs, TrainConfig).values
    return build_task(config, build_source(config.data, 0))


class Closed:
    """A closed form in place of a network: its answer depends on the words that it is given."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, x, t, *conditions):
        words = [c.asnumpy() for c in conditions if c.dtype == ms.int32]
        strength = 1.0 + 0.02 * np.float32(words[0].mean()) if words else 1.0
        if any(c.dtype == ms.bool_ and c.asnumpy().all() for c in conditions):
            strength = 1.0  # the condition is dropped
        out = np.tanh(strength * x.asnumpy()) * np.cos(t.asnumpy().mean() / 20.0)
        return Tensor((out * self.factor).astype(np.float32))

    def set_train(self, flag=True):
        return self


def previewed(task, monkeypatch, folder, closed, **sample):
    """What is sampled for a preview under other options."""
    made = []
    for module in (latent, pixel):
        real = module.drawn

        def keep(*a, real=real, **k):
            made.append(real(*a, **k))
            return made[-1]

        monkeypatch.setattr(module, "drawn", keep)
    if hasattr(task, "hinted"):
        monkeypatch.setattr(task, "hinted", closed)
    elif isinstance(task, pixel.PixelTask):
        monkeypatch.setattr(type(task.network), "__call__", lambda self, *a: closed(*a))
    else:
        monkeypatch.setattr(task, "network", closed)
    options = SampleOptions(**{"steps": 4, **sample})
    task.config = dataclasses.replace(
        task.config, preview=dataclasses.replace(task.config.preview, sample=options)
    )
    files = task.preview(1, folder)
    monkeypatch.undo()
    assert files and all(file.stat().st_size > 100 for file in files)
    return np.concatenate([array.ravel() for array in made])


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow if k in SLOW else ()) for k in KINDS],
)
def test_every_key_of_preview_sample_acts_in_every_training(
    kind, base, video, tmp_path, monkeypatch
):
    task = task_of(kind, base, video, tmp_path / "run")
    made = [previewed(task, monkeypatch, tmp_path, Closed(), **keys) for keys in SETTINGS]
    again = previewed(task, monkeypatch, tmp_path, Closed(), **SETTINGS[2])
    np.testing.assert_array_equal(made[2], again)
    for i, one in enumerate(made):
        assert np.isfinite(one).all(), SETTINGS[i]
        for j, other in enumerate(made[:i]):
            assert np.abs(one - other).max() > 1e-4, (SETTINGS[i], SETTINGS[j])


def test_dynamic_thresholds_act_in_pixels_and_are_refused_in_latents(
    base, video, tmp_path, monkeypatch
):
    task = task_of("pixel", base, video, tmp_path / "run")
    plain, other = (
        previewed(task, monkeypatch, tmp_path, Closed(3.0), dynamic_threshold=quantile)
        for quantile in (0.0, 0.5)
    )
    assert np.abs(plain - other).max() > 1e-3
    task = task_of("latent", base, video, tmp_path / "run")
    with pytest.raises(ConfigError, match="dynamic_threshold is 0.5; it is for networks of pixels"):
        previewed(task, monkeypatch, tmp_path, Closed(), dynamic_threshold=0.5)


def test_a_preview_from_inverted_noise_takes_any_sampler(base, video, tmp_path, monkeypatch):
    keys = {"tune.inverted": True, "tune.inversion_steps": 4}
    task = task_of("tune", base, video, tmp_path / "run", **keys)
    for word in ("", "euler", "euler_ancestral"):
        previewed(task, monkeypatch, tmp_path, Closed(), sampler=word)


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_reaches_the_loss_of_every_training(kind, base, video, tmp_path):
    plain = task_of(kind, base, video, tmp_path / "run")
    task = task_of(kind, base, video, tmp_path / "run", **{"diffusion.min_snr": 5.0})
    schedule = task.noising.schedule
    want = min_snr_weights(schedule, "v", 5.0).astype(np.float32)
    np.testing.assert_array_equal(task.loss.weights.asnumpy(), want)
    assert (plain.loss.weights.asnumpy() == 1).all() and want.min() < 0.5


def test_pixel_training_follows_the_diffusion_section(base, video, tmp_path):
    keys = {"diffusion.schedule": "linear", "diffusion.zero_terminal_snr": True}
    task = task_of("pixel", base, video, tmp_path, **keys)
    want = zero_terminal_snr(linear(50, 0.001, 0.2)).alphas_cumprod
    np.testing.assert_array_equal(task.noising.schedule.alphas_cumprod, want)
    np.testing.assert_allclose(task.loss.alpha.asnumpy() ** 2, want, atol=1e-6)
    assert task.loss.alpha.asnumpy()[-1] == 0
    with pytest.raises(ConfigError, match="zero_terminal_snr needs diffusion.prediction=v"):
        task_of("pixel", base, video, tmp_path, **keys, **{"diffusion.prediction": "eps"})


def test_at_pure_noise_the_target_in_pixels_is_the_captions_mean(base, video, tmp_path):
    keys = {"diffusion.zero_terminal_snr": True, "diffusion.terminal_clips": 30}
    task = task_of("pixel", base, video, tmp_path, **keys, **{"diffusion.terminal_mean": 0.5})
    videos, _, t, *_ = task.inputs(0, list(range(12)))
    ends = t == 49
    assert 0 < ends.sum() < 12
    for shown, index, end in zip(videos, range(12), ends, strict=True):
        clip = task.source.sample(index)
        wanted = task.means.of(clip) if end else clip.frames_FHWC
        assert np.allclose(shown, to_network(wanted[None])[0], atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_focus_masks_are_drawn_for_each_sample(share, base, video, tmp_path):
    task = task_of("pixel", base, video, tmp_path, **{"diffusion.focus_present": share})
    together = task.inputs(0, list(range(40)))
    apart = [task.inputs(9, [i]) for i in range(40)]
    for place, array in enumerate(together):
        assert np.array_equal(array, np.concatenate([one[place] for one in apart]))
    focus = together[3]
    assert focus.dtype == bool and focus.shape == (40,)
    assert focus.all() if share == 1 else 5 <= focus.sum() <= 20
    many = [task._focus([i])[0][0] for i in range(2000)]
    assert abs(np.mean(many) - share) < 0.04
    dropped = task._chosen("cond-drop", share, list(range(2000)))
    assert share == 1 or 0.5 < np.mean(dropped == many) < 0.65  # drawn apart from the captions


def test_a_focused_sample_reads_no_other_frame_and_its_neighbour_does(base, video, tmp_path):
    task = task_of("pixel", base, video, tmp_path, **{"diffusion.focus_present": 0.5})
    video_, noise, t, focus, *conditions = task.inputs(0, [0, 1])
    focus = np.array([True, False])
    for parameter in task.network.get_parameters():
        values = np.random.default_rng(len(parameter.name)).standard_normal(parameter.shape)
        parameter.set_data(Tensor(0.2 * values.astype(np.float32)))
    other = noise.copy()
    other[:, :, 2] += 1.0

    def predicted(x):
        inputs = [Tensor(array) for array in (x, t, focus, *conditions)]
        return task.loss.network(*inputs).asnumpy()[:, :, 0]

    change = np.abs(predicted(noise) - predicted(other)).max((1, 2, 3))
    assert change[0] == 0 and change[1] > 1e-4
    loss = task.loss(*map(Tensor, (video_, noise, t, focus, *conditions))).asnumpy()
    free = task.loss(*map(Tensor, (video_, noise, t, ~focus, *conditions))).asnumpy()
    assert np.isfinite(loss) and loss != free


def test_focus_present_is_refused_where_frames_are_read_by_a_table(base, video, tmp_path):
    with pytest.raises(ConfigError, match="focus_present (is not read by task latent|is 0.5)"):
        task_of("latent", base, video, tmp_path, **{"diffusion.focus_present": 0.5})
    with pytest.raises(ConfigError, match="focus_present is 7; a share is at most 1"):
        task_of("pixel", base, video, tmp_path, **{"diffusion.focus_present": 7})


def test_keys_that_a_previews_sampler_does_not_read_are_refused_before_training(
    base, video, tmp_path
):
    more = {"preview.sample.sampler": "euler", "preview.sample.eta": 1.0}
    with pytest.raises(
        ConfigError, match="preview.sample.eta is not read where preview.sample.sampler is euler"
    ):
        task_of("latent", base, video, tmp_path, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_preview_that_is_not_finite_names_the_step(kind, base, video, tmp_path, monkeypatch):
    task = task_of(kind, base, video, tmp_path / "run")
    with pytest.raises(NotFiniteError, match="step 1 of 4 .* in (preview|keys)"):
        previewed(task, monkeypatch, tmp_path, Closed(np.nan))


class Unsound(ToyTask):
    """Its previews are not finite."""

    def preview(self, step, folder):
        raise NotFiniteError("the sample is not finite at step 2 of 4")


def test_a_preview_that_is_not_finite_does_not_end_the_training(tmp_path, caplog):
    options = TrainOptions(
        steps=4, batch_size=2, preview_every=2, workers=0, warmup=0, ema_decay=0.9
    )
    outcome = Trainer(Unsound(), options, tmp_path).run()
    assert outcome.step == 4 and outcome.checkpoint
    lines = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert len(lines) == 2 and "no preview of step 2. the sample is not finite" in lines[0]


def test_the_toys_autoencoder_halves_the_size():
    assert VAE.factor == 2
