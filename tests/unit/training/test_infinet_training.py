"""Training diffusion over diffusion: what a sample knows, what learns, and that a condition
helps.
"""

import json

import numpy as np
import pytest
from latent_toys import SIZES, folder
from mindspore import Tensor

from mindlong.checkpoints.branch import read_branch, write_branch
from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.load import arrays_of
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.networks.init import initialise
from mindlong.networks.unet.control import ControlledUNet
from mindlong.networks.unet.control_spec import ControlSpec, names, original_shapes
from mindlong.networks.unet.families import family
from mindlong.training.tasks import build_task
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError, InputFileError

UNET = {
    "family": "modelscope",
    "entry_heads": 2,
    **{k: list(v) if isinstance(v, tuple) else v for k, v in SIZES.items() if v},
}
SMALL = {
    "model": UNET,
    "data.size": [16, 16],
    "data.frames": 4,
    "infinet.lengths": [4, 4],
    "infinet.hidden": 4,
    "infinet.fill": "blend",
    "infinet.mask": "place",
    "latents.clips": 12,
    "train.batch_size": 4,
    "train.steps": 3,
    "diffusion.schedule": "scaled_linear",
    "diffusion.prediction": "v",
    "diffusion.loss": "l2",
    "train.log_every": 1,
}

SPEC = family("modelscope").spec(**SIZES, entry_heads=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("toy") / "base")


def config(base, run, **more):
    cache = base.parent / f"cache {more.get('infinet.shares')} {more.get('latents.clips')}"
    keys = {
        **SMALL,
        "run_dir": str(run),
        "latents.cache": str(cache),
        "latents.tokenizer": str(base / "tokenizer"),
        **{f"latents.{k}": str(base) for k in ("vae", "unet_weights", "text_weights")},
        **more,
    }
    return load(None, [f"{key}={json.dumps(value)}" for key, value in keys.items()], TrainConfig)


def task_of(loaded):
    return build_task(loaded.values, None)


def test_a_sample_knows_its_ends_below_level_0_and_inputs_depend_on_samples_alone(base, tmp_path):
    task = task_of(config(base, tmp_path / "run", **{"infinet.depths": 2}))
    together, apart = task.inputs(0, list(range(8))), [task.inputs(5, [i]) for i in range(8)]
    for place, array in enumerate(together):
        assert np.array_equal(array, np.concatenate([one[place] for one in apart]))
    x0, noise, t, weight, ids, cond, mask, depth = together
    assert (
        x0.shape == cond.shape == (8, 4, 4, 8, 8)
        and mask.shape == (8, 3, 4)
        and weight.shape == (8, 4)
    )
    local = depth == 1
    assert local.any() and not local.all()
    assert mask[local, 0].tolist() == [[1, 0, 0, 1]] * int(local.sum())
    assert np.array_equal(cond[local][:, :, 0], x0[local][:, :, 0]) and np.all(weight == 1)


def test_the_noise_of_keys_and_the_weights_of_frames(base, tmp_path):
    task = task_of(
        config(
            base,
            tmp_path / "run",
            **{"infinet.key_noise": 0.5, "infinet.unknown_only": True, "infinet.shares": [0, 1]},
        )
    )
    x0, _, _, weight, _, cond, _ = task.inputs(0, [1, 2])
    assert 0 < np.abs(cond[:, :, 0] - x0[:, :, 0]).max() < 3
    assert np.allclose(weight**2, [[0, 2, 2, 0]] * 2)


@pytest.mark.slow
def test_known_frames_do_not_count_where_only_the_unknown_do(base, tmp_path):
    task = task_of(
        config(base, tmp_path / "run", **{"infinet.unknown_only": True, "infinet.shares": [0, 1]})
    )
    plain = task_of(config(base, tmp_path / "run"))
    inputs = list(task.inputs(0, [1, 2]))
    first = float(task.loss(*map(Tensor, inputs)).asnumpy())
    every = float(
        plain.loss(*map(Tensor, [*inputs[:3], np.ones((2, 4), np.float32), *inputs[4:]])).asnumpy()
    )
    assert first != every and np.isfinite(first)


@pytest.mark.slow
def test_only_the_branch_learns_from_the_first_step_and_the_base_keeps_its_bits(base, tmp_path):
    loaded = config(
        base,
        tmp_path / "run",
        **{
            "train.train_only": ["unet.control.*"],
            "infinet.shares": [0, 1],
            "preview.prompts": ["a red circle moving left"],
            "preview.sample.steps": 2,
            "train.preview_every": 3,
        },
    )
    task = task_of(loaded)
    before = arrays_of(task.network)
    trainer = Trainer(task, loaded.values.train, tmp_path / "run", config_text=loaded.text)
    trainer.run()
    after = arrays_of(task.network)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("unet.control.")}
    assert (tmp_path / "run/previews/step-00000003.gif").stat().st_size > 500

    unet = {name.removeprefix("unet."): a for name, a in after.items() if name.startswith("unet.")}
    start = {name.removeprefix("unet."): a for name, a in before.items()}
    changed = write_branch(tmp_path / "branch.safetensors", unet, task.control, start, "float32")
    assert changed == []
    again = task_of(
        config(base, tmp_path / "other", **{"infinet.branch": str(tmp_path / "branch.safetensors")})
    )
    assert all(np.array_equal(a, after[name]) for name, a in arrays_of(again.network).items())


@pytest.mark.slow
def test_a_few_steps_and_the_loss_falls(base, tmp_path):
    loaded = config(
        base,
        tmp_path / "run",
        **{"train.steps": 25, "train.lr": 0.02, "latents.clips": 4, "train.log_every": 5},
    )
    Trainer(task_of(loaded), loaded.values.train, tmp_path / "run", config_text=loaded.text).run()
    losses = np.genfromtxt(tmp_path / "run/metrics.csv", delimiter=",", names=True)["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_a_branch_of_another_form_is_refused(base, tmp_path):
    control = ControlSpec(hidden=4, fill="blend", told="place")
    net = initialise(ControlledUNet(SPEC, control), 2)
    write_branch(tmp_path / "b.safetensors", arrays_of(net), control, arrays_of(net))
    with pytest.raises(ConfigError, match="hidden 4; 6 is asked for"):
        read_branch(tmp_path / "b.safetensors", ControlSpec(hidden=6, fill="blend", told="place"))
    with pytest.raises(InputFileError, match="no control branch"):
        read_branch(base / "unet.safetensors")
    assert set(read_branch(tmp_path / "b.safetensors", control)) == {
        e.ours for e in names(SPEC, control)
    }


def test_the_originals_tensors_are_a_branch(tmp_path):
    spec = family("modelscope").spec(
        channels=(8, 16), layers=1, groups=4, head_dim=4, attends=(True, False)
    )
    shapes = original_shapes(spec)
    arrays = {f"unet.{n}": np.full(s, i, np.float32) for i, (n, s) in enumerate(shapes.items())}
    write_safetensors(tmp_path / "infinet.safetensors", arrays)
    if shapes["infinet.output_blocks_injections.2.conv_w.bias"] != (16,):
        with pytest.raises(ConfigError, match="is needed for channels"):
            read_branch(tmp_path / "infinet.safetensors", spec=spec)
    with pytest.raises(ConfigError, match="known UNet only"):
        read_branch(tmp_path / "infinet.safetensors")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"infinet.lengths": [4, 5]}, "runs of one length"),
        ({"infinet.shares": [1]}, "one share for each of the 2 levels"),
        ({"infinet.depths": 1}, "2 levels are trained"),
        ({"infinet.given": 1.5}, "at most 1"),
        ({"infinet.fill": "blur"}, "infinet.fill is 'blur'"),
        ({"data.kind": "clips", "data.folder": "x"}, "infinet.index is empty"),
    ],
)
def test_impossible_configurations_are_named(base, tmp_path, keys, said):
    with pytest.raises(ConfigError, match=said):
        config(base, tmp_path / "run", **keys)


def test_shipped_configurations_load():
    for name in ("infinet_shapes", "infinet_film"):
        loaded = load(f"configs/train/{name}.yaml", [], TrainConfig)
        assert loaded.values.infinet.lengths == [16, 16]
