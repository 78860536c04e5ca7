"""Sampling in pixels: the noising process is the training's, and a video can lie between two."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.find import Trained
from mindlong.checkpoints.load import arrays_of
from mindlong.config.load import load
from mindlong.config.pipelines import PIPELINES
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import TrainConfig
from mindlong.data.source import to_network
from mindlong.diffusion.finite import NotFiniteError
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.schedules import cosine, scaled_linear, zero_terminal_snr
from mindlong.media.write import write_frames
from mindlong.networks.init import initialise
from mindlong.networks.unet3d.conditioned import of_model
from mindlong.pipelines.pixel.make import Between, PixelVideo, Request, pipeline_of
from mindlong.pipelines.pixel.plan import given_videos, visited
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"

MODEL = ["model.family=vdm", "model.dim=8", "model.dim_mults=[1,2]", "model.attn_heads=1"]
DATA = ["data.frames=3", "data.size=[8,8]", "diffusion.prediction=v", "diffusion.timesteps=40"]


def trained(*more):
    config = load(None, [*MODEL, *DATA, *more], TrainConfig).values
    return Trained(arrays_of(initialise(of_model(config.model), 0)), config, Path("run"))


def asked(*keys):
    return load(None, ["pipeline=pixel", *keys], PIPELINES["pixel"].schema).values


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two videos of one colour each, dark and light."""
    folder = tmp_path_factory.mktemp("videos")
    frames = [np.full((5, 8, 8, 3), shade, np.uint8) for shade in (40, 215)]
    return [str(write_frames(folder / name, f)) for name, f in zip("ab", frames, strict=True)]


def test_a_run_is_sampled_by_the_process_that_it_was_trained_on():
    plain = pipeline_of(asked("sample.steps=3"), trained())
    np.testing.assert_array_equal(plain.noising.schedule.betas, cosine(40).betas)
    words = "diffusion.schedule=scaled_linear", "diffusion.zero_terminal_snr=true"
    other = pipeline_of(asked("sample.steps=3"), trained(*words))
    want = zero_terminal_snr(scaled_linear(40)).betas
    np.testing.assert_array_equal(other.noising.schedule.betas, want)
    assert plain.noising.bound == other.noising.bound == 1.0 and other.noising.prediction == "v"
    made = [pipeline.run([Request("", 0)]) for pipeline in (plain, other)]
    assert made[0].shape == (1, 3, 8, 8, 3) and (made[0] != made[1]).any()


class Blend:
    """The best possible network of videos of one shade: what is left of x, clean."""

    def __init__(self, noising):
        self.noising = noising

    def set_train(self, flag=True):
        return self

    def denoiser(self, prompts, guidance, rescale):
        def model(x, t):
            level = self.noising.schedule.level(int(t[0]))
            x0 = np.broadcast_to((x / level.alpha).mean((1, 2, 3, 4), keepdims=True), x.shape)
            eps = (x - level.alpha * x0) / level.sigma
            return (level.alpha * eps - level.sigma * x0).astype(np.float32)

        return model


@pytest.mark.parametrize("sampler, steps", [("", 6), ("ddpm", 11), ("euler", 6)])
@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_a_video_between_two_is_their_mixture(videos, sampler, steps, mix):
    noising = Noising(cosine(40), "v", bound=1.0)
    config = asked(
        "prompts=[one,two]", f"pixel.interpolate=[{','.join(videos)}]", "pixel.timestep=10"
    )
    given = given_videos(config, trained().config)
    assert given.shape == (2, 3, 8, 8, 3)
    seen = []
    pipeline = PixelVideo(
        Blend(noising), noising, (3, 3, 8, 8), SampleOptions(sampler, 6), Between(given, mix, 10)
    )
    requests = [Request("one", 5, 0), Request("two", 5, 1)]
    made = pipeline.run(requests, lambda step, total, x0: seen.append(total) and None)
    assert seen == [steps] * steps and pipeline.count_steps() == steps
    want = (1 - mix) * 40 + mix * 215
    assert abs(to_network(made).mean() - (want / 127.5 - 1)) < 0.1
    again = next(pipeline.batches(requests[1:], 1))[1]
    assert np.abs(again.astype(int) - made[1:].astype(int)).max() <= 1  # of its own noise


@pytest.mark.slow
def test_the_whole_way_takes_every_timestep(videos):
    ms.set_context(mode=ms.GRAPH_MODE)  # many steps
    config = asked(f"pixel.interpolate=[{','.join(videos)}]", "sample.sampler=ddpm")
    pipeline = pipeline_of(config, trained())
    assert pipeline.count_steps() == 40
    assert pipeline.run([Request("", 0)]).shape == (1, 3, 8, 8, 3)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["pixel.interpolate=[a.mp4]"], "names 1 videos; it needs two"),
        (["pixel.interpolate=[a,b]", "pixel.mix=1.5"], "pixel.mix is 1.5; it is a share"),
        (["pixel.timestep=5"], "pixel.timestep is not read where"),
        (["pixel.mix=0.2"], "pixel.mix is not read where"),
        (["pixel.interpolate=[/no/a.mp4,/no/b.mp4]"], "/no/a.mp4"),
        (["pixel.interpolate=[{0},{1}]", "pixel.timestep=40"], "has the timesteps 1 to 39"),
        (["pixel.interpolate=[{0},{1}]", "frames=6"], "has 5 frames"),
        (["pixel.interpolate=[{0},{1}]", "sample.steps=20", "pixel.timestep=9"], "steps is 20"),
    ],
)
def test_what_cannot_be_mixed_is_a_sentence(videos, keys, words):
    with pytest.raises((ConfigError, InputFileError), match=words):
        config = asked(*(key.format(*videos) for key in keys))
        pipeline_of(config, trained()).count_steps()


def test_a_grey_network_does_not_mix_coloured_videos(videos):
    config = asked(f"pixel.interpolate=[{','.join(videos)}]")
    with pytest.raises(ConfigError, match="the network has 1 channels"):
        given_videos(config, trained("model.channels=1").config)


def test_what_is_left_of_the_process_is_counted(videos):
    config = asked(f"pixel.interpolate=[{','.join(videos)}]", "pixel.timestep=7")
    assert visited(config, trained().config).schedule.timesteps == 8
    assert visited(asked(), trained().config).schedule.timesteps == 40


def test_predictions_that_are_not_finite_end_with_the_video_and_its_frames():
    pipeline = pipeline_of(asked("sample.steps=4"), trained())
    last = next(
        p for p in pipeline.network.get_parameters() if p.name.endswith("final.conv.weight")
    )
    last.set_data(Tensor(np.full(last.shape, np.nan, np.float32)))
    words = r"step 1 of 4 \(timestep 39\), in video 7 \('a cat'\), frames 0-2"
    with pytest.raises(NotFiniteError, match=words):
        pipeline.run([Request("a cat", 0, 7)])


def test_a_diffusion_section_is_a_noising_process():
    config = trained("diffusion.schedule=linear").config
    assert of_options(config.diffusion).bound is None
    assert of_options(config.diffusion, bound=1.0).bound == 1.0
