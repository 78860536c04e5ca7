"""Plain and averaged weights in one file: the right copy, under any name a trainer gives it."""

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints import convert
from mindlong.checkpoints.copies import role
from mindlong.checkpoints.files import open_weights, write_torch
from mindlong.checkpoints.recognise import recognise
from mindlong.cli.convert import command
from mindlong.networks.table import get
from mindlong.networks.unet.families import family
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import InputFileError

SPEC = Unet3DSpec(dim=8, dim_mults=(1,))
VALUE = {"plain": 1.0, "averaged": 0.5, "other": 9.0}


def network(value):
    """A bare Unet3D whose numbers are all `value`."""
    return {e.source: np.full(e.source_shape, value, np.float32) for e in names(SPEC)}


def under(prefix, value):
    return {f"{prefix}{name}": array for name, array in network(value).items()}


def value_of(path, which=None):
    """The number in the copy that is chosen, and its prefix."""
    weights = open_weights(path)
    match = recognise(weights, which)[0]
    plan = convert.to_ours(weights, match)
    plan.check("it")
    values = {
        float(v)
        for name, lazy in plan.arrays.items()
        for v in np.unique(lazy.read())
        if name != "rotary.freqs"
    }
    assert len(values) == 1
    return values.pop(), match.prefix


def both(path, plain, averaged, more=None):
    tree = {**under(plain, VALUE["plain"]), **under(averaged, VALUE["averaged"]), **(more or {})}
    write_torch(path, tree)
    return path


@pytest.mark.parametrize(
    ("plain", "averaged"),
    [
        ("model.", "ema."),
        ("online_model.", "ema_model."),
        ("unet.", "ema_unet."),
        ("unet.", "unet_ema."),
        ("state_dict.", "state_dict_ema."),
        ("model.", "model_ema."),
        ("params.", "params_ema."),
        ("model.", "ema.ema_model."),
        ("model.", "ema.module."),
        ("model.", "ema_state_dict."),
        ("model.", "EMA."),
        ("model.", "modelEMA."),
        ("model.", "EmaModel."),
        ("model.", "ema_0.9999."),
        ("model.", "ema0.9999."),
        ("net.", "net_ema."),
        ("netG.", "netG_ema."),
        ("model.", "model_avg."),
        ("model.", "averaged_model."),
        ("model.", "swa_model."),
        ("model.", "shadow."),
        ("module.", "ema_params."),
        ("", "ema."),
        ("", "ema_model."),
        ("state_dict.model.", "state_dict.ema."),
        ("a.b.model.", "a.b.ema."),
    ],
)
def test_the_averaged_copy_by_default_and_each_on_demand(tmp_path, plain, averaged):
    path = both(tmp_path / "a.pt", plain, averaged)
    assert value_of(path) == (0.5, averaged)
    assert value_of(path, "ema") == (0.5, averaged)
    assert value_of(path, "model") == (1.0, plain)


def test_three_copies_as_ema_pytorch_saves_them_beside_the_model(tmp_path):
    more = {
        **under("ema.online_model.", 1.0),
        "ema.initted": np.array(True),
        "ema.step": np.array(7),
        "step": 7,
        "opt": {"state": {}, "param_groups": {}},
    }
    path = both(tmp_path / "a.pt", "model.", "ema.ema_model.", more)
    assert value_of(path) == (0.5, "ema.ema_model.")
    assert value_of(path, "model") == (1.0, "model.")


@pytest.mark.parametrize(
    "counter", ["initted", "step", "num_updates", "decay", "n_averaged", "optimization_step"]
)
@pytest.mark.parametrize("place", ["", "ema."])
def test_counters_are_stepped_over(tmp_path, counter, place):
    path = both(tmp_path / "a.pt", "model.", "ema.", {place + counter: np.array(3)})
    assert command(["--src", str(path), "--dst", str(tmp_path / "b.safetensors")]) == 0


def test_one_copy_is_taken_whatever_it_is_called(tmp_path):
    write_torch(tmp_path / "a.pt", under("ema.", 0.5))
    assert value_of(tmp_path / "a.pt")[0] == 0.5
    with pytest.raises(
        InputFileError, match="has no copy of the weights called 'model'; there are 'ema.'"
    ):
        value_of(tmp_path / "a.pt", "model")


def test_a_copy_can_be_named_by_the_beginning_of_its_names(tmp_path, capsys):
    path = both(tmp_path / "a.pt", "student.", "teacher.")
    with pytest.raises(
        InputFileError, match="holds 2 copies of .*'student.', 'teacher.'; --which student takes"
    ):
        value_of(path)
    assert value_of(path, "teacher") == (0.5, "teacher.")
    assert (
        command(
            ["--src", str(path), "--dst", str(tmp_path / "b.safetensors"), "--which", "teacher"]
        )
        == 0
    )
    assert (
        command(["--src", str(path), "--dst", str(tmp_path / "c.safetensors"), "--which", "tutor"])
        == 3
    )
    assert "has no copy of the weights called 'tutor'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "prefix", ["moment1.", "moment2.", "adam_m.", "exp_avg.", "accum.", "optimizer.momentum."]
)
def test_an_optimizers_moments_are_no_weights(tmp_path, prefix):
    write_torch(tmp_path / "a.pt", {**under(prefix, 9.0), **under("unet.", 1.0)})
    assert value_of(tmp_path / "a.pt") == (1.0, "unet.")
    write_torch(tmp_path / "b.pt", under(prefix, 9.0))
    with pytest.raises(InputFileError, match="holds the state of an optimizer, not weights"):
        value_of(tmp_path / "b.pt")


def test_the_optimizers_file_of_our_own_checkpoints_is_no_network(tmp_path):
    ours = {e.ours: np.full(e.our_shape, 1, np.float32) for e in names(SPEC)}
    tree = {f"{letter}.unet.{name}": array for letter in "mv" for name, array in ours.items()}
    write_torch(tmp_path / "a.pt", tree)
    with pytest.raises(InputFileError, match="state of an optimizer"):
        recognise(open_weights(tmp_path / "a.pt"))


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        ("semantic_encoder.", "model"),
        ("schema.", "model"),
        ("ema.online_model.", "model"),
        ("online.ema.", "ema"),
        ("exp_avg.", "optimizer"),
        ("remap.", "model"),
        ("", "model"),
    ],
)
def test_what_a_prefix_says(prefix, wanted):
    assert role(prefix) == wanted


def litema(plain, value):
    """The averages as the latent diffusion lineage writes them: without dots."""
    return {
        "model_ema." + name.removeprefix("model.").replace(".", ""): np.full_like(array, value)
        for name, array in plain.items()
    }


def test_averages_named_without_dots_are_found(tmp_path):
    form = get("stable_diffusion").format("ldm")
    spec = family("stable_diffusion").spec(
        channels=(32, 32), attends=(True, False), layers=1, heads=2, context_dim=16, groups=8
    )
    plain = {
        e.source: np.full(e.source_shape, 1, np.float32) for e in form.named(form.prefix, spec)
    }
    tree = {
        **plain,
        **litema(plain, 0.5),
        "model_ema.decay": np.array(0.99),
        "model_ema.num_updates": np.array(3),
    }
    write_torch(tmp_path / "a.ckpt", {"state_dict": tree})
    weights = open_weights(tmp_path / "a.ckpt")
    assert any("named without dots" in note for note in weights.notes)
    for which, number, start in (
        (None, 0.5, "state_dict.model_ema."),
        ("model", 1.0, "state_dict.model."),
    ):
        match = recognise(weights, which, part="unet")[0]
        assert match.prefix == start + "diffusion_model."
        plan = convert.to_ours(weights, match)
        plan.check("it")
        assert {float(lazy.read().max()) for lazy in plan.arrays.values()} == {number}


def test_dotless_names_that_fit_nothing_are_said(tmp_path):
    plain = under("model.diffusion_model.", 1.0)
    write_torch(tmp_path / "a.pt", {**plain, "model_ema.diffusion_modelother": np.ones(3)})
    assert any(
        "do not fit the plain ones" in note for note in open_weights(tmp_path / "a.pt").notes
    )


@pytest.mark.parametrize("place", ["ema.", "", "ema_model.state."])
def test_a_list_of_averages_gets_the_names_of_the_plain_weights(tmp_path, place):
    entries = names(SPEC)
    plain = {
        e.source: tf.tensor(i, np.full(e.source_shape, 1, np.float32))
        for i, e in enumerate(entries)
    }
    count = len(entries)
    shadow = [
        tf.tensor(count + i, np.full(e.source_shape, 0.5, np.float32))
        for i, e in enumerate(entries)
    ]
    tree = {"model": plain}
    inner = tree
    for word in [w for w in place.split(".") if w]:
        inner = inner.setdefault(word, {})
    inner |= {"decay": 0.999, "num_updates": 5, "shadow_params": shadow, "collected_params": None}
    path = tf.write(tmp_path / "a.pt", tree)
    assert value_of(path) == (0.5, f"{place}shadow_params.")
    assert value_of(path, "model") == (1.0, "model.")
    inner["shadow_params"] = shadow[1:]
    assert any("list without names" in n for n in open_weights(tf.write(path, tree)).notes)
    assert value_of(path) == (1.0, "model.")


def test_a_list_with_two_networks_in_the_wrong_order_is_not_guessed(tmp_path):
    entries = names(SPEC)
    plain = {
        e.source: tf.tensor(i, np.ones(e.source_shape, np.float32)) for i, e in enumerate(entries)
    }
    shadow = [
        tf.tensor(900 + i, np.ones(e.source_shape, np.float32)) for i, e in enumerate(entries[::-1])
    ]
    path = tf.write(tmp_path / "a.pt", {"model": plain, "ema": {"shadow_params": shadow}})
    assert value_of(path) == (1.0, "model.")
    with pytest.raises(InputFileError, match="no copy of the weights called 'ema'"):
        value_of(path, "ema")
