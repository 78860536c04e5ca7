"""LoRA files renamed, merged into weights by the converter, and inspected."""

from __future__ import annotations

import latent_toys
import lora_files as files
import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.lora.merge import merge
from mindlong.cli import convert, inspect
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.lora_words import every


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("lora") / "tiny", "stable_diffusion")


@pytest.fixture(scope="module")
def base(where):
    parts = find_latent_parts(str(where), LatentModelOptions())
    return {"network": parts.network, "text_encoder": parts.text_encoder}


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    return files.write(tmp_path_factory.mktemp("files") / "one.safetensors", files.kohya(base))


def weights_of(base, path):
    found = merge(base, every([str(path)]))
    return {
        (role, name): found.parts[role].arrays[name].read()
        for role, names in found.changed.items()
        for name in names
    }


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
def test_a_renamed_file_merges_to_the_same_weights(naming, base, lora, tmp_path, capsys):
    for number, source in enumerate((lora, tmp_path / "0.safetensors")):
        dst = tmp_path / f"{number}.safetensors"
        assert convert.command(["--src", str(source), "--dst", str(dst), "--layout", naming]) == 0
    assert "in the names of kohya" in capsys.readouterr().out
    wanted, found = weights_of(base, lora), weights_of(base, dst)
    assert wanted.keys() == found.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)
    first = open_weights(dst).names()[0]
    assert first.startswith(
        {"diffusers": ("text_encoder.text_model.", "unet."), "kohya": "lora_"}[naming]
    )


def test_older_names_become_todays(base, tmp_path):
    arrays = files.processors(base, "")
    source = files.write(tmp_path / "old.safetensors", arrays)
    dst = tmp_path / "new.safetensors"
    assert convert.command(["--src", str(source), "--dst", str(dst), "--layout", "diffusers"]) == 0
    names = open_weights(dst).names()
    assert len(names) == len(arrays)
    assert "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.weight" in names


def test_weights_are_converted_with_a_lora_in_them(where, base, lora, tmp_path, capsys):
    """To the names of diffusers and back: the network has what the pipeline would merge."""
    there = tmp_path / "there"
    words = ["--src", str(where), "--dst", str(there), "--layout", "diffusers"]
    assert convert.command([*words, "--lora", f"{lora}:0.5"]) == 0
    assert "strength 0.5" in capsys.readouterr().out
    parts = find_latent_parts(str(there), LatentModelOptions())
    wanted = merge(base, every([f"{lora}:0.5"]))
    for role in base:
        for name, lazy in wanted.parts[role].arrays.items():
            now = getattr(parts, role).arrays[name].read()
            np.testing.assert_array_equal(now, lazy.read())
    back = tmp_path / "back"
    assert convert.command(["--src", str(there), "--dst", str(back), "--lora", f"{lora}:-0.5"]) == 0
    parts = find_latent_parts(str(back), LatentModelOptions())
    for name, lazy in base["network"].arrays.items():
        np.testing.assert_allclose(parts.network.arrays[name].read(), lazy.read(), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--layout", "ldm"], "--layout diffusers or --layout kohya"),
        ([], "is a LoRA file; --layout"),
        (["--layout", "kohya", "--lora", "x"], "nothing is merged into one"),
        (["--layout", "kohya", "--family", "vdm2"], "there is no family 'vdm2'"),
        (["--layout", "kohya", "--dst", "x.pt"], "is written as .safetensors"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words, told, lora, tmp_path, capsys):
    dst = [] if "--dst" in words else ["--dst", str(tmp_path / "x.safetensors")]
    assert convert.command(["--src", str(lora), *dst, *words]) != 0
    err = capsys.readouterr().err
    assert told in err and "Traceback" not in err


def test_layers_of_no_known_network_are_told(tmp_path, capsys):
    arrays = {
        "unet.none.lora_A.weight": np.ones((2, 4)),
        "unet.none.lora_B.weight": np.ones((4, 2)),
    }
    path = files.write(tmp_path / "x.safetensors", arrays)
    words = ["--src", str(path), "--dst", str(tmp_path / "y.safetensors"), "--layout", "kohya"]
    assert convert.command(words) != 0
    assert "1 of 1 layers are in no published network" in capsys.readouterr().err


def test_an_autoencoder_takes_none(where, lora, tmp_path, capsys):
    words = ["--src", str(where / "vae.safetensors"), "--dst", str(tmp_path / "x.pt")]
    assert convert.command([*words, "--lora", str(lora)]) != 0
    assert "has no network that a LoRA could be merged into" in capsys.readouterr().err


def test_an_inspection_says_what_a_file_is(lora, tmp_path, capsys):
    assert inspect.main([str(lora)]) == 0
    said = capsys.readouterr().out
    assert "a LoRA in the names of kohya" in said and "of them of a text encoder" in said
    assert "rank 2 to 4" in said and "LoCon" in said and "an unknown base (prompts 24 wide)" in said
    other = files.write(tmp_path / "x.safetensors", {"lora_unet_x.hada_w1_a": np.ones((2, 2))})
    inspect.main([str(other)])
    assert "LoHa" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--which", "ema"], ["--part", "unet"], ["--allow_partial", "x"], ["head_dim=8"]]
)
def test_what_a_renaming_does_not_read_is_refused(lora, tmp_path, capsys, words):
    dst = tmp_path / "renamed.safetensors"
    given = ["--src", str(lora), "--dst", str(dst), "--layout", "kohya", *words]
    assert convert.command(given) == 2 and not dst.exists()
    assert "does not read" in capsys.readouterr().err
