"""tools/run_network.py on what stands beside a UNet: both halves of the autoencoder, and the text
encoder, against the originals.
"""

from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints.files import write_safetensors
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.run_network import command

GOLDEN = Path(__file__).parents[1] / "golden"
UNET = "family: modelscope\nchannels: [8, 16]\nlayers: 1\nattends: [true, false]\ngroups: 4\ncontext_dim: 24\nhead_dim: 8\n"


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def weights(arrays):
    return {
        key.removeprefix("weight/"): array
        for key, array in arrays.items()
        if key.startswith("weight/")
    }


def run(folder, network, inputs, *more, model=UNET, file="w.bin", code=0):
    (folder / "model.yaml").write_text(model)
    np.savez(folder / "in.npz", **inputs)
    assert (
        command(
            [
                "--model",
                str(folder / "model.yaml"),
                "--weights",
                str(folder / file),
                "--inputs",
                str(folder / "in.npz"),
                "--out",
                str(folder / "out.npz"),
                "--network",
                network,
                "--mode",
                "pynative",
                *more,
            ]
        )
        == code
    )
    if code:
        return {}
    with np.load(folder / "out.npz") as found:
        return dict(found)


def close(ours, want, tolerance):
    assert ours.shape == want.shape
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-3))


@pytest.mark.parametrize(("name", "groups"), [("vae_tiny", 4), ("vae_deep_odd", 2)])
def test_both_halves_of_the_autoencoder(tmp_path, name, groups):
    arrays = golden(name)
    write_torch(tmp_path / "w.bin", weights(arrays))
    found = run(tmp_path, "vae_encode", {"x": arrays["x"]}, f"vae.groups={groups}")
    close(found["out"], np.concatenate([arrays["mean"], arrays["logvar"]], 1), 1e-4)
    z = arrays["mean"] + np.exp(0.5 * arrays["logvar"]) * arrays["noise"]
    close(
        run(tmp_path, "vae_decode", {"x": z}, f"vae.groups={groups}")["out"],
        arrays["decoded"],
        1e-4,
    )


def test_the_gradients_of_one_half_have_its_names_and_no_others(tmp_path):
    arrays = golden("vae_tiny")
    write_torch(tmp_path / "w.bin", weights(arrays))
    probe = np.random.default_rng(0).standard_normal((2, 6, 4, 6)).astype(np.float32)
    own = f"family: autoencoder_kl\nlatent_channels: 3\nblock_channels: [8, 8, 16]\nlayers: 1\ngroups: {4}\n"
    found = run(tmp_path, "vae_encode", {"x": arrays["x"], "probe": probe}, "--grad", model=own)
    assert found["grad_x"].shape == arrays["x"].shape and np.abs(found["grad_x"]).max() > 0
    names = {key.removeprefix("grad/") for key in found if key.startswith("grad/")}
    assert names == {key for key in weights(arrays) if key.startswith(("encoder.", "quant_conv."))}


@pytest.mark.parametrize(
    ("name", "want", "more"),
    [
        ("text_gelu", "last", ("text_encoder.activation=gelu",)),
        ("text_quick_gelu", "last", ("text_encoder.activation=quick_gelu",)),
        ("text_open_clip", "penultimate", ("text_encoder.skip_last=1",)),
    ],
)
def test_the_text_tower_gives_the_state_that_the_unet_reads(tmp_path, name, want, more):
    arrays = golden(name)
    write_torch(tmp_path / "w.bin", weights(arrays))
    found = run(tmp_path, "text_encoder", {"x": arrays["ids"]}, "text_encoder.heads=4", *more)
    close(found["out"], arrays[want], 1e-4)


@pytest.mark.parametrize(
    ("name", "want"), [("text_gelu", "last"), ("text_open_clip", "penultimate")]
)
def test_gradients_of_the_text_tower_are_named_as_in_its_file(tmp_path, name, want):
    arrays = golden(name)
    write_safetensors(tmp_path / "w.safetensors", weights(arrays))
    probe = arrays.get(
        "probe", np.random.default_rng(0).standard_normal(arrays[want].shape).astype(np.float32)
    )
    more = (
        "text_encoder.heads=4",
        "text_encoder.activation=gelu",
        f"text_encoder.skip_last={int(want == 'penultimate')}",
    )
    found = run(
        tmp_path,
        "text_encoder",
        {"x": arrays["ids"], "probe": probe},
        "--grad",
        *more,
        file="w.safetensors",
    )
    grads = {key: found[key] for key in found if key.startswith("grad/")}
    assert "grad_x" not in found and {k.removeprefix("grad/") for k in grads} == set(
        weights(arrays)
    )
    assert all(grads[f"grad/{key}"].shape == array.shape for key, array in weights(arrays).items())
    largest = max(float(np.abs(array).max()) for array in grads.values())
    for key, array in arrays.items():
        if key.startswith("grad/"):  # that of a key's bias is zero but for rounding
            np.testing.assert_allclose(
                grads[key], array, rtol=0, atol=1e-3 * max(np.abs(array).max(), 1e-3 * largest)
            )


@pytest.mark.parametrize(
    ("network", "inputs", "more", "code", "words"),
    [
        (
            "text_encoder",
            {"x": np.full((1, 11), 97)},
            (),
            3,
            "token ids from 97 to 97; the network has 97 tokens",
        ),
        ("text_encoder", {"x": np.zeros((1, 12), int)}, (), 3, "its axis S must be 11"),
        ("text_encoder", {"x": np.zeros((1, 11))}, (), 3, "x holds float64; it must be int"),
        (
            "vae_encode",
            {"x": np.zeros((1, 3, 8, 8))},
            (),
            3,
            "holds no vae; it is clip_text text_encoder",
        ),
        (
            "vae_decode",
            {"x": np.zeros((1, 3, 8, 8))},
            ("vae.grups=4",),
            2,
            "Did you mean 'groups'?",
        ),
        (
            "text_decoder",
            {"x": np.zeros((1, 3))},
            (),
            2,
            "has unet, vae_encode, vae_decode, text_encoder",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, capsys, network, inputs, more, code, words):
    write_torch(tmp_path / "w.bin", weights(golden("text_gelu")))
    run(tmp_path, network, inputs, "text_encoder.heads=4", *more, code=code)
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_gradients_have_no_beginning_that_the_file_has_not(tmp_path):
    """transformers 5 saves a CLIPTextModel without `text_model.`."""
    arrays = golden("text_gelu")
    bare = {name.removeprefix("text_model."): a for name, a in weights(arrays).items()}
    write_safetensors(tmp_path / "w.safetensors", bare)
    given = {"x": arrays["ids"], "probe": arrays["probe"]}
    more = ("--grad", "text_encoder.heads=4", "text_encoder.activation=gelu")
    found = run(tmp_path, "text_encoder", given, *more, file="w.safetensors")
    assert {key.removeprefix("grad/") for key in found if key.startswith("grad/")} == set(bare)


def test_a_misfit_is_not_told_of_keys_that_the_command_has_not(tmp_path, capsys):
    arrays = golden("text_gelu")
    write_torch(tmp_path / "w.bin", weights(arrays))
    model = "family: clip_text\nlength: 11\n"
    run(tmp_path, "text_encoder", {"x": arrays["ids"]}, model=model, code=3)
    said = capsys.readouterr().err
    assert "does not fit the network" in said and "--allow_partial" not in said
