"""Training of motion modules with the published recipe at a tiny size: only they learn, and what is
saved of them goes with any image model.
"""

import motion_toys as toys
import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.parts import read_part
from mindlong.cli.convert import command as convert
from mindlong.cli.train import main
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.networks.unet import motion
from mindlong.utils.errors import ConfigError

CONFIGS = ("animatediff_v1", "animatediff_v3")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return toys.image(tmp_path_factory.mktemp("image") / "sd")


def pairs(image, run, **more):
    given = {
        "model": "configs/model/animatediff_tiny.yaml",
        "model.version": "v3",
        "model.channels": "[16,32]",
        "model.context_dim": 24,
        "model.heads": "[8]",
        "latents.unet_weights": image,
        "latents.vae": image,
        "latents.text_weights": image,
        "latents.tokenizer": image / "tokenizer",
        "latents.clips": 3,
        "data.kind": "shapes",
        "data.frames": 3,
        "data.size": "[16,16]",
        "diffusion.schedule": "linear",
        "diffusion.loss": "l2",
        "diffusion.cond_drop": 0.1,
        "train.train_only": "['unet.*.motion.*']",
        "train.steps": 2,
        "train.batch_size": 2,
        "train.lr": 0.01,
        "train.optimizer": "adamw",
        "train.ema_decay": 0,
        "train.preview_every": 0,
        "run_dir": run,
        "env.mode": "pynative",
    }
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return [f"{key}={value}" for key, value in given.items()]


@pytest.mark.slow
def test_only_the_modules_learn_and_are_saved_for_other_programs(tmp_path, image):
    run = tmp_path / "run"
    assert main(pairs(image, run)) == 0
    step = sorted((run / "checkpoints").glob("step-*"))[-1]
    plain, trained = read_part(open_weights(image), "network"), open_weights(step)
    for name, lazy in plain.arrays.items():
        assert np.array_equal(trained.read(f"unet.{name}"), lazy.read()), name
    alone = open_weights(step / "motion.safetensors")
    assert set(alone) == set(toys.state("v3"))
    for name in alone:
        if name.endswith("proj_out.weight"):
            assert alone.read(name).any(), name  # it starts at zero
    for named in (step / "motion.safetensors", step):
        options = LatentModelOptions(motion=str(named))
        parts = find_latent_parts(str(image), options)
        assert parts.network.spec == toys.spec_of("v3")
        key = "mid.0.spatial.block.attn2.to_q.weight"
        assert np.array_equal(parts.network.arrays[key].read(), plain.arrays[key].read())
        key = "down.0.motion.proj_out.weight"
        assert np.array_equal(parts.network.arrays[key].read(), trained.read(f"unet.{key}"))
    out = ["--src", str(step), "--part", "motion", "--layout", "guoyww"]
    assert convert([*out, "--dst", str(tmp_path / "mine.ckpt")]) == 0
    mine = open_weights(tmp_path / "mine.ckpt")
    assert all(np.array_equal(mine.read(n), alone.read(n)) for n in alone)
    again = pairs(image, tmp_path / "again", latents__motion=tmp_path / "mine.ckpt")
    assert main([*again, "train.steps=1", "train.lr=0"]) == 0
    step = sorted((tmp_path / "again/checkpoints").glob("step-*"))[-1]
    back = open_weights(step / "motion.safetensors")
    assert all(np.array_equal(back.read(n), alone.read(n)) for n in alone)


def test_fresh_modules_change_nothing():
    """proj_out starts at zero, weight and bias."""
    from mindspore import Tensor

    from mindlong.networks.init import initialise
    from mindlong.networks.unet.blocks import Transformer

    spec = toys.spec_of("v3")
    stage = motion.stage_of(spec)
    net = Transformer(spec, stage, 16, 8, 2)
    initialise(net, 0)
    x = np.random.default_rng(0).standard_normal((6, 16, 2, 3)).astype(np.float32)
    assert np.array_equal(net(Tensor(x), None, None, 3).asnumpy(), x)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_published_numbers_are_in_the_files(name):
    config = load(f"configs/train/{name}.yaml", [], TrainConfig).values
    train, diffusion, data = config.train, config.diffusion, config.data
    assert (train.lr, train.weight_decay, train.clip_norm, train.batch_size) == (1e-4, 1e-2, 1, 4)
    assert (data.frames, data.size, data.stride, data.flip) == (16, [256, 256], 4, True)
    betas = (diffusion.schedule, diffusion.beta_start, diffusion.beta_end)
    assert betas == ("linear", 0.00085, 0.012) and diffusion.cond_drop == 0.1
    stage = motion.stage_of(config.model.spec())
    assert config.model.spec().joint == (name == "animatediff_v1")
    assert (stage.places, stage.mid) == ((24 if name == "animatediff_v1" else 32), False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"data__frames": 33}, r"data\.frames: .*places for 32"),
        ({"model__version": "v4"}, "version"),
        ({"model__version": "v1", "data__frames": 25}, "places for 24"),
        ({"model__family": "modelscope", "latents__motion": "a"}, "has no motion modules|version"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(tmp_path, image, more, words):
    with pytest.raises(ConfigError, match=words):
        load(None, pairs(image, tmp_path / "run", **more), TrainConfig)
