"""Checkpoints of the originals become ours and go back, bit for bit; nothing is silently left
out.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from mindlong.checkpoints import convert, store
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.checkpoints.our_weights import our_weights
from mindlong.checkpoints.recognise import recognise
from mindlong.cli.convert import command
from mindlong.config.section import load_model
from mindlong.networks.unet3d import files as vdm
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import ConfigError, InputFileError

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
TRAINER = GOLDEN / "vdm_trainer.pt"
SMALL = Unet3DSpec(dim=8, dim_mults=(1, 2), attn_heads=2, attn_dim_head=16)
SPECS = {
    "plain": SMALL,
    "conditional": Unet3DSpec(dim=8, dim_mults=(1, 2, 4), cond_dim=6, attn_heads=1, channels=1),
    "no sparse attention": Unet3DSpec(
        dim=8, dim_mults=(1,), use_sparse_linear_attn=False, init_kernel_size=3, out_dim=6
    ),
    "other widths": Unet3DSpec(
        dim=8, dim_mults=(2, 3), init_dim=12, attn_heads=2, attn_dim_head=48, init_kernel_size=1
    ),
    "before 0.7": Unet3DSpec(dim=8, dim_mults=(1, 2), attn_heads=2, block_norm="group"),
}


def state_dict(spec, seed=0):
    """Random values under the keys of the original's Unet3D, ties included."""
    draw, state = np.random.default_rng(seed), {}
    for entry in names(spec):
        array = draw.standard_normal(entry.source_shape).astype(np.float32)
        state |= dict.fromkeys((entry.source, *entry.ties), array)
    return state


def write_original(path, spec=SMALL, form="trainer", seed=0, **changed):
    network = {**state_dict(spec, seed), **changed}
    write_torch(
        path,
        vdm.pack({k: v for k, v in network.items() if v is not None}, {"form": form, "step": "70"}),
    )
    return path


def run(*arguments):
    return command([str(a) for a in arguments])


def bits(path):
    opened = open_weights(path)
    return {
        name: (opened.dtype(name), opened.shape(name), opened.read(name).tobytes())
        for name in opened
    }


@pytest.mark.parametrize("name", SPECS)
def test_the_sizes_are_read_off_the_shapes(tmp_path, name):
    weights = open_weights(write_original(tmp_path / "a.pt", SPECS[name]))
    (match,) = recognise(weights)
    plan = convert.to_ours(weights, match)
    assert plan.spec == SPECS[name] and plan.report.fits
    assert set(plan.arrays) == {entry.ours for entry in names(SPECS[name])}


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        ("trainer", "pt"),
        ("diffusion", "pt"),
        ("diffusion", "safetensors"),
        ("network", "pt"),
        ("network", "safetensors"),
    ],
)
@pytest.mark.parametrize("name", ["plain", "conditional"])
def test_there_and_back_is_bit_equal(tmp_path, form, suffix, name):
    write_original(tmp_path / "a.pt", SPECS[name], form)
    assert run("--src", tmp_path / "a.pt", "--dst", tmp_path / "ours.safetensors") == 0
    assert run("--src", tmp_path / "ours.safetensors", "--dst", tmp_path / f"back.{suffix}") == 0
    assert bits(tmp_path / f"back.{suffix}") == bits(tmp_path / "a.pt")
    assert open_weights(tmp_path / "ours.safetensors").names()[0].startswith("unet.")


def test_what_the_originals_trainer_saved_comes_back_bit_for_bit(tmp_path):
    """The file is torch's own; its averages are taken, and every tensor has the digest that torch
    computed.
    """
    digests = json.loads((GOLDEN / "vdm_trainer.json").read_text())
    for which in ("ema", "model"):
        ours = tmp_path / f"{which}.safetensors"
        assert (
            run("--src", TRAINER, "--dst", ours, *(() if which == "ema" else ("--which", which)))
            == 0
        )
        assert run("--src", ours, "--dst", tmp_path / f"{which}.pt", "--form", "diffusion") == 0
        back = open_weights(tmp_path / f"{which}.pt")
        wanted = {
            k.split(".", 1)[1]: row for k, row in digests.items() if k.startswith(f"{which}.")
        }
        assert set(back) == set(wanted)
        for key, (shape, kind, digest) in wanted.items():
            array = back.read(key)
            assert [list(array.shape), array.dtype.name] == [shape, kind]
            assert hashlib.sha256(array.tobytes()).hexdigest() == digest, key


def test_the_form_of_an_export_is_the_sources_unless_asked_for(tmp_path):
    assert run("--src", TRAINER, "--dst", tmp_path / "a.safetensors") == 0
    assert run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "a.pt") == 0
    back = open_weights(tmp_path / "a.pt")
    assert back.metadata["step"] == 4321 and {n.split(".")[0] for n in back} == {"model", "ema"}
    assert back.shape("ema.betas") == (10,)
    assert (
        run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "b.pt", "--form", "network")
        == 0
    )
    assert "time_mlp.1.weight" in open_weights(tmp_path / "b.pt")
    assert (
        run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "c.pt", "--form", "netwerk")
        == 2
    )


def test_a_model_file_is_written_beside_and_rebuilds_the_spec(tmp_path):
    for name, spec in SPECS.items():
        stem = name.replace(" ", "_").replace(".", "")
        write_original(tmp_path / f"{stem}.pt", spec)
        assert run("--src", tmp_path / f"{stem}.pt", "--dst", tmp_path / f"{stem}.safetensors") == 0
        section = yaml.safe_load((tmp_path / f"{stem}.yaml").read_text())
        assert section["family"] == "vdm" and section["dim"] == 8
        made = load_model(tmp_path / f"{stem}.yaml").spec()
        assert {e.ours: e.our_shape for e in names(made)} == {
            e.ours: e.our_shape for e in names(spec)
        }
        assert made.block_norm == spec.block_norm


def test_all_timesteps_tables_are_the_originals(tmp_path):
    """The twelve buffers are not kept but made again; the golden file has the original's, for ten
    timesteps.
    """
    weights = open_weights(TRAINER)
    made = vdm.pack({}, {"form": "diffusion", "timesteps": "10"})
    assert set(made) == set(vdm.BUFFERS)
    for name, table in made.items():
        assert table.tobytes() == weights.read(f"ema.{name}").tobytes(), name


def test_another_schedule_is_noted(tmp_path, capsys):
    tree = vdm.pack(state_dict(SMALL), {"form": "diffusion"})
    write_torch(
        tmp_path / "a.pt", {**tree, "betas": np.linspace(1e-4, 0.02, 1000, dtype=np.float32)}
    )
    assert run("--src", tmp_path / "a.pt", "--dst", tmp_path / "a.safetensors") == 0
    assert "schedule is not the cosine one" in capsys.readouterr().out


def test_averages_by_default_and_the_other_copy_on_demand(tmp_path):
    model, ema = (
        {f"denoise_fn.{k}": v for k, v in state_dict(SMALL, seed).items()} for seed in (1, 2)
    )
    write_torch(tmp_path / "both.pt", {"model": model, "ema": ema})
    write_torch(tmp_path / "one.pt", {"model": model})
    for which, wanted in ((None, ema), ("ema", ema), ("model", model)):
        weights = open_weights(tmp_path / "both.pt")
        (match,) = recognise(weights, which)
        plan = convert.to_ours(weights, match)
        array = plan.arrays["init_conv.weight"].read()
        assert (
            array.tobytes() == wanted["denoise_fn.init_conv.weight"].tobytes() and plan.report.fits
        )
    weights = open_weights(tmp_path / "one.pt")
    assert recognise(weights)[0].prefix == "model.denoise_fn."
    with pytest.raises(InputFileError, match="no copy of the weights called 'ema'"):
        recognise(weights, "ema")


@pytest.mark.parametrize("prefix", ["module.", "state_dict.", "state_dict.model.module."])
def test_any_prefix_is_found(tmp_path, prefix):
    write_torch(tmp_path / "a.pt", {prefix + k: v for k, v in state_dict(SMALL).items()})
    (match,) = recognise(open_weights(tmp_path / "a.pt"))
    assert (
        match.prefix == prefix
        and convert.to_ours(open_weights(tmp_path / "a.pt"), match).report.fits
    )


def test_a_training_programs_own_things_are_stepped_over(tmp_path):
    tree = {
        "state_dict": state_dict(SMALL),
        "optimizer": {"state": {"0": {"exp_avg": np.ones(3)}}},
        "epoch": 3,
        "global_step": np.array(7),
        "scaler": {"scale": np.ones(1)},
    }
    write_torch(tmp_path / "a.pt", tree)
    weights = open_weights(tmp_path / "a.pt")
    plan = convert.to_ours(weights, recognise(weights)[0])
    assert plan.report.fits and plan.beside == 3


def test_a_missing_an_extra_and_a_misshaped_tensor_are_refused_with_the_nearest_names(
    tmp_path, capsys
):
    path = write_original(
        tmp_path / "a.pt",
        form="diffusion",
        **{
            "init_conv.bias": None,
            "init_conv.baus": np.zeros(8, np.float32),
            "final_conv.1.bias": np.zeros(5, np.float32),
        },
    )
    assert run("--src", path, "--dst", tmp_path / "b.safetensors") == 3
    out = capsys.readouterr()
    for line in (
        "1 missing, 1 extra, 1 misshaped",
        "missing    denoise_fn.init_conv.bias   (nearest: denoise_fn.init_conv.baus)",
        "extra      denoise_fn.init_conv.baus   (nearest: denoise_fn.init_conv.bias)",
        "misshaped  denoise_fn.final_conv.1.bias: [3] needed, [5] found",
    ):
        assert line in out.out, line
    assert "--allow_partial" in out.err and not (tmp_path / "b.safetensors").exists()
    assert (
        run("--src", path, "--dst", tmp_path / "b.safetensors", "--allow_partial", "*init_conv*")
        == 3
    )
    path = write_original(
        tmp_path / "c.pt", form="diffusion", **{"more.weight": np.ones(2, np.float32)}
    )
    assert run("--src", path, "--dst", tmp_path / "c.safetensors") == 3
    assert (
        run(
            "--src",
            path,
            "--dst",
            tmp_path / "c.safetensors",
            "--allow_partial",
            "denoise_fn.more.*",
        )
        == 0
    )


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    path = write_original(tmp_path / "a.pt")
    assert run("--src", path, "--dst", tmp_path / "b.safetensors", "--dry_run") == 0
    out = capsys.readouterr().out
    count = sum(math.prod(e.our_shape) for e in names(SMALL))
    assert "145 mapped, 0 missing, 0 extra, 0 misshaped" in out and "nothing was written" in out
    assert "ema.denoise_fn.time_rel_pos_bias" in out and f"{count / 1e3:.3g} k parameters" in out
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_nothing_is_overwritten_unless_asked_for(tmp_path, capsys):
    path, dst = write_original(tmp_path / "a.pt"), tmp_path / "b.safetensors"
    assert run("--src", path, "--dst", dst) == 0
    before = dst.read_bytes()
    write_original(path, seed=5)
    assert run("--src", path, "--dst", dst) == 2
    assert "--overwrite" in capsys.readouterr().err and dst.read_bytes() == before
    assert run("--src", path, "--dst", dst, "--overwrite") == 0 and dst.read_bytes() != before
    dst.unlink()
    assert run("--src", path, "--dst", dst) == 2, "the model file beside it would be overwritten"
    assert run("--src", path, "--dst", path, "--overwrite") == 2, "the source itself"


def test_what_is_written_may_be_read_by_others(tmp_path):
    assert run("--src", write_original(tmp_path / "a.pt"), "--dst", tmp_path / "b.safetensors") == 0
    assert run("--src", tmp_path / "b.safetensors", "--dst", tmp_path / "c.pt") == 0
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_a_cast_on_the_way(tmp_path, kind):
    path = write_original(tmp_path / "a.pt", form="diffusion")
    assert run("--src", path, "--dst", tmp_path / "b.safetensors", "--dtype", kind) == 0
    opened = open_weights(tmp_path / "b.safetensors")
    assert {opened.dtype(n) for n in opened} == {kind}
    exact = open_weights(path).read("denoise_fn.time_mlp.1.weight")
    assert np.allclose(
        opened.read("unet.time_mlp.fc1.weight"),
        exact,
        rtol={"float16": 1e-3, "bfloat16": 8e-3}.get(kind, 0),
    )
    assert (
        run("--src", tmp_path / "b.safetensors", "--dst", tmp_path / "c.pt", "--dtype", "float16")
        == 0
    )
    back = open_weights(tmp_path / "c.pt")
    assert (
        back.dtype("denoise_fn.time_mlp.1.weight") == "float16" and back.dtype("betas") == "float32"
    )


def test_rotary_keys_may_be_absent_partial_or_more(tmp_path):
    keys = [k for k in state_dict(SMALL) if k.endswith("rotary_emb.freqs")]
    assert len(keys) == 6
    cases = {
        "all": {},
        "last only": dict.fromkeys(keys[:-1]),
        "none": dict.fromkeys(keys),
        "more": {
            keys[0].replace("freqs", name): np.ones(3, np.float32)
            for name in ("scale", "dummy", "cached_freqs")
        },
    }
    for name, changed in cases.items():
        weights = open_weights(write_original(tmp_path / "a.pt", **changed))
        plan = convert.to_ours(weights, recognise(weights)[0])
        assert plan.report.fits, name
        freqs = plan.arrays["rotary.freqs"].read()
        wanted = (
            10000.0 ** (-np.arange(0, 16, 2) / 16) if name == "none" else state_dict(SMALL)[keys[0]]
        )
        assert np.allclose(freqs, wanted, rtol=1e-6), name


def test_tied_keys_that_differ_are_refused(tmp_path):
    keys = [k for k in state_dict(SMALL) if k.endswith("rotary_emb.freqs")]
    path = write_original(tmp_path / "a.pt", **{keys[3]: np.ones(8, np.float32)})
    assert run("--src", path, "--dst", tmp_path / "b.safetensors") == 3


def without(spec, *starts):
    return {k: None for k in state_dict(spec) if k.startswith(starts)}


def test_older_releases_are_read_or_refused_by_name(tmp_path, capsys):
    path = write_original(tmp_path / "06.pt", SPECS["before 0.7"])
    assert run("--src", path, "--dst", tmp_path / "06.safetensors") == 0
    out = capsys.readouterr().out
    assert (
        "before 0.7.0: read with block_norm=group" in out
        and "give long_skip=before_attn for the older ones" in out
    )
    assert "compat: vdm_0.6" in (tmp_path / "06.yaml").read_text()
    assert run("--src", path, "--dst", tmp_path / "05.safetensors", "long_skip=before_attn") == 0
    assert load_model(tmp_path / "05.yaml").spec().long_skip == "before_attn"
    capsys.readouterr()
    old = {
        "0.5.2": {"final_conv.0.block1.proj.weight": np.zeros((8, 8, 1, 3, 3), np.float32)},
        "0.5.1": without(SMALL, "ups.1."),
        "0.4.2": {"downs.0.0.block1.block.0.weight": np.zeros((8, 8, 1, 3, 3), np.float32)},
    }
    for release, changed in old.items():
        path = write_original(tmp_path / "old.pt", **changed)
        assert run("--src", path, "--dst", tmp_path / "old.safetensors") == 3
        assert f"before {release}" in capsys.readouterr().err


def test_a_run_of_ours_goes_to_the_originals_names(tmp_path):
    config = {
        "model": {
            "family": "vdm",
            "dim": 8,
            "dim_mults": [1, 2],
            "attn_heads": 2,
            "attn_dim_head": 16,
        }
    }
    draw = np.random.default_rng(0)
    ours = {
        f"unet.{e.ours}": draw.standard_normal(e.our_shape).astype(np.float32) for e in names(SMALL)
    }
    store.save(tmp_path / "run", 5, {"network": ours, "ema": ours}, {}, keep=2)
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(config))
    assert run("--src", tmp_path / "run", "--dst", tmp_path / "a.pt") == 0
    assert run("--src", tmp_path / "a.pt", "--dst", tmp_path / "b.safetensors") == 0
    assert {n: a.tobytes() for n, a in open_weights(tmp_path / "b.safetensors").items()} == {
        n: a.tobytes() for n, a in ours.items()
    }
    store.save(
        tmp_path / "run",
        6,
        {"network": {**ours, "text.out.weight": np.ones(3, np.float32)}},
        {},
        keep=2,
    )
    assert run("--src", tmp_path / "run", "--dst", tmp_path / "c.pt") == 3
    assert (
        run("--src", tmp_path / "run", "--dst", tmp_path / "c.pt", "--allow_partial", "text.*") == 0
    )


def test_an_export_needs_to_know_the_network(tmp_path, capsys):
    write_safetensors(
        tmp_path / "a.safetensors",
        {e.ours: np.zeros(e.our_shape, np.float32) for e in names(SMALL)},
    )
    assert run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "a.pt") == 2
    assert "give --model YAML" in capsys.readouterr().err
    model = tmp_path / "model.yaml"
    model.write_text("family: vdm\ndim: 8\ndim_mults: [1, 2]\nattn_heads: 2\nattn_dim_head: 16\n")
    assert (
        run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "a.pt", "--model", model) == 0
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--dst", "b.txt"), 2, "it must be a folder, or end in .safetensors"),
        (("--dst", "b.pt"), 2, "has the original's names already"),
        (("--dst", "b.safetensors", "--family", "vdn"), 2, "Did you mean 'vdm'"),
        (("--dst", "b.safetensors", "dim=7"), 2, "dim is 7; it must be even"),
        (("--dst", "b.safetensors", "dmi=8"), 2, "dmi"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, code, sentence):
    monkeypatch.chdir(tmp_path)
    write_original("a.pt")
    assert run("--src", "a.pt", *arguments) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and sentence in error and "Traceback" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_lora_and_an_unknown_network_are_named(tmp_path, capsys):
    lora = {
        f"unet.down_blocks.0.attn.{leaf}.lora_{side}.weight": np.ones((2, 2), np.float32)
        for leaf in ("to_q", "to_k")
        for side in ("up", "down")
    }
    write_safetensors(tmp_path / "a.ckpt", lora)
    assert run("--src", tmp_path / "a.ckpt", "--dst", tmp_path / "b.safetensors") == 2
    assert "a.ckpt is a LoRA file; --layout" in capsys.readouterr().err
    write_safetensors(tmp_path / "c.safetensors", {"some.weight": np.ones(3)})
    assert run("--src", tmp_path / "c.safetensors", "--dst", tmp_path / "b.safetensors") == 3
    assert "none of the networks known here" in capsys.readouterr().err


def test_one_network_from_a_file_of_either_side(tmp_path):
    write_original(tmp_path / "a.pt")
    assert run("--src", tmp_path / "a.pt", "--dst", tmp_path / "b.safetensors") == 0
    entries = names(SMALL)
    for file in ("a.pt", "b.safetensors"):
        held = our_weights(open_weights(tmp_path / file), ("vdm", "unet"), entries)
        assert {n: lazy.shape for n, lazy in held.items()} == {e.ours: e.our_shape for e in entries}
        assert (
            held["time_mlp.fc1.weight"].read().tobytes()
            == state_dict(SMALL)["time_mlp.1.weight"].tobytes()
        )
    with pytest.raises(InputFileError, match="does not fit the network: .* misshaped"):
        our_weights(
            open_weights(tmp_path / "b.safetensors"), ("vdm", "unet"), names(SPECS["conditional"])
        )
    with pytest.raises(ConfigError, match="no part 'vea'. Did you mean 'vae'"):
        our_weights(open_weights(tmp_path / "b.safetensors"), ("vdm", "vea"), entries)
