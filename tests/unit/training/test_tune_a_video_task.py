"""Tuning on a video: what learns, what is kept of it, and what a user can get wrong."""

import mindspore as ms
import numpy as np
import pytest
from latent_toys import folder
from tune_toys import config, task_of

from mindlong.checkpoints import changed
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.parts import read_part
from mindlong.data.one_shot import OneShot, read_clip, window_starts
from mindlong.media.write import write_frames
from mindlong.networks.unet.families import family
from mindlong.networks.unet.names import names
from mindlong.training.task import select
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("base") / "images", "stable_diffusion")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 256, (8, 16, 24, 3)).astype(np.uint8)
    return write_frames(tmp_path_factory.mktemp("video") / "clip", frames)


@pytest.fixture(scope="module")
def tuned(base, video, tmp_path_factory):
    """A run of two steps: its folder, and the network's tensors before and after."""
    run = tmp_path_factory.mktemp("run")
    loaded = config(base, video, run)
    task = task_of(loaded)
    before = {p.name: p.asnumpy().copy() for p in task.network.get_parameters()}
    Trainer(task, loaded.values.train, run, config_text=loaded.text).run()
    return run, before, {p.name: p.asnumpy().copy() for p in task.network.get_parameters()}


@pytest.mark.parametrize(("compat", "tensors"), [("", 112), ("tune_a_video", 70)])
def test_exactly_the_published_tensors_learn_in_the_published_network(compat, tensors):
    from mindlong.config.tune_options import TuneOptions

    spec, options = family("tune_a_video").spec(), TuneOptions(compat=compat)
    entries = names(spec, "diffusers")
    published = {
        e.source
        for e in entries
        if e.source.rsplit(".", 1)[0].endswith(("attn1.to_q", "attn2.to_q"))
        or ".attn_temp." in e.source
    }
    ours = {e.source for e in entries if options.chooses(f"unet.{e.ours}")}
    assert len(ours) == tensors and len(published) == 112
    assert ours == {name for name in published if not (compat and name.startswith("down_blocks"))}
    assert options.count(spec) == (48_545_600 if compat else 74_354_880)


def test_tuning_moves_the_published_tensors_and_nothing_else(tuned):
    _, before, after = tuned
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    may = {
        name
        for name in before
        if ".to_q." in name and (".attn1." in name or ".attn2." in name) or ".attn_temp." in name
    }
    assert moved <= may
    # queries and keys of a temporal attention whose output weight was zero have no gradient in the
    # first step, later they do
    assert {name.split(".")[1] for name in moved} == {"down", "mid", "up"}
    assert {name.rsplit(".", 2)[1] for name in moved} >= {"to_q", "to_out", "to_v"}


def test_a_fresh_inflated_network_gives_the_image_models_prediction(base, video, tmp_path):
    from mindspore import Tensor

    from mindlong.pipelines.load_model import load_latent_model

    task = task_of(config(base, video, tmp_path))
    x = np.random.default_rng(1).standard_normal((1, 4, 1, 8, 8)).astype(np.float32)
    ids = task.tokenizer(["a dog"])
    ours = task.network(Tensor(x), Tensor(np.array([7], np.int32)), Tensor(ids)).asnumpy()
    pictures = load_latent_model(str(base))
    want = pictures.predict(x, np.array([7]), pictures.encode_text(["a dog"]))
    np.testing.assert_allclose(ours, want, atol=2e-5)
    compat = task_of(config(base, video, tmp_path / "c", tune__compat="tune_a_video"))
    biases = [
        p for p in compat.network.get_parameters() if p.name.endswith("attn_temp.to_out.bias")
    ]
    assert (
        all(p.asnumpy().any() and abs(p.asnumpy()).max() <= p.shape[0] ** -0.5 for p in biases)
        and biases
    )


def test_the_small_file_over_the_base_is_the_whole_network(tuned, base):
    run, _, after = tuned
    step = next((run / "checkpoints").glob("step-*"))
    whole, small = step / "network.safetensors", step / "tuned.safetensors"
    part = changed.tuned_over(read_part(open_weights(base), "unet", "tune_a_video"), step)
    assert {f"unet.{name}" for name in part.arrays} == {
        name for name in after if name.startswith("unet.")
    }
    assert all(
        np.array_equal(lazy.read(), after[f"unet.{name}"]) for name, lazy in part.arrays.items()
    )
    assert small.stat().st_size < 0.5 * whole.stat().st_size


def test_a_small_file_over_other_weights_is_refused(tuned, base):
    step = next((tuned[0] / "checkpoints").glob("step-*"))
    part = read_part(open_weights(base), "unet", "tune_a_video")
    other = {**part.arrays, "conv_in.weight": part.arrays["conv_out.weight"]}
    with pytest.raises(InputFileError, match="was tuned from other weights"):
        changed.tuned_over(type(part)(part.family, part.spec, other), step)
    with pytest.raises(InputFileError, match="is no file of tuned tensors"):
        changed.tuned_over(part, step / "network.safetensors")
    with pytest.raises(InputFileError, match="holds no tuned.safetensors"):
        changed.tuned_over(part, tuned[0])


def test_previews_are_drawn_from_the_inverted_clip(tuned):
    assert (tuned[0] / "previews/step-00000002.gif").stat().st_size > 200


def test_a_tuned_checkpoint_goes_on_with_its_own_temporal_layers(tuned, base, video, tmp_path):
    step = next((tuned[0] / "checkpoints").glob("step-*"))
    for compat in ("", "tune_a_video"):
        task = task_of(
            config(
                base,
                video,
                tmp_path / (compat or "plain"),
                latents__unet_weights=step,
                tune__compat=compat,
            )
        )
        assert all(
            np.array_equal(p.asnumpy(), tuned[2][p.name])
            for p in task.network.unet.get_parameters()
        )


def test_compat_leaves_the_way_down_out_of_the_selection(base, video, tmp_path):
    loaded = config(base, video, tmp_path, tune__compat="tune_a_video")
    chosen = {p.name for p in select(task_of(loaded).network, loaded.values.train).trainable}
    assert not any(name.startswith("unet.down") for name in chosen) and any(
        name.startswith("unet.up") for name in chosen
    )


def test_clips_are_the_frames_asked_for(video):
    from mindlong.media.read import read_video

    frames = read_video(video)[0]
    clip = read_clip(video, 3, (16, 24), start=1, stride=2)
    assert np.array_equal(clip, frames[[1, 3, 5]])
    assert read_clip(video, 2, (8, 8), fit="stretch").shape == (2, 8, 8, 3)
    cut = read_clip(video, 2, (16, 16))
    assert np.array_equal(cut, frames[:2, :, 4:20])
    windows = OneShot([(str(video), "x")], 3, (16, 16), stride=2, windows=3)
    assert len(windows) == 3 and window_starts(8, 3, 2, 0, 3) == [0, 1, 3]
    assert np.array_equal(windows.sample(5).frames_FHWC, frames[[3, 5, 7], :, 4:20])


def test_a_video_that_does_not_fit_says_what_would(video):
    with pytest.raises(
        InputFileError, match="has 8 frames; 5 frames from number 0 at a stride of 2 need 9"
    ):
        read_clip(video, 5, (16, 16), stride=2)
    with pytest.raises(
        InputFileError, match="16 pixels high and 24 wide; 16 by 16 has other proportions"
    ):
        read_clip(video, 2, (16, 16), fit="refuse")
    with pytest.raises(ConfigError, match="tune.windows is 4; a video of 8 frames has room for 2"):
        window_starts(8, 7, 1, 0, 4)


def test_what_a_configuration_gets_wrong(base, video, tmp_path):
    for more, words in (
        ({"tune__prompt": ""}, "has no prompt"),
        ({"model__family": "stable_diffusion"}, "tune_a_video is"),
        ({"tune__videos": "[a.mp4]"}, "1 videos and tune.prompts 0 prompts"),
    ):
        with pytest.raises(ConfigError, match=words):
            config(base, video, tmp_path, **more)
    with pytest.raises(
        ConfigError, match="says that the network predicts v; give diffusion.prediction=v"
    ):
        task_of(config(base, video, tmp_path, diffusion__prediction="eps"))
    with pytest.raises(ConfigError, match="another noising process"):
        task_of(config(base, video, tmp_path, diffusion__beta_end=0.3))
    with pytest.raises(ConfigError, match="matches no parameter"):
        task_of(config(base, video, tmp_path, tune__trainable="['unet.*.attn9.*']"))
    with pytest.raises((ConfigError, InputFileError), match="tokenizer|vocab"):
        task_of(config(base, video, tmp_path, latents__tokenizer=tmp_path / "none"))


def test_a_prompt_that_is_too_long_is_said_to_be_cut(base, video, tmp_path, caplog):
    task_of(
        config(base, video, tmp_path, tune__prompt="a very long story", latents__cache=tmp_path)
    )
    assert "tokens of the prompt 'a very long story' are cut off" in caplog.text


@pytest.mark.slow
def test_the_inverted_noise_leads_back_to_the_clip(tuned, base, video, tmp_path):
    """More steps, a better way back."""
    ms.set_context(mode=ms.GRAPH_MODE)  # many steps: quicker compiled
    task = task_of(config(base, video, tmp_path, tune__inversion_steps=25))
    z = task.cache.latent(0, np.zeros(task.cache.shape, np.float32))[None] * np.float32(
        task.scaling
    )
    errors = []
    for steps in (5, 25):
        task.options.inversion_steps = task.config.preview.sample.steps = steps
        model = task._with([""])
        errors.append(float(np.square(task.denoised(model, model, np.zeros_like(z)) - z).mean()))
    assert errors[1] < 0.5 * errors[0]
