"""The task that distils a network to a few steps: what it draws, whom it compares with, what it
keeps, and that a stopped run goes on to the same bits.
"""

import latent_toys
import mindspore as ms
import numpy as np
import pytest
from training_toys import same_bits

from mindlong.checkpoints import saved_steps, store
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.training.ema import Ema
from mindlong.training.tasks import build_task
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError

MODE = "pynative"

BASE = {
    "model.family": "modelscope",
    "model.entry_heads": "2",
    "model.channels": "[16,32]",
    "model.attends": "[true,false]",
    "model.layers": "1",
    "model.context_dim": "24",
    "model.groups": "8",
    "model.head_dim": "8",
    "data.frames": "2",
    "data.size": "[16,16]",
    "latents.clips": "2",
    "diffusion.schedule": "scaled_linear",
    "diffusion.beta_start": "0.001",
    "diffusion.beta_end": "0.2",
    "diffusion.timesteps": "50",
    "diffusion.prediction": "v",
    "distil.original": "10",
    "distil.guidance": "[2,3]",
    "train.batch_size": "2",
    "train.steps": "4",
    "train.lr": "0.01",
    "train.save_every": "1",
    "train.ema_decay": "0.9",
}
FROZEN = "unet.mid.0.res.conv1.weight"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("distil") / "teacher")


def loaded(teacher, **more):
    places = {
        "distil.teacher": teacher,
        "latents.vae": teacher,
        "latents.text_weights": teacher,
        "latents.tokenizer": teacher / "tokenizer",
        "latents.cache": teacher.parent / "cache",
    }
    words = {**BASE, **places, **{k.replace("__", "."): v for k, v in more.items()}}
    return load(None, [f"{key}={value}" for key, value in words.items()], TrainConfig)


def task_of(config):
    return build_task(config.values, build_source(config.values.data, 0))


@pytest.fixture(scope="module")
def task(teacher):
    return task_of(loaded(teacher))


def test_a_sample_is_drawn_on_the_solvers_points_by_its_number_alone(task):
    x0, noise, t, before, scale, ids = task.inputs(0, list(range(40)))
    assert set(t) == set(range(4, 50, 5)) and x0.shape == noise.shape
    np.testing.assert_array_equal(before, np.maximum(t - 5, 0))
    assert scale.min() >= 2 and scale.max() <= 3 and scale.std() > 0.1
    for ours, again in zip(task.inputs(7, [31]), (x0, noise, t, before, scale, ids), strict=True):
        np.testing.assert_array_equal(ours[0], again[31])


def test_the_target_holds_the_averages_of_the_trainer(task):
    weights = [p for p in task.network.get_parameters() if p.name.startswith("unet.")]
    options = loaded_options(ema_decay=0.75)
    ema = Ema(weights, options, task.averaged(weights))
    own = {p.name: np.array(p.asnumpy()) for p in task.target.get_parameters()}
    for p in weights:
        p.set_data(p + 4.0)
    ema.update(1)
    for p in task.target.get_parameters():
        np.testing.assert_allclose(p.asnumpy(), own[p.name] + 1.0, atol=1e-5)
    for p in weights:
        p.set_data(p - 4.0)
    ema.start()


def loaded_options(**more):
    words = [f"train.{key}={value}" for key, value in more.items()]
    return load(None, ["model.family=vdm", *words], TrainConfig).values.train


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"distil__guidance": "[3,2]"},
            "distil.guidance is .3.0, 2.0.; it must be .lowest, highest",
        ),
        ({"distil__original": "51"}, "distil.original is 51, more than the 50"),
        ({"train__ema_decay": "0"}, "distil.target=ema needs train.ema_decay above 0"),
        ({"train__ema_every": "2"}, "and train.ema_every=1"),
        (
            {"infinet__lengths": "[3,3]", "data__frames": "3"},
            "distil.teacher and infinet.lengths are different",
        ),
        ({"diffusion__cond_drop": "0.1"}, "diffusion.cond_drop is not read by task distil"),
        ({"distil__loss": "l2", "distil__huber_c": "0.1"}, "distil.huber_c"),
        ({"train__lora__rank": "2", "train__start": "a"}, "LCM-LoRAs are: distil.target=student"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(teacher, more, words):
    with pytest.raises(ConfigError, match=words):
        loaded(teacher, **more)


def test_a_teacher_needs_the_text_encoder_that_it_reads(teacher):
    with pytest.raises(ConfigError, match="distil.teacher needs latents.text_weights"):
        loaded(teacher, latents__text_weights="", latents__text_encoder="a.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ema", "student", "told", "lora"])
def test_a_stopped_distillation_goes_on_to_the_same_bits(teacher, tmp_path, kind):
    """Compiled, as trainings run."""
    ms.set_context(mode=ms.GRAPH_MODE)
    more = {"distil__target": "student"} if kind in ("student", "lora") else {}
    more |= {"train__lora__rank": "2", "train__start": str(teacher)} if kind == "lora" else {}
    more |= {"model__guidance_dim": "32"} if kind == "told" else {}
    if kind == "ema":
        more["train__freeze"] = "['unet.*.res.conv1.*']"

    def run(folder, steps):
        config = loaded(teacher, train__steps=str(steps), run_dir=str(folder), **more)
        task = task_of(config)
        outcome = Trainer(task, config.values.train, folder).run()
        assert outcome.step == steps, f"stopped by {outcome.stopped_by}"  # from outside
        return store.load(saved_steps.latest(folder))[0]

    whole = run(tmp_path / "whole", 2)
    run(tmp_path / "parts", 1)
    parts = run(tmp_path / "parts", 2)
    assert set(whole) == set(parts) >= {"network", "ema", "optimizer"}
    assert all(same_bits(whole[name], parts[name]) for name in whole)
    if kind == "lora":
        assert {"pytorch_lora_weights", "lora_kohya"} <= set(whole) and "tuned" not in whole
        ups = [a for n, a in whole["pytorch_lora_weights"].items() if "lora_B" in n]
        assert ups and all(a.any() for a in ups)
        return
    before = find_latent_parts(str(teacher), LatentModelOptions()).network.arrays
    moved = {
        n for n, a in before.items() if not np.array_equal(a.read(), whole["ema"][f"unet.{n}"])
    }
    assert "conv_out.weight" in moved
    if kind == "told":
        assert whole["ema"]["unet.guidance_embedding.proj.weight"].any()
    if kind == "ema":
        assert FROZEN.removeprefix("unet.") not in moved and FROZEN not in whole["tuned"]
        np.testing.assert_array_equal(
            whole["tuned"]["unet.conv_out.weight"], whole["ema"]["unet.conv_out.weight"]
        )
    else:
        assert "tuned" not in whole
