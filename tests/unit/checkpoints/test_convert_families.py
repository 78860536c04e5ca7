"""Every latent family in every naming, there and back; whole pipelines; networks that start from an
image model.
"""

import json
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints import convert, convert_back
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.checkpoints.lazy import Lazy
from mindlong.checkpoints.our_weights import our_weights
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.cli.convert import command
from mindlong.config.section import load_model
from mindlong.networks import table
from mindlong.networks.clip import text_names as clip_names
from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.unet import motion_names
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae import spec as vae
from mindlong.utils.errors import InputFileError

TINY = {
    "channels": (16, 32),
    "attends": (True, False),
    "layers": 1,
    "context_dim": 24,
    "groups": 8,
    "head_dim": 8,
    "heads": None,
}
UNETS = [(family, layout) for family, f in FAMILIES.items() for layout in f.layouts]
VAE = vae.VaeSpec(block_channels=(16, 32), layers=1, groups=8)
TEXT = clip_text.ClipTextSpec(
    vocabulary=60, width=128, layers=2, heads=2, hidden=192, length=12, activation="gelu", pad_id=0
)
PUBLISHED = {  # tensors and numbers of the published networks
    "modelscope": (1480, 1_411_233_860),
    "videocrafter2": (1484, None),
    "tune_a_video": (798, None),
    "pseudo3d": (930, 1_100_575_608),
    "animatediff": (1232, 1_312_730_244),
    "stable_diffusion": (686, 859_520_964),
    **{f"dynamicrafter_{name}": (1516, 1_438_854_980) for name in ("512", "interp", "1024")},
    "dynamicrafter_256": (1532, 1_438_854_996),
    "videocrafter1_i2v": (1516, 1_438_843_460),
}


def tiny(family):
    return FAMILIES[family].spec(**TINY)


def said(family):
    """What the user has to say of a file whose tensors are another family's too."""
    return family if table.get(family).alike else None


def values(entries, seed=0, kind="float32"):
    """Source key -> random array; several entries of one source are its rows."""
    draw, found = np.random.default_rng(seed), {}
    for entry in entries:
        if entry.source not in found:
            found[entry.source] = draw.standard_normal(entry.source_shape).astype(kind)
    return found


def tables(spec, layout, prefix="", kind="float32"):
    """What files hold beside the tensors: the tables of places of motion modules."""
    found = motion_names.tables(spec, layout)
    return {prefix + key: value.astype(kind) for key, value in found.items()}


def run(*arguments):
    return command([str(a) for a in arguments])


def bits(path):
    opened = open_weights(path)
    return {
        name: (opened.dtype(name), opened.shape(name), opened.read(name).tobytes())
        for name in opened
    }


def pretended(entries, beside=()):
    """A file with the names and shapes of `entries` and no numbers."""
    shapes = {e.source: e.source_shape for e in entries} | {k: v.shape for k, v in beside}
    rows = {name: Lazy(shape, "float16", lambda: np.zeros(0)) for name, shape in shapes.items()}
    return WeightFile(Path("pretended.ckpt"), "PyTorch", rows)


@pytest.mark.parametrize(("family", "layout"), UNETS)
def test_every_name_of_the_published_size_is_found_both_ways(family, layout):
    """Names and shapes only: the numbers of 1.4 billion parameters are read in the slow test."""
    spec = FAMILIES[family].spec()
    entries = unet_names.names(spec, layout, "model.diffusion_model.")
    beside = tables(spec, layout, "model.diffusion_model.")
    weights = pretended(entries, beside.items())
    (match,) = recognise(weights, family=said(family))
    assert (match.format.family, match.format.layout, match.prefix) == (
        family,
        layout,
        "model.diffusion_model.",
    )
    plan = convert.to_ours(weights, match)
    tensors, numbers = PUBLISHED[family]
    assert (
        plan.spec == spec
        and plan.report.fits
        and len(plan.report.mapped) == len(plan.arrays) == tensors
    )
    if numbers and family != "pseudo3d":
        assert sum(prod(lazy.shape) for lazy in plan.arrays.values()) == numbers
    ours = {f"unet.{name}": lazy for name, lazy in plan.arrays.items()}
    back = WeightFile(Path("ours.safetensors"), "safetensors", ours)
    (match,) = recognise(back)
    assert match.ours and family in (match.network.family, *match.network.alike)
    form = table.get(family).format(layout)
    again = convert_back.to_original(back, match, spec, form=form, target="model.diffusion_model.")
    assert {n: lazy.shape for n, lazy in again.arrays.items()} == {
        e.source: e.source_shape for e in entries
    } | {key: value.shape for key, value in beside.items()}


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
@pytest.mark.parametrize(("family", "layout"), UNETS)
def test_there_and_back_is_bit_equal(tmp_path, family, layout, suffix):
    prefix = "" if layout == "diffusers" else "model.diffusion_model."
    state = values(unet_names.names(tiny(family), layout, prefix), kind="float16")
    state |= tables(tiny(family), layout, prefix, "float16")
    write_torch(tmp_path / "a.ckpt", {"state_dict": state} if layout == "lvdm" else state)
    given = ["head_dim=8", "groups=8"]
    given += ["--family", family] if said(family) else []
    assert run("--src", tmp_path / "a.ckpt", "--dst", tmp_path / "ours.safetensors", *given) == 0
    assert run("--src", tmp_path / "ours.safetensors", "--dst", tmp_path / f"b.{suffix}") == 0
    wrapper = "state_dict." if layout == "lvdm" and suffix == "ckpt" else ""
    assert bits(tmp_path / f"b.{suffix}") == {
        wrapper + n: ("float16", a.shape, a.tobytes()) for n, a in state.items()
    }


@pytest.mark.parametrize(
    ("family", "layout"), [u for u in UNETS if u[0] not in ("pseudo3d", "animatediff")]
)
def test_a_network_that_is_told_its_guidance_goes_there_and_back(tmp_path, family, layout):
    prefix = "" if layout == "diffusers" else "model.diffusion_model."
    spec = replace(tiny(family), guidance_dim=256)
    state = values(unet_names.names(spec, layout, prefix), kind="float16")
    write_torch(tmp_path / "a.ckpt", {"state_dict": state} if layout == "lvdm" else state)
    given = ["head_dim=8", "groups=8"]
    given += ["--family", family] if said(family) else []
    assert run("--src", tmp_path / "a.ckpt", "--dst", tmp_path / "ours.safetensors", *given) == 0
    held = open_weights(tmp_path / "ours.safetensors")
    assert held.shape("unet.guidance_embedding.proj.weight") == (16, 256)
    assert run("--src", tmp_path / "ours.safetensors", "--dst", tmp_path / "b.safetensors") == 0
    assert bits(tmp_path / "b.safetensors") == {
        n: ("float16", a.shape, a.tobytes()) for n, a in state.items()
    }
    hub = table.get(family).hub
    assert hub is None or hub.config(spec)["time_cond_proj_dim"] == 256


@pytest.mark.parametrize("family", [f for f in FAMILIES if len(FAMILIES[f].layouts) > 1])
def test_one_naming_becomes_the_other_through_ours(tmp_path, family):
    first, second = FAMILIES[family].layouts[:2]
    spec = tiny(family)
    state = values(unet_names.names(spec, first)) | tables(spec, first)
    write_torch(tmp_path / "a.pt", state)
    assert (
        run(
            "--src",
            tmp_path / "a.pt",
            "--dst",
            tmp_path / "a.safetensors",
            "head_dim=8",
            "groups=8",
        )
        == 0
    )
    assert (
        run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "b.pt", "--layout", second)
        == 0
    )
    assert (
        run(
            "--src",
            tmp_path / "b.pt",
            "--dst",
            tmp_path / "b.safetensors",
            "head_dim=8",
            "groups=8",
        )
        == 0
    )
    assert bits(tmp_path / "a.safetensors") == bits(tmp_path / "b.safetensors")
    by_ours = {
        e.ours: e
        for e in unet_names.names(
            spec, second, open_weights(tmp_path / "b.pt").names()[0].split("time")[0]
        )
    }
    theirs = open_weights(tmp_path / "b.pt")
    for entry in unet_names.names(spec, first):
        other = by_ours[entry.ours]
        assert theirs.read(other.source).shape == other.source_shape
        assert theirs.read(other.source).tobytes() == state[entry.source].tobytes()


@pytest.mark.parametrize("layout", vae_names.WORDS)
def test_the_autoencoder_in_every_naming(tmp_path, layout):
    prefix = "first_stage_model." if layout == "ldm" else ""
    state = values(vae_names.names(VAE, layout, prefix))
    write_torch(
        tmp_path / "a.ckpt",
        {**state, f"{prefix}loss.logvar": np.ones(1), f"{prefix}loss.discriminator.w": np.ones(2)},
    )
    assert run("--src", tmp_path / "a.ckpt", "--dst", tmp_path / "a.safetensors", "groups=8") == 0
    assert run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "b.ckpt") == 0
    assert bits(tmp_path / "b.ckpt") == {
        n: ("float32", a.shape, a.tobytes()) for n, a in state.items()
    }


def test_attention_of_the_autoencoder_may_be_stored_with_two_axes_or_four(tmp_path, capsys):
    state = values(vae_names.names(VAE, "diffusers"))
    square = {
        n: a[..., None, None] for n, a in state.items() if ".attentions." in n and a.ndim == 2
    }
    assert len(square) == 8
    write_safetensors(tmp_path / "a.safetensors", {**state, **square})
    write_safetensors(tmp_path / "b.safetensors", state)
    for name in "ab":
        assert (
            run(
                "--src",
                tmp_path / f"{name}.safetensors",
                "--dst",
                tmp_path / f"{name}_ours.safetensors",
            )
            == 0
        )
    assert "8 tensors have other axes of length one" in capsys.readouterr().out
    assert bits(tmp_path / "a_ours.safetensors") == bits(tmp_path / "b_ours.safetensors")


@pytest.mark.parametrize("layout", clip_names.LAYOUTS)
def test_the_text_tower_in_both_namings_with_what_else_its_files_hold(tmp_path, layout):
    state = values(clip_names.names(TEXT, layout))
    own = "text_model." if layout == "transformers" else ""
    more = {
        f"{own}embeddings.position_ids": np.arange(12)[None],
        "logit_scale": np.ones(()),
        "text_projection": np.ones((128, 64)),
        "visual.conv1.weight": np.ones((2, 3, 4, 4)),
    }
    write_torch(tmp_path / "a.bin", {**state, **more})
    assert run("--src", tmp_path / "a.bin", "--dst", tmp_path / "a.safetensors") == 0
    assert run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "b.bin") == 0
    assert bits(tmp_path / "b.bin") == {
        n: ("float32", a.shape, a.tobytes()) for n, a in state.items()
    }


GIVEN = ("heads=8", "vae.scaling=0.5", "vae.groups=8", "text_encoder.activation=gelu")


def test_a_pipeline_goes_to_one_file_of_the_lineage_each_network_behind_its_own_prefix(tmp_path):
    """A diffusers folder as a single file: the UNet does not stand behind `first_stage_model.`."""
    source = diffusers_folder(tmp_path / "theirs", "stable_diffusion")
    assert run("--src", source, "--dst", tmp_path / "ours") == 0
    single = tmp_path / "single.ckpt"
    assert run("--src", tmp_path / "ours", "--dst", single, "--layout", "ldm") == 0
    spec = tiny("stable_diffusion")
    assert set(open_weights(single)) == {
        *(e.source for e in unet_names.names(spec, "ldm", "model.diffusion_model.")),
        *(e.source for e in vae_names.names(VAE, "ldm", "first_stage_model.")),
        *(
            e.source
            for e in clip_names.names(
                TEXT, "transformers", "cond_stage_model.transformer.text_model."
            )
        ),
    }
    assert run("--src", single, "--dst", tmp_path / "again", *GIVEN) == 0
    assert bits(tmp_path / "again") == bits(tmp_path / "ours")


def test_openclips_unused_layer_is_kept_and_left_out_for_transformers(tmp_path, capsys):
    whole = replace(
        clip_text.VIT_H_ALL_LAYERS, vocabulary=30, width=64, heads=1, hidden=96, length=5
    )
    state = values(clip_names.names(whole, "open_clip"))
    write_torch(tmp_path / "a.bin", state)
    assert run("--src", tmp_path / "a.bin", "--dst", tmp_path / "a.safetensors") == 0
    assert "all 24 layers are kept, the last is not used" in capsys.readouterr().out
    assert run("--src", tmp_path / "a.safetensors", "--dst", tmp_path / "b.bin") == 0
    assert set(open_weights(tmp_path / "b.bin")) == set(state)
    assert (
        run(
            "--src",
            tmp_path / "a.safetensors",
            "--dst",
            tmp_path / "c.safetensors",
            "--layout",
            "transformers",
        )
        == 0
    )
    used = replace(whole, layers=23, skip_last=0)
    assert set(open_weights(tmp_path / "c.safetensors")) == {
        e.source for e in clip_names.names(used, "transformers")
    }


INDEX = {
    "_class_name": "TextToVideoSDPipeline",
    "_diffusers_version": "0.15.0.dev0",
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet3DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "own_note": 7,
}


def diffusers_folder(folder, family="modelscope", kind="float16", shards=False):
    """A pipeline as diffusers saves it."""
    parts = {
        "unet": unet_names.names(tiny(family), "diffusers"),
        "vae": vae_names.names(VAE, "diffusers"),
        "text_encoder": clip_names.names(TEXT, "transformers"),
    }
    for part, entries in parts.items():
        state = values(entries, kind=kind)
        file = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        (folder / part).mkdir(parents=True)
        if shards and part == "unet":
            names = list(state)
            split = {f"{file}-0000{i}.safetensors": names[i::2] for i in (0, 1)}
            for name, held in split.items():
                write_safetensors(folder / part / name, {n: state[n] for n in held})
            table = {n: name for name, held in split.items() for n in held}
            (folder / part / f"{file}.safetensors.index.json").write_text(
                json.dumps({"weight_map": table})
            )
        else:
            write_safetensors(folder / part / f"{file}.safetensors", state)
    configs = {
        "unet": {"attention_head_dim": 8, "norm_num_groups": 8, "sample_size": 16},
        "vae": {"norm_num_groups": 8, "scaling_factor": 0.5, "sample_size": 48},
        "text_encoder": {
            "num_attention_heads": 2,
            "hidden_act": "gelu",
            "bos_token_id": 58,
            "eos_token_id": 59,
            "pad_token_id": 0,
            "torch_dtype": kind,
        },
    }
    for part, config in configs.items():
        (folder / part / "config.json").write_text(json.dumps(config))
    for name, text in (
        ("tokenizer/vocab.json", '{"!": 0, "<|startoftext|>": 58, "<|endoftext|>": 59}'),
        ("tokenizer/merges.txt", "#version: 0.2\n"),
        ("tokenizer/special_tokens_map.json", '{"pad_token": "!"}'),
        ("scheduler/scheduler_config.json", '{"_class_name": "PNDMScheduler"}'),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    return folder


@pytest.mark.parametrize("shards", [False, True])
def test_a_whole_diffusers_folder_becomes_ours_and_goes_back(tmp_path, shards):
    source = diffusers_folder(tmp_path / "theirs", shards=shards)
    assert run("--src", source, "--dst", tmp_path / "ours") == 0
    ours = open_weights(tmp_path / "ours")
    assert {name.split(".")[0] for name in ours} == {"unet", "vae", "text_encoder"}
    assert load_model(tmp_path / "ours/unet.yaml").spec() == tiny("modelscope")
    assert load_model(tmp_path / "ours/vae.yaml").spec() == replace(VAE, scaling=0.5)
    assert load_model(tmp_path / "ours/text_encoder.yaml").spec() == TEXT
    assert run("--src", tmp_path / "ours", "--dst", tmp_path / "again") == 0
    assert bits(tmp_path / "again") == bits(source)
    for name in [p.relative_to(source) for p in source.glob("[ts][oc]*er/*")]:
        assert (tmp_path / "again" / name).read_bytes() == (source / name).read_bytes()
    for part in ("unet", "vae", "text_encoder"):
        file = f"{part}/config.json"
        back = json.loads((tmp_path / "again" / file).read_text())
        assert back == json.loads((source / file).read_text())
    index = json.loads((tmp_path / "again/model_index.json").read_text())
    assert index == {**INDEX, "safety_checker": [None, None]}
    assert run("--src", source, "--dst", tmp_path / "ours") == 2, "the folder is taken"


def exported(folder, part):
    return json.loads((folder / part / "config.json").read_text())


def test_what_the_user_changed_goes_before_what_the_source_said(tmp_path):
    source = diffusers_folder(tmp_path / "theirs", kind="float32")
    assert run("--src", source, "--dst", tmp_path / "ours") == 0
    back = ("--src", tmp_path / "ours", "--dst", tmp_path / "again")
    assert run(*back, "text_encoder.pad_id=3", "vae.scaling=0.25", "--dtype", "float16") == 0
    text = exported(tmp_path / "again", "text_encoder")
    assert (text["bos_token_id"], text["eos_token_id"], text["pad_token_id"]) == (58, 59, 3)
    assert text["torch_dtype"] == "float16"
    assert exported(tmp_path / "again", "vae") == {
        **exported(source, "vae"),
        "scaling_factor": 0.25,
    }


def test_without_a_source_the_ids_are_clips_own(tmp_path):
    write_torch(tmp_path / "a.bin", values(clip_names.names(TEXT, "open_clip")))
    assert run("--src", tmp_path / "a.bin", "--dst", tmp_path / "ours", "pad_id=7", "heads=2") == 0
    back = ("--src", tmp_path / "ours", "--dst", tmp_path / "again", "--layout", "transformers")
    assert run(*back) == 0
    text = exported(tmp_path / "again", "text_encoder")
    assert (text["bos_token_id"], text["eos_token_id"], text["pad_token_id"]) == (58, 59, 7)


@pytest.mark.parametrize(
    ("declared", "config", "wanted"),
    [
        ('{"pad_token": "!"}', {"pad_token_id": 59}, 0),
        ("{}", {"pad_token_id": 0, "bos_token_id": 58, "eos_token_id": 59}, 59),
        ('{"pad_token": null}', {"pad_token_id": 5, "bos_token_id": 58, "eos_token_id": 59}, 5),
        ('{"pad_token": null}', {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}, 0),
        (None, {"pad_token_id": 5, "bos_token_id": 58, "eos_token_id": 59}, 5),
        (None, {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}, 0),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_the_tokenizer_says_what_fills_up_a_prompt(tmp_path, declared, config, wanted, alone):
    source = diffusers_folder(tmp_path / "theirs")
    (source / "text_encoder/config.json").write_text(
        json.dumps({"num_attention_heads": 2, "hidden_act": "gelu", **config})
    )
    table = source / "tokenizer/special_tokens_map.json"
    if declared is None:
        for file in (source / "tokenizer").iterdir():
            file.unlink()
    else:
        table.write_text(declared)
    src = source / "text_encoder" if alone else source
    assert run("--src", src, "--dst", tmp_path / "ours") == 0
    assert load_model(tmp_path / "ours/text_encoder.yaml").spec().pad_id == wanted


def test_a_config_that_asks_for_something_else_is_refused(tmp_path, capsys):
    source = diffusers_folder(tmp_path / "theirs")
    for part, key, value in (
        ("unet", "act_fn", "gelu"),
        ("unet", "resnet_time_scale_shift", "scale_shift"),
        ("vae", "shift_factor", 0.1),
        ("text_encoder", "hidden_act", "relu"),
    ):
        kept = (source / part / "config.json").read_text()
        (source / part / "config.json").write_text(json.dumps({**json.loads(kept), key: value}))
        assert run("--src", source, "--dst", tmp_path / "ours") == 3
        assert f"config.json says {key} {value!r}; built here is" in capsys.readouterr().err
        (source / part / "config.json").write_text(kept)
    (source / "vae/config.json").write_text("{")
    assert run("--src", source, "--dst", tmp_path / "ours") == 3
    assert "vae/config.json is not readable JSON" in capsys.readouterr().err


def test_a_pipeline_in_one_file_with_the_lineages_prefixes(tmp_path):
    """VideoCrafter2's model.ckpt: three networks and buffers in one file."""
    spec = tiny("videocrafter2")
    tower = replace(TEXT, layers=24, skip_last=1)
    state = values(unet_names.names(spec, "lvdm", "model.diffusion_model."))
    state |= values(vae_names.names(VAE, "ldm", "first_stage_model."))
    state |= values(clip_names.names(tower, "open_clip", "cond_stage_model.model."))
    more = {
        "betas": np.ones(9),
        "scale_arr": np.ones(14),
        "cond_stage_model.model.logit_scale": np.ones(()),
        "cond_stage_model.model.text_projection": np.ones((128, 64)),
        "model_ema.diffusion_modeltime_embed0weight": np.ones(3),
        "sqrt_alphas_cumprod": np.ones(9),
    }
    write_torch(tmp_path / "model.ckpt", {"state_dict": {**state, **more}, "epoch": 1})
    given = ("head_dim=8", "groups=8", "vae.groups=8")
    assert run("--src", tmp_path / "model.ckpt", "--dst", tmp_path / "ours", *given) == 0
    assert run("--src", tmp_path / "ours", "--dst", tmp_path / "back.ckpt") == 0
    assert bits(tmp_path / "back.ckpt") == {
        f"state_dict.{n}": ("float32", a.shape, a.tobytes()) for n, a in state.items()
    }
    assert (
        run(
            "--src",
            tmp_path / "ours",
            "--dst",
            tmp_path / "single.safetensors",
            "--layout",
            "diffusers",
        )
        == 0
    )
    assert {n.split(".")[0] for n in open_weights(tmp_path / "single.safetensors")} >= {
        "unet",
        "vae",
    }
    assert (
        run(
            "--src",
            tmp_path / "model.ckpt",
            "--dst",
            tmp_path / "u.safetensors",
            "--part",
            "unet",
            *given,
        )
        == 0
    )
    assert len(open_weights(tmp_path / "u.safetensors")) == len(unet_names.names(spec, "lvdm"))


def test_modelscopes_three_files_and_back(tmp_path):
    source = diffusers_folder(tmp_path / "theirs")
    assert run("--src", source, "--dst", tmp_path / "ours") == 0
    assert (
        run("--src", tmp_path / "ours", "--dst", tmp_path / "three", "--layout", "modelscope") == 0
    )
    assert sorted(p.name for p in (tmp_path / "three").iterdir()) == [
        "VQGAN_autoencoder.pth",
        "open_clip_pytorch_model.bin",
        "text2video_pytorch_model.pth",
    ]
    given = ("head_dim=8", "groups=8", "vae.groups=8", "vae.scaling=0.5")
    assert run("--src", tmp_path / "three", "--dst", tmp_path / "ours2", *given) == 0
    assert bits(tmp_path / "ours2") == bits(tmp_path / "ours")
    assert any(
        n.startswith("state_dict.first_stage_model.")
        for n in open_weights(tmp_path / "three/VQGAN_autoencoder.pth")
    )
    one = open_weights(tmp_path / "three/open_clip_pytorch_model.bin")
    assert one.shape("transformer.resblocks.0.attn.in_proj_weight") == (384, 128)


@pytest.mark.parametrize("family", ["tune_a_video", "pseudo3d"])
@pytest.mark.parametrize("layout", ["diffusers", "ldm"])
def test_a_video_model_starts_from_an_image_model(tmp_path, capsys, family, layout):
    base = FAMILIES["stable_diffusion"].spec(**TINY, in_channels=9 if family == "pseudo3d" else 4)
    prefix = "" if layout == "diffusers" else "model.diffusion_model."
    state = values(unet_names.names(base, layout, prefix))
    write_torch(tmp_path / "sd.ckpt", state)
    wishes = ("head_dim=8", "groups=8")
    assert (
        run(
            "--src",
            tmp_path / "sd.ckpt",
            "--dst",
            tmp_path / "a.safetensors",
            "--family",
            family,
            *wishes,
        )
        == 0
    )
    assert "start fresh" in capsys.readouterr().out
    held = open_weights(tmp_path / "a.safetensors")
    by_source = {
        e.source.replace(".spatial_conv.", "."): e
        for e in unet_names.names(tiny(family), "diffusers")
    }
    assert len(held) == len(state)
    for entry, old in zip(
        unet_names.names(base, "diffusers"), unet_names.names(base, layout, prefix), strict=True
    ):
        ours = by_source[entry.source].ours
        assert held.read(f"unet.{ours}").tobytes() == state[old.source].tobytes(), ours
    entries = unet_names.names(tiny(family))
    given = {"head_dim": 8, "heads": None, "groups": 8}
    weights = open_weights(tmp_path / "sd.ckpt")
    with pytest.raises(InputFileError, match="does not fit the network: .* missing"):
        our_weights(weights, (family, "unet"), entries, overrides=given)
    fresh = ["*_temp*", "*.temporal.weight", "*.temporal.bias"]
    assert len(
        our_weights(weights, (family, "unet"), entries, overrides=given, allow=fresh)
    ) == len(state)


def test_a_network_is_loaded_from_a_file_of_ours_of_its_base(tmp_path):
    base = FAMILIES["stable_diffusion"].spec(**TINY)
    arrays = {f"unet.{e.ours}": np.ones(e.our_shape, np.float32) for e in unet_names.names(base)}
    write_safetensors(tmp_path / "sd.safetensors", arrays)
    held = our_weights(
        open_weights(tmp_path / "sd.safetensors"),
        ("tune_a_video", "unet"),
        unet_names.names(tiny("tune_a_video")),
        allow=["*_temp*"],
    )
    assert len(held) == len(arrays)


def test_parts_that_families_share_are_found_for_each(tmp_path):
    source = diffusers_folder(tmp_path / "theirs")
    weights = open_weights(source)
    for family in ("modelscope", "tune_a_video"):
        assert len(
            our_weights(weights, (family, "vae"), vae_names.names(VAE), overrides={"groups": 8})
        ) == len(vae_names.names(VAE))
        assert our_weights(weights, (family, "text_encoder"), clip_names.names(TEXT))


def test_unknown_keys_are_refused_and_a_wrong_family_is_named(tmp_path, capsys):
    state = values(unet_names.names(tiny("stable_diffusion"), "ldm", "model.diffusion_model."))
    write_torch(
        tmp_path / "a.ckpt", {**state, "model.diffusion_model.input_blocks.1.9.weight": np.ones(2)}
    )
    assert run("--src", tmp_path / "a.ckpt", "--dst", tmp_path / "b.safetensors") == 3
    assert "extra      model.diffusion_model.input_blocks.1.9.weight" in capsys.readouterr().out
    assert (
        run(
            "--src",
            tmp_path / "a.ckpt",
            "--dst",
            tmp_path / "b.safetensors",
            "--family",
            "modelscope",
        )
        == 3
    )
    assert "holds no modelscope; it is stable_diffusion unet, ldm names" in capsys.readouterr().err
    write_torch(tmp_path / "c.ckpt", state)
    assert run("--src", tmp_path / "c.ckpt", "--dst", tmp_path / "c.safetensors", "head_dim=5") == 2
    assert "head_dim is 5; it must divide" in capsys.readouterr().err
    assert run("--src", tmp_path / "c.ckpt", "--dst", tmp_path / "c.safetensors", "head_dim=8") == 0
    assert (
        run(
            "--src",
            tmp_path / "c.safetensors",
            "--dst",
            tmp_path / "d.pt",
            "--layout",
            "modelscope",
        )
        == 2
    )
    assert (
        "--layout is 'modelscope', which a stable_diffusion unet does not have"
        in capsys.readouterr().err
    )


def test_no_two_formats_can_be_mistaken_for_each_other():
    seen = {}
    for form in (form for network in table.networks() for form in network.formats):
        assert form.markers and form.network.our_markers
        first = seen.setdefault((form.part, frozenset(form.markers)), form)
        assert first is form or form.network.family in first.network.alike, form.title


PEAK = """
import sys
from mindlong.cli.convert import command
code = command(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""


def peak(*arguments):
    """Most memory in bytes that a process of its own needed which ran the command (counted from its
    own start).
    """
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "layout", "dtype"),
    [
        ("modelscope", "modelscope", None),
        ("videocrafter2", "lvdm", "bfloat16"),
        ("dynamicrafter_interp", "lvdm", None),
        ("pseudo3d", "diffusers", None),
        ("tune_a_video", "ldm", None),
    ],
)
def test_the_published_sizes_there_and_back_in_little_memory(tmp_path, family, layout, dtype):
    """0.9 to 1.4 billion numbers in half precision: beside a dry run, 1.3 times the largest tensor
    and its cast.
    """
    entries = unet_names.names(FAMILIES[family].spec(), layout)
    block = np.random.default_rng(0).integers(0, 0x7800, 1 << 20, dtype=np.uint16).view(np.float16)

    def filled(shape, seed):
        return np.resize(np.roll(block, seed), prod(shape)).reshape(shape)

    write_torch(
        tmp_path / "a.pth",
        {
            e.source: Lazy(e.source_shape, "float16", lambda e=e, i=i: filled(e.source_shape, i))
            for i, e in enumerate(entries)
        },
    )
    largest = max(prod(e.source_shape) for e in entries) * 2
    cast = ("--dtype", dtype) if dtype else ()
    heap = 32 << 20  # that the allocator keeps for itself after arrays of up to this size
    bound = 1.3 * largest + (largest if dtype else 0) + heap
    own = ("--family", family) if said(family) else ()
    into = ("--src", tmp_path / "a.pth", "--dst", tmp_path / "ours.safetensors", *own)
    idle = peak(*into, "--dry_run")
    assert peak(*into, *cast) - idle < bound
    assert peak("--src", tmp_path / "ours.safetensors", "--dst", tmp_path / "b.pth") - idle < bound
    first, second = open_weights(tmp_path / "a.pth"), open_weights(tmp_path / "b.pth")
    assert set(first) == set(second) and len(first) == PUBLISHED[family][0]
    for name in first:
        assert first.shape(name) == second.shape(name)
        if dtype is None:
            assert first.read(name).tobytes() == second.read(name).tobytes(), name
