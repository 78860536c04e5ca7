"""train.start in the trainings of branches, of interpolation and of a single video: what it names
is there before the first step, the dry run agrees, and a run that goes on looks at none of it.
"""

import json

import latent_toys
import numpy as np
import pytest

from mindlong.checkpoints import saved_steps, start, store
from mindlong.checkpoints.files import open_weights
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.media.write import write_frames
from mindlong.training.tasks import build_task
from mindlong.utils.errors import UserError

MODE = "pynative"
UNET = {
    "channels": [16, 32],
    "attends": [True, False],
    "layers": 1,
    "context_dim": 24,
    "groups": 8,
    "head_dim": 8,
}
TEXT = {"vocabulary": 300, "width": 24, "layers": 1, "heads": 2, "hidden": 32, "length": 8}
SHARED = {
    "data.size": [16, 16],
    "diffusion.timesteps": 50,
    "diffusion.schedule": "scaled_linear",
    "diffusion.beta_start": 0.001,
    "diffusion.beta_end": 0.2,
    "diffusion.prediction": "v",
}
KINDS = {
    "infinet": {
        "model": {"family": "modelscope", "entry_heads": 2, **UNET},
        "data.frames": 3,
        "infinet.lengths": [3, 3],
        "infinet.hidden": 4,
    },
    "interpolation": {
        "model": {"family": "modelscope", "entry_heads": 2, "in_channels": 9, **UNET},
        "data.frames": 3,
        "interpolation.factor": 2,
    },
    "tune": {
        "model": {"family": "tune_a_video", **UNET},
        "data.frames": 2,
        "tune.prompt": "a dog runs",
        "train.batch_size": 1,
    },
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Pipelines of videos and of images, a video, a text encoder's model file."""
    root = tmp_path_factory.mktemp("start")
    for family in ("modelscope", "stable_diffusion"):
        latent_toys.folder(root / family, family)
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    write_frames(root / "clip", frames)
    (root / "text.yaml").write_text(json.dumps({"family": "clip_text", "pad_id": 0, **TEXT}))
    return root


def base_of(toys, kind):
    return toys / ("stable_diffusion" if kind == "tune" else "modelscope")


def loaded(toys, kind, run, begin, **more):
    base = base_of(toys, kind)
    keys = {**SHARED, **KINDS[kind], "run_dir": run, "train.start": begin}
    keys |= {f"latents.{name}": base for name in ("vae", "text_weights")}
    keys |= {"latents.tokenizer": base / "tokenizer", "latents.cache": toys / f"cache {kind}"}
    if kind == "tune":
        keys["tune.video"] = toys / "clip"
    else:
        keys["latents.clips"] = 2
    keys |= {name.replace("__", "."): value for name, value in more.items()}
    words = [f"{name}={json.dumps(value, default=str)}" for name, value in keys.items()]
    return load(None, words, TrainConfig)


def network_of(given):
    """The tensors that the training would begin with."""
    source = build_source(given.values.data, 0)
    task = build_task(given.values, source)
    return {p.name: np.array(p.asnumpy()) for p in task.network.get_parameters()}


def kept_run(toys, kind, folder, **more):
    """A run as that training would leave it, every number moved; its averages."""
    given = loaded(toys, kind, folder, base_of(toys, kind), **more)
    arrays = {name: a + np.float32(0.5) for name, a in network_of(given).items()}
    store.save(folder, 1, {"network": arrays, "ema": {n: 2 * a for n, a in arrays.items()}}, {})
    (folder / "config.yaml").write_text(given.text)
    return {name: 2 * array for name, array in arrays.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_weights_are_those_of_the_base(toys, kind, tmp_path):
    given = loaded(toys, kind, tmp_path / "run", base_of(toys, kind))
    found, held = network_of(given), open_weights(base_of(toys, kind))
    assert start.check_start(given.values)["start"].startswith(f"from {base_of(toys, kind)}")
    names = [name for name in held if name.startswith("unet.")]
    assert len(names) > 50
    for name in names:
        there = found[name][:, :4] if name == "unet.conv_in.weight" else found[name]
        assert np.array_equal(there, held.read(name)), name
    fresh = set(found) - set(held)
    assert fresh or kind == "interpolation"
    assert kind != "interpolation" or not found["unet.conv_in.weight"][:, 4:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_the_same_kind_is_taken_up_whole(toys, kind, tmp_path):
    """Hints, branch and temporal layers with it, and the text encoder where one was trained."""
    own = {"latents__text_weights": "", "latents__text_encoder": toys / "text.yaml"}
    more = {} if kind == "tune" else own
    want = kept_run(toys, kind, tmp_path / "first", **more)
    given = loaded(toys, kind, tmp_path / "second", tmp_path / "first", **more)
    assert start.check_start(given.values)
    found = network_of(given)
    assert set(found) == set(want)
    for name, array in want.items():
        if kind != "tune" or not name.startswith("text_encoder."):
            assert np.array_equal(found[name], array), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_looks_at_none_of_it(toys, kind, tmp_path):
    kept_run(toys, kind, tmp_path / "run")
    given = loaded(toys, kind, tmp_path / "run", "/nope/none.pt")
    assert start.check_start(given.values) == {}
    network_of(given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("shipped:vdm_shapes", r"train.start: \d+ tensors of the source|holds no"),
        ("/nope/none.pt", "train.start: nothing at"),
    ],
    ids=["another family", "missing"],
)
def test_what_is_not_there_is_a_sentence_before_anything_is_made(
    toys, kind, tmp_path, wrong, sentence
):
    given = loaded(toys, kind, tmp_path / "run", wrong)
    with pytest.raises(UserError, match=sentence):
        start.check_start(given.values)
    with pytest.raises(UserError, match=sentence):
        network_of(given)


@pytest.mark.parametrize("kind", KINDS)
def test_another_size_is_a_sentence_of_the_dry_run_too(toys, kind, tmp_path):
    given = loaded(
        toys,
        kind,
        tmp_path / "run",
        base_of(toys, kind),
        model={**KINDS[kind]["model"], "groups": 4, "channels": [8, 16]},
    )
    with pytest.raises(UserError, match="train.start"):
        start.check_start(given.values)
    with pytest.raises(UserError):
        network_of(given)


def test_the_small_file_of_a_tuning_is_no_start(toys, tmp_path):
    """It holds what was tuned alone: what it leaves out would start from random numbers."""
    kept_run(toys, "tune", tmp_path / "first")
    folder = saved_steps.latest(tmp_path / "first")
    whole = store.load(folder).files["network"]
    from mindlong.checkpoints.files import write_safetensors

    small = {n: a for n, a in whole.items() if "attn_temp" in n or "attn1.to_q" in n}
    write_safetensors(tmp_path / "tuned.safetensors", small)
    given = loaded(toys, "tune", tmp_path / "run", tmp_path / "tuned.safetensors")
    for check in (lambda: start.check_start(given.values), lambda: network_of(given)):
        with pytest.raises(UserError, match="tuned.safetensors"):
            check()
