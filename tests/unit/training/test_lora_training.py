"""Training LoRAs: layers against their formula, a tuning whose files are enough to have it again,
and what is refused.
"""

from __future__ import annotations

import latent_toys
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from tune_toys import tuning

from mindlong.checkpoints import saved_steps, store
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.lora.merge import merge
from mindlong.checkpoints.lora.targets import check_base
from mindlong.cli.infer import command
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.load import load
from mindlong.config.lora_words import Wanted
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.media.write import write_frames
from mindlong.ops.conv import Conv2d, TemporalConv
from mindlong.ops.linear import Linear
from mindlong.ops.lora import adapt
from mindlong.training.step import Gradients
from mindlong.training.tasks import build_task
from mindlong.training.trainer import Trainer
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError, InputFileError, UserError

MODE = "pynative"

FRAMES = 2


LAYERS = {
    "linear": (lambda: Linear(5, 7), (3, 4, 5)),
    "convolution": (lambda: Conv2d(5, 7, 3, stride=2, padding=1), (2, 5, 6, 8)),
    "1x1": (lambda: Conv2d(5, 7, 1, bias=False), (2, 5, 4, 4)),
    "over frames": (lambda: TemporalConv(5, 7), (2, 5, 3, 2, 2)),
    "linear, C++": (lambda: Linear(16, 32), (3, 4, 16)),
    "over frames, C++": (lambda: TemporalConv(16, 16), (2, 16, 3, 2, 2)),
}


def drawn(*shape):
    return rng.normal(shape, 0, "lora", str(shape)).astype(np.float32)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_with_a_lora_is_the_layer_with_the_merged_weight(kind):
    make, shape = LAYERS[kind]
    cell, merged, x = make(), make(), Tensor(drawn(*shape))
    for each in (cell, merged):
        each.weight.set_data(Tensor(drawn(*each.weight.shape)))
    plain = merged(x).asnumpy()
    made = adapt(cell, 2, 0.75, rng.generator(0, "a"))
    assert np.array_equal(cell(x).asnumpy(), plain)  # B is zero
    assert np.abs(made.down.weight.asnumpy()).max() <= np.prod(cell.weight.shape[1:]) ** -0.5
    up = drawn(*made.up.weight.shape)
    made.up.weight.set_data(Tensor(up))
    delta = up.reshape(-1, 2) @ made.down.weight.asnumpy().reshape(2, -1)
    merged.weight.set_data(merged.weight + Tensor(0.75 * delta.reshape(merged.weight.shape)))
    np.testing.assert_allclose(cell(x).asnumpy(), merged(x).asnumpy(), atol=1e-5)
    if kind.startswith("over frames"):
        rows = x.transpose((0, 2, 1, 3, 4)).reshape((6, shape[1], 2, 2))
        np.testing.assert_allclose(
            cell.folded(rows, 3).asnumpy(), merged.folded(rows, 3).asnumpy(), atol=1e-5
        )


class Probe(nn.Cell):
    def __init__(self, cell, g):
        super().__init__(auto_prefix=False)
        self.cell, self.g = cell, Tensor(g)

    def construct(self, x):
        return (self.cell(x) * self.g).sum()


def test_gradients_are_those_of_the_formula():
    cell, x, g = Linear(6, 5), drawn(4, 6), drawn(4, 5)
    made = adapt(cell, 3, 0.5, rng.generator(0, "a"))
    made.up.weight.set_data(Tensor(drawn(5, 3)))
    learn = [made.down.weight, made.up.weight]
    _, found = Gradients(Probe(cell, g), learn)(Tensor(1.0, ms.float32), Tensor(x))
    down, up = (p.asnumpy().astype(np.float64) for p in learn)
    np.testing.assert_allclose(found[0].asnumpy(), 0.5 * up.T @ g.T @ x, atol=1e-5)
    np.testing.assert_allclose(found[1].asnumpy(), 0.5 * g.T @ (x @ down.T), atol=1e-5)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("base") / "images", "stable_diffusion")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    return write_frames(tmp_path_factory.mktemp("video") / "clip", frames)


def config(base, video, run, **more):
    given = tuning(base, video, run, FRAMES) | {
        "train.steps": 4,
        "train.batch_size": 1,
        "train.ema_decay": 0.5,
        "train.lr": 0.01,
        "train.save_every": 2,
        "train.keep": 4,
        "train.preview_every": 4,
        "train.lora.rank": 2,
        "train.lora.alpha": 3,
        "preview.prompts": "[a cat runs]",
        "preview.sample.steps": 1,
        "tune.inversion_steps": 1,
    }
    given |= {key.replace("__", "."): value for key, value in more.items()}
    given = {key: value for key, value in given.items() if value is not None}
    return load(None, [f"{key}={value}" for key, value in given.items()], TrainConfig)


def trainer(loaded):
    options = loaded.values
    task = build_task(options, build_source(options.data, 0))
    return Trainer(task, options.train, options.run_dir, config_text=loaded.text)


@pytest.fixture(scope="module")
def trained(base, video, tmp_path_factory):
    """A run of two steps; the network's numbers before it and the trainer after it."""
    run = tmp_path_factory.mktemp("run")
    made = trainer(config(base, video, run, train__steps=2, train__preview_every=2))
    before = {p.name: p.asnumpy().copy() for p in made.task.network.get_parameters()}
    made.run()
    return run, before, made


def test_only_the_lora_learns_and_is_saved(trained):
    run, before, made = trained
    after = {p.name: p.asnumpy() for p in made.task.network.get_parameters()}
    moved = {name for name in after if not np.array_equal(after[name], before[name])}
    assert moved and all(".lora." in name for name in moved)
    assert {n.rsplit(".lora.")[0].rsplit(".")[-2] for n in moved} == {"attn1", "attn2", "attn_temp"}
    held = store.load(saved_steps.latest(run)).files
    assert set(held["network"]) == set(held["ema"]) == {n for n in after if ".lora." in n}
    assert {"pytorch_lora_weights", "lora_kohya"} <= set(held)
    assert list(run.glob("previews/step-00000002*"))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_bit_for_bit(base, video, tmp_path):
    """Compiled, as trainings run: operator by operator the last bits are not those of each run."""
    ms.set_context(mode=ms.GRAPH_MODE)
    whole = trainer(config(base, video, tmp_path / "whole", train__preview_every=0)).run()
    half = trainer(config(base, video, tmp_path / "half", train__steps=2, train__preview_every=0))
    half.run()
    on = trainer(config(base, video, tmp_path / "half", train__preview_every=0)).run()
    assert whole.step == on.step == 4, "stopped from outside"
    one, two = (store.load(saved_steps.latest(tmp_path / run)).files for run in ("whole", "half"))
    for file in one:
        for name, array in one[file].items():
            assert np.array_equal(array.view(np.int32), two[file][name].view(np.int32)), name


@pytest.mark.parametrize("file", ["", "pytorch_lora_weights", "lora_kohya"])
def test_its_file_over_the_base_is_the_trained_network(trained, base, file):
    """With the averages, as they are in the checkpoint; the base is the image model alone."""
    run, _, made = trained
    folder = saved_steps.latest(run)
    where = str(folder / f"{file}.safetensors") if file else str(run)
    parts = find_latent_parts(str(base), LatentModelOptions(family="tune_a_video"))
    found = merge({"network": parts.network, "text_encoder": parts.text_encoder}, [Wanted(where)])
    averages = made.ema.state()
    checked = 0
    for each in made.lora.adapted:
        down, up = (averages[getattr(each.cell, h).weight.name] for h in ("down", "up"))
        head = each.cell.up.weight.name.removesuffix(".lora.up.weight")
        plain = {p.name: p for p in made.task.network.get_parameters()}[f"{head}.weight"].asnumpy()
        wanted = plain + 1.5 * (up @ down)
        now = found.parts["network"].arrays[f"{each.layer.ours}.weight"].read()
        np.testing.assert_allclose(now, wanted, atol=1e-6)
        checked += 1
    assert checked == sum(map(len, found.changed.values())) > 10
    needed = {e.ours for e in parts.network.network.formats[0].entries(parts.network.spec)}
    assert set(found.parts["network"].arrays) == needed  # fresh tensors too


def test_its_files_carry_the_descriptions_that_others_read(trained):
    folder = saved_steps.latest(trained[0])
    kohya = open_weights(folder / "lora_kohya.safetensors").metadata
    assert (kohya["ss_network_module"], kohya["ss_network_dim"]) == ("networks.lora", "2")
    assert kohya["ss_network_alpha"] == "3"
    said = open_weights(folder / "pytorch_lora_weights.safetensors").metadata
    assert '"unet.r": 2' in said["lora_adapter_metadata"]


def test_an_edit_takes_the_run_as_a_lora(trained, base, video, tmp_path, capsys):
    words = [
        "pipeline=edit",
        f"weights={base}",
        f"video={video}",
        f"frames={FRAMES}",
        "size=[16,16]",
    ]
    words += ["prompt=a cat", f"lora=[{trained[0]}]", f"output={tmp_path}", "--dry_run"]
    assert command(words) == 0
    said = capsys.readouterr().out
    assert "pytorch_lora_weights.safetensors (diffusers (PEFT)), strength 1" in said
    assert "temporal layers do nothing" not in said


def test_the_run_itself_is_no_model(trained, capsys, tmp_path):
    words = ["pipeline=text_to_video", f"weights={trained[0]}", "prompt=a", f"output={tmp_path}"]
    assert command([*words, "--dry_run"]) != 0
    assert "lora=FILE" in capsys.readouterr().err


def test_a_dry_run_counts_what_learns(base, video, tmp_path):
    row = check_base(config(base, video, tmp_path).values)["lora"]
    made = trainer(config(base, video, tmp_path))
    numbers = sum(p.size for p in made.lora.parameters())
    assert row.startswith(f"{len(made.lora.adapted)} layers of rank 2, ") and numbers < 10_000
    assert f"{numbers:,} numbers learn" in made.describe()[4] + "".join(made.describe())


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"train__train_only": "[unet.*]"}, "train.train_only is given"),
        ({"latents__unet_weights": None}, "train.start names those that the LoRA is for"),
        ({"latents__train_text": "true"}, "latents.train_text is true"),
        ({"tune__compat": "tune_a_video"}, "tune.compat is given"),
        ({"train__lora__rank": 0}, "train.lora.alpha is not read"),
        ({"train__lora__rank": -1}, "at least 0"),
    ],
)
def test_what_a_configuration_gets_wrong(base, video, tmp_path, keys, told):
    with pytest.raises(ConfigError, match=told):
        config(base, video, tmp_path, **keys)


def test_a_target_that_names_no_layer_is_told(base, video, tmp_path):
    loaded = config(base, video, tmp_path, train__lora__targets="[unet.*.to_qq]")
    with pytest.raises(ConfigError, match="names no layer; layers are called unet"):
        trainer(loaded)
    with pytest.raises(ConfigError, match="names no layer"):
        check_base(loaded.values)


def test_weights_that_are_not_all_there_are_told(base, video, tmp_path):
    loaded = config(base, video, tmp_path, model__layers=2)
    with pytest.raises(InputFileError, match="a LoRA is for weights that are all in a file"):
        check_base(loaded.values)


def test_other_tasks_refuse_it():
    with pytest.raises(UserError, match="a LoRA is trained in the tasks .* not in autoencoder"):
        load(None, ["model.family=autoencoder_kl", "train.lora.rank=2"], TrainConfig)


def test_in_half_precision_the_numbers_that_learn_stay_float32(base, video, tmp_path):
    made = trainer(config(base, video, tmp_path, train__precision="fp16"))
    cells = [half for each in made.lora.adapted for half in (each.cell.down, each.cell.up)]
    assert {cell.compute for cell in cells} == {ms.float16}
    assert {p.dtype for p in made.lora.parameters()} == {ms.float32}
