"""Training in latents: the autoencoder, the cache of latents, the UNet with its text encoder."""

import copy
import json
from dataclasses import asdict

import numpy as np
import pytest
import yaml

from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.cli import package_weights, train_tokenizer
from mindlong.config.compare import _leaves, _usual, check_same_run
from mindlong.config.data_options import DataOptions
from mindlong.config.load import load
from mindlong.config.renamed import _taken
from mindlong.config.schema import TrainConfig
from mindlong.data import clip_identity
from mindlong.data.build import build_source
from mindlong.data.latent_cache import LatentCache
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_video
from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.networks.clip.tokenizer_training import learn
from mindlong.training.task import select
from mindlong.training.tasks import build_task
from mindlong.training.tasks.latent import _said
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError

MODE = "pynative"

VAE = {
    "model.family": "autoencoder_kl",
    "model.block_channels": "[4,8]",
    "model.layers": "1",
    "model.groups": "2",
    "data.size": "[16,16]",
    "data.frames": "1",
    "train.steps": "4",
    "train.batch_size": "4",
    "train.lr": "0.01",
    "train.log_every": "1",
    "train.preview_every": "4",
}
PARTS = {"latents.vae": "vae", "latents.text_encoder": "text.yaml", "latents.tokenizer": "words"}
UNET = {
    "model.family": "modelscope",
    "model.channels": "[8,8]",
    "model.layers": "1",
    "model.attends": "[false,true]",
    "model.head_dim": "4",
    "model.entry_heads": "1",
    "model.context_dim": "8",
    "model.groups": "2",
    "data.size": "[16,16]",
    "data.frames": "2",
    "train.steps": "3",
    "train.batch_size": "2",
    "latents.clips": "5",
    "diffusion.cond_drop": "0.3",
    "preview.prompts": "['a red circle moving left']",
    "preview.sample.steps": "1",
    "train.preview_every": "3",
}
TEXT = "family: clip_text\nvocabulary: 640\nwidth: 8\nlayers: 1\nheads: 2\nhidden: 16\nlength: 8\npad_id: 0\n"


def config(*tables: dict[str, str]) -> TrainConfig:
    merged = {key: value for table in tables for key, value in table.items()}
    return load(None, [f"{key}={value}" for key, value in merged.items()], TrainConfig)


def task_of(loaded):
    return build_task(loaded.values, build_source(loaded.values.data, 0))


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory):
    """A trained autoencoder's run folder, a tokenizer, a text encoder's model file: what a latent
    training needs.
    """
    folder = tmp_path_factory.mktemp("first_stage")
    loaded = config(VAE)
    Trainer(task_of(loaded), loaded.values.train, folder / "vae", config_text=loaded.text).run()
    (folder / "text.yaml").write_text(TEXT)
    vocabulary, merges = learn(ShapesWorld().captions(), 640)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer/merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    )
    return folder


def latents(first_stage, run) -> dict[str, str]:
    return {
        "run_dir": str(run),
        "latents.vae": str(first_stage / "vae"),
        "latents.text_encoder": str(first_stage / "text.yaml"),
        "latents.tokenizer": str(first_stage / "tokenizer"),
        "latents.cache": str(first_stage / "cache"),
    }


def test_an_autoencoder_learns_and_shows_what_it_makes_of_unseen_pictures(first_stage):
    losses = np.genfromtxt(first_stage / "vae/metrics.csv", delimiter=",", names=True)["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert (first_stage / "vae/previews/step-00000004.png").stat().st_size > 1000


@pytest.mark.slow
def test_unet_and_text_tower_are_trained_together(first_stage, tmp_path):
    loaded = config(UNET, latents(first_stage, tmp_path / "run"))
    task = task_of(loaded)
    before = {p.name: p.asnumpy().copy() for p in task.network.get_parameters()}
    Trainer(task, loaded.values.train, tmp_path / "run", config_text=loaded.text).run()
    moved = {
        p.name
        for p in task.network.get_parameters()
        if not np.array_equal(p.asnumpy(), before[p.name])
    }
    assert {
        "unet.conv_in.weight",
        "unet.conv_out.weight",
        "text_encoder.position_embedding",
    } <= moved
    assert {name.split(".")[0] for name in before} == {"unet", "text_encoder"}
    assert (tmp_path / "run/previews/step-00000003.gif").stat().st_size > 500
    words = tmp_path / "words"
    grow = ["--film", "--weights", str(tmp_path / "run"), "--length", "12", "--dst", str(words)]
    assert train_tokenizer.main(grow) == 0
    assert read_text_encoder(str(words)).spec.length == 12, "a run's tower grows too"


def test_the_inputs_of_a_step_depend_on_the_samples_alone(first_stage, tmp_path):
    task = task_of(config(UNET, latents(first_stage, tmp_path)))
    together, apart = task.inputs(0, [3, 4, 9]), [task.inputs(7, [i]) for i in (3, 4, 9)]
    for place, array in enumerate(together):
        assert np.array_equal(array, np.concatenate([one[place] for one in apart]))
    assert together[0].shape == (3, 4, 2, 8, 8) and together[3].dtype == np.int32


def test_the_latents_of_a_step_may_be_the_means(first_stage, tmp_path):
    means = task_of(
        config(UNET, latents(first_stage, tmp_path / "run"), {"latents.posterior": "mean"})
    )
    drawn = task_of(config(UNET, latents(first_stage, tmp_path / "run")))
    rows = [means.cache.row(i, 0) for i in range(3)]
    held = np.asarray(means.cache.moments, np.float32)[rows, :4] * np.float32(means.scaling)
    assert np.array_equal(means.inputs(0, range(3))[0], held)
    x0, *rest = drawn.inputs(0, range(3))
    assert not np.array_equal(x0, held)
    assert all(
        np.array_equal(a, b) for a, b in zip(means.inputs(0, range(3))[1:], rest, strict=True)
    )


def test_a_given_text_tower_stays_as_it_is_and_a_given_unet_is_the_start(first_stage, tmp_path):
    fresh = task_of(config(UNET, latents(first_stage, tmp_path)))
    arrays = {p.name: p.asnumpy() + 1 for p in fresh.network.get_parameters()}
    text = {name: a for name, a in arrays.items() if name.startswith("text_encoder.")}
    unet = {name: a for name, a in arrays.items() if name.startswith("unet.")}
    about = {
        "mindlong_model": json.dumps(
            {
                "text_encoder": {
                    "family": "clip_text",
                    "vocabulary": 640,
                    "width": 8,
                    "layers": 1,
                    "heads": 2,
                    "hidden": 16,
                    "length": 8,
                    "pad_id": 0,
                }
            }
        )
    }
    sizes = {
        key.removeprefix("model."): value if "family" in key else json.loads(value)
        for key, value in UNET.items()
        if key.startswith("model.")
    }
    write_safetensors(tmp_path / "text.safetensors", text, about)
    write_safetensors(tmp_path / "unet.safetensors", unet, {"mindlong_model": json.dumps(sizes)})
    given = {
        "latents.text_encoder": "",
        "latents.text_weights": str(tmp_path / "text.safetensors"),
        "latents.unet_weights": str(tmp_path / "unet.safetensors"),
    }
    loaded = config(UNET, latents(first_stage, tmp_path), given)
    task = task_of(loaded)
    assert all(np.array_equal(p.asnumpy(), arrays[p.name]) for p in task.network.get_parameters())
    assert {p.name.split(".")[0] for p in select(task.network, loaded.values.train).trainable} == {
        "unet"
    }
    kept = (
        tmp_path / "run/checkpoints/step-00000001/ema.safetensors"
    )  # as that run would leave it; a second run starts from it
    kept.parent.mkdir(parents=True)
    write_safetensors(kept, {name: a * 2 for name, a in arrays.items()})
    (tmp_path / "run/config.yaml").write_text(loaded.text)
    part = read_text_encoder(str(kept))
    assert part.spec.width == 8
    assert all(
        np.array_equal(lazy.read(), 2 * arrays[f"text_encoder.{name}"])
        for name, lazy in part.arrays.items()
    )


@pytest.mark.slow
def test_a_run_that_began_with_the_text_encoder_of_a_run_of_such_a_run_is_packaged(
    first_stage, tmp_path
):
    for name, before in (("a", ""), ("b", "a"), ("c", "b")):
        given = {
            "latents.text_encoder": "",
            "latents.text_weights": str(tmp_path / before),
            "latents.train_text": "true",
        }
        own = {"train.steps": "1", "train.preview_every": "0"}
        loaded = config(UNET, latents(first_stage, tmp_path / name), given if before else {}, own)
        run = tmp_path / name
        Trainer(task_of(loaded), loaded.values.train, run, config_text=loaded.text).run()
    assert (
        package_weights.command(
            [str(tmp_path / "c"), str(tmp_path / "shared"), "--dtype", "float32"]
        )
        == 0
    )
    shared = open_weights(tmp_path / "shared")
    newest = open_weights(find_trained(str(tmp_path / "c")).where)
    text = [name for name in newest if name.startswith("text_encoder.")]
    assert text and all(np.array_equal(shared.read(n), newest.read(n)) for n in text)
    assert read_text_encoder(str(tmp_path / "shared")).spec.width == 8
    again = config(UNET, latents(first_stage, tmp_path / "d"), {"train.start": str(tmp_path / "c")})
    held = {p.name: p.asnumpy() for p in task_of(again).network.get_parameters()}
    assert all(np.array_equal(held[name], newest.read(name)) for name in text)


def test_a_cache_goes_on_where_it_stopped_grows_and_refuses_foreign_latents(tmp_path):
    world, calls = ShapesWorld((16, 16), 2), []

    def encode(x):
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.repeat(x[:, :1, ::8, ::8], 2, 1)

    import mindlong.data.latent_cache as module

    saved = module.SAVE_EVERY
    module.SAVE_EVERY = 1
    try:
        with pytest.raises(KeyboardInterrupt):
            LatentCache(tmp_path, world, 4, encode, "key")
        cache = LatentCache(tmp_path, world, 4, encode, "key")
    finally:
        module.SAVE_EVERY = saved
    assert len(calls) == 5  # two kept, the third broken off, two more
    assert cache.captions == [world.sample(i).caption for i in range(4)] and cache.shape == (
        1,
        2,
        2,
        2,
    )
    assert len(LatentCache(tmp_path, world, 6, encode, "key").captions) == 6 and len(calls) == 7
    with pytest.raises(ConfigError, match="other clips or of another autoencoder"):
        LatentCache(tmp_path, world, 4, encode, "another")
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(Exception, match="is damaged"):
        LatentCache(tmp_path, world, 4, encode, "key")


def encoded(x):
    return np.repeat(x[:, :1, ::8, ::8], 2, 1)


def test_a_cache_knows_the_keys_of_earlier_versions(tmp_path):
    world = ShapesWorld((16, 16), 2)
    LatentCache(tmp_path, world, 2, encoded, "a path")
    kept = LatentCache(
        tmp_path, world, 2, lambda x: pytest.fail("made again"), "content", ["a path"]
    )
    assert len(kept.captions) == 2


FIRST_KEY = {  # as the first version wrote it
    "background": "plain",
    "bounce": False,
    "colours": ["red", "green", "blue", "yellow"],
    "crop": "center",
    "flip": False,
    "folder": "",
    "frames": 16,
    "grow": False,
    "kind": "shapes",
    "max_bad": 10,
    "motions": ["left", "right", "up", "down"],
    "shapes": ["circle", "square", "triangle"],
    "short": "repeat_last",
    "size": [64, 64],
    "stride": 1,
    "world_seed": 0,
}


def test_keys_that_came_later_leave_kept_latents_good():
    data = DataOptions(frames=16, size=[64, 64])
    assert _said(asdict(data)) == FIRST_KEY
    data.speed = [0.01, 0.02]
    assert _said(asdict(data)) == {**FIRST_KEY, "speed": [0.01, 0.02]}


@pytest.mark.parametrize("name", ["moments.npy", "captions.json", "moments.tmp.npy"])
def test_a_cache_leaves_files_alone_that_nothing_says_are_its_own(tmp_path, name):
    (tmp_path / name).write_bytes(b"thesis")
    with pytest.raises(ConfigError, match=f"holds {name} and no state.json"):
        LatentCache(tmp_path, ShapesWorld((16, 16), 2), 2, encoded, "key")
    assert (tmp_path / name).read_bytes() == b"thesis"


def test_kept_latents_know_their_clips_by_content(first_stage, tmp_path):
    for place in ("here", "there"):
        for i in range(2):
            frames = np.random.default_rng(i).integers(0, 255, (2, 16, 16, 3), np.uint8)
            write_video(tmp_path / place / f"{i}.gif", frames, 8)
    cache = {"data.kind": "clips", "latents.clips": "2", "latents.cache": str(tmp_path / "cache")}

    def task(folder):
        place = {"data.folder": str(tmp_path / folder)}
        return task_of(config(UNET, latents(first_stage, tmp_path / "run"), cache, place))

    moved = [task(place).cache.moments[:].copy() for place in ("here", "there")]
    assert np.array_equal(*moved)
    write_video(tmp_path / "there" / "1.gif", np.zeros((2, 16, 16, 3), np.uint8), 8)
    clip_identity._clips.cache_clear()
    with pytest.raises(ConfigError, match="holds latents of other clips"):
        task("there")


def test_each_round_of_a_cache_brings_every_clip_once(tmp_path):
    cache = LatentCache(
        tmp_path, ShapesWorld((16, 16), 2), 5, lambda x: np.repeat(x[:, :1, ::8, ::8], 2, 1), "key"
    )
    rounds = [[cache.row(turn * 5 + i, seed=1) for i in range(5)] for turn in range(3)]
    assert all(sorted(rows) == list(range(5)) for rows in rounds) and rounds[0] != rounds[1]


def test_a_learnt_vocabulary_reads_its_words_as_single_tokens(first_stage):
    tokenizer = load_tokenizer(first_stage / "tokenizer", 8, 0)
    ids = tokenizer(["a red circle moving left", "zebra crossing"])
    assert ids.shape == (2, 8) and ids[0, 0] == tokenizer.start_id and tokenizer.end_id in ids[0]
    assert len(tokenizer.tokens("red")) == 1 and len(tokenizer.tokens("zebra")) > 1
    with pytest.raises(ConfigError, match="alone are 514"):
        learn(["red"], 300)


def test_latents_need_their_first_stage_and_a_text_tower_is_not_trained_alone():
    with pytest.raises(ConfigError, match="latents.vae is empty"):
        config(UNET)
    with pytest.raises(ConfigError, match="trained beside its UNet"):
        config({"model.family": "clip_text"})
    with pytest.raises(ConfigError, match="multiples of 2"):
        config(VAE, {"data.size": "[17,16]"})


def test_a_run_goes_on_when_the_program_has_learnt_a_new_key():
    now = config(VAE).text
    before = "\n".join(
        line for line in now.splitlines() if not line.strip().startswith("beta_start")
    )
    assert before != now and check_same_run(before, now, "runs/x") == []
    with pytest.raises(ConfigError, match="beta_start"):
        check_same_run(before, config(VAE, {"diffusion.beta_start": "0.5"}).text, "runs/x")


@pytest.mark.parametrize("model", [pytest.param(UNET | PARTS, marks=pytest.mark.slow), VAE])
def test_a_run_goes_on_when_any_one_key_is_newer_than_it(model):
    """Of the sections, and of the model's family; tuples too."""
    whole = yaml.safe_load(config(model).text)
    usual, now = _usual(config(model).text), yaml.safe_dump(whole)
    newer = [key for key, value in _leaves(whole) if key in usual and usual[key] == value]
    assert any(key.startswith("model.") for key in newer)
    for key in newer:
        older = copy.deepcopy(whole)
        _taken(older, key)
        assert check_same_run(yaml.safe_dump(older), now, "runs/x") == [], key


def test_a_run_goes_on_when_a_key_has_got_another_name():
    now = config(VAE).text
    tree = yaml.safe_load(now)
    tree["infinet"]["told"] = tree["infinet"].pop("mask")
    assert check_same_run(yaml.safe_dump(tree), now, "runs/x") == []
    tree["infinet"]["told"] = "other"
    with pytest.raises(ConfigError, match="infinet.mask .saved 'other'"):
        check_same_run(yaml.safe_dump(tree), now, "runs/x")


def test_what_only_the_saved_configuration_has_can_be_allowed():
    now = config(VAE).text
    tree = yaml.safe_load(now) | {"gone": {"key": 3}}
    with pytest.raises(ConfigError, match=r"resume.allow=\[gone.key\]"):
        check_same_run(yaml.safe_dump(tree), now, "runs/x")
    allowed = config(VAE, {"resume.allow": "[gone.key]"}).text
    assert check_same_run(yaml.safe_dump(tree), allowed, "runs/x")


def test_at_pure_noise_the_target_is_the_mean_of_the_captions_clips(first_stage, tmp_path):
    asked = {
        "diffusion.terminal_mean": "1.0",
        "diffusion.zero_terminal_snr": "true",
        "diffusion.schedule": "scaled_linear",
        "diffusion.prediction": "v",
    }
    task = task_of(config(UNET, latents(first_stage, tmp_path), asked))
    x0, _, t, *_ = task.inputs(0, [0, 1, 2])
    assert (t == 999).all() and task.schedule.alphas_cumprod[-1] == 0
    rows = [task.cache.row(i, 0) for i in range(3)]
    for got, row in zip(x0, rows, strict=True):
        same = [
            i
            for i, caption in enumerate(task.cache.captions)
            if caption == task.cache.captions[row]
        ]
        mean = np.asarray(task.cache.moments, np.float32)[same, :4].mean(0) * task.scaling
        assert np.allclose(got, mean, atol=1e-5)
    with pytest.raises(ConfigError, match="needs diffusion.zero_terminal_snr"):
        config(UNET, latents(first_stage, tmp_path), {"diffusion.terminal_mean": "0.5"})
