"""A network and a text encoder from outside of the package (toy_family): converted, inspected, run,
sampled and trained with nothing of ours changed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_family as toy
import yaml
from latent_toys import VAE, drawn

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli import convert, infer, inspect, run_network, train
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks import table
from mindlong.networks.vae import names as vae_names
from mindlong.pipelines.load_model import load_latent_model

HERE = Path(__file__).parents[1]
SPEC, TEXT = toy.MixerSpec(width=6), toy.WordsSpec()
PROMPTS = ("a red circle", "a blue square")


@pytest.fixture(autouse=True)
def plugged_in():
    with table.registered(*toy.NETWORKS):
        yield


def state(entries, prefix="", part="x"):
    """Random tensors under the source's names."""
    return {prefix + e.source: drawn(part, e.source, e.source_shape) for e in entries}


@pytest.fixture
def published(tmp_path):
    """The original's one file: the mixer, its text encoder and an autoencoder."""
    tensors = state(toy.names(SPEC), "model.")
    tensors |= state(toy.word_names(TEXT), "text.")
    tensors |= state(vae_names.names(VAE, "ldm", "first_stage_model."))
    write_torch(tmp_path / "toy.ckpt", tensors)
    return tmp_path / "toy.ckpt"


@pytest.fixture
def folder(published, tmp_path):
    """It in our form, with its tokenizer."""
    ours = tmp_path / "ours"
    assert convert.command(["--src", str(published), "--dst", str(ours), "vae.scaling=0.5"]) == 0
    (ours / "tokenizer").mkdir()
    (ours / "tokenizer/words.txt").write_text("a red blue circle square")
    return ours


def test_a_file_is_recognised_and_described(published, capsys):
    assert inspect.command([str(published)]) == 0
    said = capsys.readouterr().out
    assert "toy_mixer mixer, published names: a mixer of frames that is not mindlong's" in said
    assert "toy_words text_encoder" in said and "'width': 6" in said and "0 missing" in said


def test_a_file_comes_to_our_form_and_back_bit_for_bit(published, folder, tmp_path):
    assert {p.name for p in folder.glob("*.safetensors")} == {
        "mixer.safetensors",
        "text_encoder.safetensors",
        "vae.safetensors",
    }
    assert yaml.safe_load((folder / "mixer.yaml").read_text()) == {
        "family": "toy_mixer",
        "width": 6,
    }
    assert convert.command(["--src", str(folder), "--dst", str(tmp_path / "back.ckpt")]) == 0
    first, again = open_weights(published), open_weights(tmp_path / "back.ckpt")
    assert set(first) == set(again)
    assert all(np.array_equal(first.read(name), again.read(name)) for name in first)


def test_another_naming_and_a_hub_folder_are_written(folder, tmp_path):
    other = tmp_path / "other.safetensors"
    arguments = ["--src", str(folder), "--dst", str(other), "--part", "mixer", "--layout", "other"]
    assert convert.command(arguments) == 0
    assert set(open_weights(other)) == {e.source for e in toy.names(SPEC, "other")}
    hub = tmp_path / "hub"
    assert convert.command(["--src", str(folder), "--dst", str(hub), "--layout", "other"]) == 2
    assert convert.command(["--src", str(folder), "--dst", str(hub), "--part", "mixer"]) == 0
    assert json.loads((hub / "mixer/config.json").read_text())["width"] == 6


def test_it_runs_alone_with_gradients_by_the_originals_names(published, tmp_path):
    (tmp_path / "m.yaml").write_text("family: toy_mixer\nwidth: 6\n")
    shape = (1, 4, 3, 4, 4)
    arrays = {
        "x": np.ones(shape, np.float32),
        "t": np.array([7.0], np.float32),
        "context": np.ones((1, 6, 24), np.float32),
        "fps": np.array([8.0], np.float32),
        "probe": np.ones(shape, np.float32),
    }
    np.savez(tmp_path / "in.npz", **arrays)
    files = ["--weights", str(published), "--inputs", str(tmp_path / "in.npz")]
    files += ["--model", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out.npz"), "--grad"]
    assert run_network.command(files) == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found["out"].shape == shape and np.abs(found["out"]).max() > 0
        grads = {name for name in found.files if name.startswith("grad/")}
        assert grads == {f"grad/{e.source}" for e in toy.names(SPEC)}
        assert all(np.isfinite(found[name]).all() for name in grads)


def test_its_parts_are_found_with_its_own_noise_and_size(folder):
    parts = find_latent_parts(str(folder), LatentModelOptions())
    assert parts.network.spec == SPEC and parts.text_encoder.spec == TEXT
    assert parts.noising.prediction == "v" and parts.noising.schedule.timesteps == 100
    assert parts.size == (4, 16, 16) and set(parts.parameters()) == {"mixer", "vae", "text encoder"}


def test_guidance_leads_away_from_what_it_was_trained_with(folder):
    """toy_mixer says that its unconditional call has zeros for text; the UNets' has the negative
    prompt.
    """
    model = load_latent_model(str(folder))
    context = model.encode_text(PROMPTS)
    assert context.shape == (2, 6, 24) and not np.array_equal(context[0], context[1])
    assert not model.null_text("a", context).any()


def sampled(folder, out, *more):
    return infer.command(
        [
            "pipeline=text_to_video",
            f"weights={folder}",
            f"prompts=[{', '.join(PROMPTS)}]",
            f"output={out}",
            "sample.steps=2",
            "sample.guidance=3",
            "frames=3",
            "formats=[png]",
            "env.mode=pynative",
            *more,
        ]
    )


def test_it_is_sampled(folder, tmp_path, capsys):
    assert sampled(folder, tmp_path / "out", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "(toy_mixer)" in said and "mixer " in said and "2 videos of 3 frames 16x16" in said
    assert sampled(folder, tmp_path / "out") == 0
    (run,) = (tmp_path / "out").iterdir()
    found = [np.load(path)["latents"] for path in sorted((run / "latents").iterdir())]
    assert [x.shape for x in found] == [(4, 3, 8, 8)] * 2 and np.isfinite(found).all()
    assert not np.array_equal(found[0], found[1])
    assert json.loads((run / "video.json").read_text())["weights"]["family"] == "toy_mixer"


def test_runs_that_need_what_it_has_not_say_so(folder, tmp_path, capsys):
    base = ["pipeline=clip_parallel", f"weights={folder}", "prompt=a", f"output={tmp_path}"]
    assert infer.command([*base, "clips=2", "--dry_run"]) == 2
    assert "a mixer of frames that is not mindlong's has no form for" in capsys.readouterr().err
    assert infer.command([*base, "latent.reads={time: all}", "--dry_run"]) == 2
    assert "latent.reads: a mixer of frames" in capsys.readouterr().err


def training(folder, tmp_path, *more):
    (tmp_path / "words.yaml").write_text("family: toy_words\n")
    vae = tmp_path / "vae"
    vae.mkdir(exist_ok=True)
    for name in ("vae.safetensors", "vae.yaml"):
        (vae / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "train.yaml").write_text(
        yaml.safe_dump(
            {
                "run_dir": str(tmp_path / "run"),
                "model": {"family": "toy_mixer", "width": 6},
                "data": {"frames": 3, "size": [16, 16]},
                "latents": {
                    "vae": str(vae),
                    "text_encoder": str(tmp_path / "words.yaml"),
                    "tokenizer": str(folder / "tokenizer"),
                    "clips": 4,
                },
                "train": {
                    "steps": 2,
                    "batch_size": 2,
                    "save_every": 2,
                    "preview_every": 2,
                    "log_every": 1,
                    "workers": 0,
                },
                "preview": {"prompts": list(PROMPTS), "sample": {"steps": 2}},
                "env": {"mode": "pynative"},
            }
        )
    )
    return train.command(["--config", str(tmp_path / "train.yaml"), *more])


def test_it_is_trained_and_sampled_from_the_run(folder, tmp_path, capsys):
    assert training(folder, tmp_path, "--dry_run") == 0
    assert "parameters" in capsys.readouterr().out
    assert training(folder, tmp_path) == 0
    held = open_weights(tmp_path / "run")
    assert {name.split(".")[0] for name in held} == {"mixer", "text_encoder"}
    assert sampled(tmp_path / "run", tmp_path / "made") == 0


def test_a_command_finds_it_by_the_environment(published):
    environment = {**os.environ, "MINDLONG_NETWORKS": "toy_family"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    tool = str(HERE.parents[1] / "tools/inspect_checkpoint.py")
    done = subprocess.run(
        [sys.executable, tool, str(published)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "toy_mixer" in done.stdout
    environment["MINDLONG_NETWORKS"] = "no_such_module"
    done = subprocess.run(
        [sys.executable, tool, str(published)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "MINDLONG_NETWORKS names 'no_such_module'" in done.stderr
