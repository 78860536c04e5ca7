"""A LoRA out of two sets of weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import cogvideox_toys
import latent_toys
import lora_files as files
import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.lora.extract import extract, nearest, parts_at
from mindlong.checkpoints.lora.merge import merge
from mindlong.checkpoints.lora.write import in_naming
from mindlong.cli import convert
from mindlong.config.lora_words import every
from mindlong.utils.errors import InputFileError


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("extract") / "tiny", "stable_diffusion")


@pytest.fixture(scope="module")
def base(where):
    return parts_at(str(where), "--base")


@pytest.fixture(scope="module")
def tuned(where, base, tmp_path_factory):
    """The base with a LoRA of ranks 2 to 4 merged into it, as weights of their own."""
    folder = tmp_path_factory.mktemp("tuned")
    lora = files.write(folder / "lora.safetensors", files.kohya(base))
    assert not convert.command(
        ["--src", str(where), "--dst", str(folder / "tuned"), "--lora", str(lora)]
    )
    return folder / "tuned"


def run(*words):
    return convert.command([str(word) for word in words])


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
def test_what_a_lora_added_is_found_again(where, base, tuned, naming, tmp_path, capsys):
    dst = tmp_path / "found.safetensors"
    words = ("--base", where, "--extract_lora", 4, "--dst", dst, "--layout", naming)
    assert run("--src", tuned, *words) == 0
    assert "100.0 % of the difference" in capsys.readouterr().out
    merged, wanted = merge(base, every([str(dst)])).parts, parts_at(str(tuned), "--src")
    for role, part in wanted.items():
        for name, lazy in part.arrays.items():
            got = merged[role].arrays[name].read()
            np.testing.assert_allclose(got, lazy.read(), atol=2e-6, err_msg=name)


def test_a_smaller_rank_holds_less_and_says_how_much(base, tuned):
    whole = parts_at(str(tuned), "--src")
    one, two = (extract(whole, base, rank) for rank in (1, 4))
    assert 0.3 < one.kept / one.whole < 0.95 and two.kept == pytest.approx(two.whole, rel=1e-5)
    assert not two.left and {each.rank for each in one.found} == {1}


def test_a_network_that_one_of_them_lacks_is_named(where, tuned, tmp_path, capsys):
    words = (
        "--base",
        where / "unet.safetensors",
        "--extract_lora",
        4,
        "--dst",
        tmp_path / "x.safetensors",
    )
    assert run("--src", tuned, *words) == 0
    assert "only one of --src and --base has a text_encoder" in capsys.readouterr().out
    assert not any("text" in name for name in open_weights(tmp_path / "x.safetensors"))


def test_the_nearest_matrices_are_those_of_the_largest_singular_values():
    change = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    down, up = nearest(change, 2)
    error = np.square(change - np.tensordot(up, down, 1)).sum()
    values = np.linalg.svd(change.reshape(6, -1), compute_uv=False)
    assert error == pytest.approx(np.square(values[2:]).sum(), rel=1e-4)
    assert nearest(change, 99)[0].shape == (6, 4, 3, 3)


def test_what_no_lora_can_hold_is_named(base):
    part = base["network"]
    bias = next(name for name in part.arrays if name.endswith("bias"))
    weight = next(name for name in part.arrays if name.endswith("to_q.weight"))
    moved = {name: as_lazy(part.arrays[name].read() + np.float32(0.5)) for name in (bias, weight)}
    found = extract({"network": replace(part, arrays={**part.arrays, **moved})}, base, 4)
    assert found.left == (bias,)
    assert len(found.found) == 1 and 0 < found.kept < found.whole


def test_what_is_no_number_is_refused(base):
    part = base["network"]
    name = next(iter(part.arrays))
    broken = as_lazy(np.full(part.arrays[name].shape, np.nan, np.float32))
    with pytest.raises(InputFileError, match="NaN or infinity"):
        extract({"network": replace(part, arrays={**part.arrays, name: broken})}, base, 4)


def test_the_base_is_not_written_over(where, tuned, tmp_path, capsys):
    folder = tmp_path / "base"
    shutil.copytree(where, folder)
    unet = folder / "unet.safetensors"
    held = unet.read_bytes()
    for base, said in ((unet, "--base and --dst are the same"), (folder, "is part of --base")):
        words = ("--base", base, "--extract_lora", 2, "--dst", unet, "--overwrite")
        assert run("--src", tuned, *words) == 2
        assert said in capsys.readouterr().err and unet.read_bytes() == held


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--extract_lora", "4"], 2, "are given together"),
        (["--base", "BASE"], 2, "are given together"),
        (["--base", "BASE", "--extract_lora", "0"], 2, "a rank is at least 1"),
        (["--base", "BASE", "--extract_lora", "4", "--lora", "x"], 2, "does not read --lora"),
        (["--base", "BASE", "--extract_lora", "4", "head_dim=8"], 2, "does not read key=value"),
        (["--base", "BASE", "--extract_lora", "4", "--inert", "x.*"], 2, "does not read --inert"),
        (["--base", "BASE", "--extract_lora", "4", "--layout", "ldm"], 2, "diffusers, kohya"),
        (["--base", "BASE", "--extract_lora", "4", "--dst", "x.pt"], 2, "as .safetensors"),
        (["--base", "BASE", "--extract_lora", "4"], 3, "there is nothing to extract"),
        (["--base", "shipped:latent_shapes", "--extract_lora", "4"], 3, "is another network"),
        (["--base", "nowhere", "--extract_lora", "4"], 3, "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(where, tmp_path, capsys, words, code, said):
    words = [str(where) if word == "BASE" else word for word in words]
    dst = tmp_path / "out.safetensors"
    assert run("--src", where, "--dst", dst, *words) == code
    assert said in capsys.readouterr().err and not dst.exists()


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """A tiny CogVideoX, whose text encoder is T5, and the same with a layer of each changed."""
    base = parts_at(str(cogvideox_toys.folder(tmp_path_factory.mktemp("joint") / "tiny")), "--base")
    return base, {role: _with_a_change(part) for role, part in base.items()}


def _with_a_change(part):
    name = next(n for n in part.arrays if n.endswith(("to_q.weight", "attn.q.weight")))
    array = np.asarray(part.arrays[name].read(), np.float32)
    change = np.outer(np.linspace(-1, 1, len(array)), np.linspace(1, 2, array.shape[1]))
    return replace(part, arrays={**part.arrays, name: as_lazy(array + change.astype(np.float32))})


HEADS = {
    "diffusers": ("transformer.transformer_blocks.", "text_encoder.encoder.block."),
    "kohya": ("lora_transformer_transformer_blocks_", "lora_te_encoder_block_"),
}
OLD_HEADS = {
    "transformer.": "unet.",
    "text_encoder.": "text_encoder.text_model.",
    "lora_transformer_": "lora_unet_",
    "lora_te_": "lora_te_text_model_",
}


@pytest.mark.parametrize("naming", HEADS)
def test_the_heads_are_those_of_the_networks(joint, naming, tmp_path):
    """Where diffusers' pipeline looks for them; files of earlier versions are read too."""
    base, tuned = joint
    arrays, about = in_naming(naming, extract(tuned, base, 2).found)
    assert {name.startswith(HEADS[naming]) for name in arrays} == {True}
    if naming == "diffusers":
        said = json.loads(about["lora_adapter_metadata"])
        assert said["transformer.r"] == said["text_encoder.r"] > 0
        assert not any(key.startswith("unet.") for key in said)
    for number, held in enumerate((arrays, {_as_before(n): a for n, a in arrays.items()})):
        path = files.write(tmp_path / f"{number}.safetensors", held, about)
        merged = merge(base, every([str(path)]))
        assert {role: len(names) for role, names in merged.changed.items()} == {
            "network": 1,
            "text_encoder": 1,
        }
        for role, (name,) in merged.changed.items():
            found, wanted = (p[role].arrays[name].read() for p in (merged.parts, tuned))
            np.testing.assert_allclose(found, wanted, atol=2e-6)


def _as_before(name):
    head = next(head for head in OLD_HEADS if name.startswith(head))
    return OLD_HEADS[head] + name.removeprefix(head)
