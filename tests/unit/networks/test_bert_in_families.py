"""BERT as the text encoder of a pixel and of a latent network: trained beside, sampled, and found
again; random weights of a tiny one.
"""

import json

import numpy as np
import pytest
import yaml
from latent_toys import VAE, drawn

from mindlong.checkpoints.embedder import embedder
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.text_source import text_source
from mindlong.cli import infer, train
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks import table
from mindlong.networks.bert.names import names
from mindlong.networks.bert.spec import BertSpec
from mindlong.networks.unet3d.keys import TextModel, VdmModel
from mindlong.networks.vae import names as vae_names
from mindlong.pipelines.load_model import load_latent_model
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *["a", "red", "blue", "green", "circle", "square", "moving", "left"],
]
SPEC = BertSpec(
    vocabulary=len(WORDS), width=24, layers=2, heads=2, hidden=32, positions=40, length=40
)


@pytest.fixture
def bert(tmp_path):
    """A folder as transformers saves one, with its vocabulary."""
    where = tmp_path / "bert"
    state = {e.source: drawn("bert", e.source, e.source_shape) for e in names(SPEC)}
    write_safetensors(where / "model.safetensors", state)
    config = {"model_type": "bert", "num_attention_heads": 2, "hidden_act": "gelu"}
    (where / "config.json").write_text(json.dumps(config))
    (where / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return where


def model(where, **text):
    return VdmModel(dim=8, cond_dim=24, text=TextModel(encoder="bert", weights=str(where), **text))


def test_captions_become_vectors_whatever_stands_beside_them(bert):
    embed = embedder(model(bert))
    both = embed(["a red circle", "a blue square moving left"])
    assert both.shape == (2, 24) and both.dtype == np.float32
    np.testing.assert_array_equal(embed(["a red circle"]), both[:1])
    assert not np.allclose(both[0], both[1])
    assert not np.allclose(embedder(model(bert, pooling="cls"))(["a red circle"]), both[:1])


def test_a_long_prompt_is_cut_where_the_places_end(bert, caplog):
    embed = embedder(model(bert))
    longest, longer = embed(["red " * 38, "red " * 60])
    np.testing.assert_allclose(longest, longer, atol=1e-6)
    assert "the last 22 tokens of the prompt" in caplog.text


def test_what_does_not_fit_is_one_sentence(bert, tmp_path):
    with pytest.raises(ConfigError, match="model.cond_dim is 32; .* so it must be 24"):
        text_source(VdmModel(cond_dim=32, text=TextModel(encoder="bert", weights=str(bert))))
    with pytest.raises(InputFileError, match="model.text.weights: nothing at nowhere"):
        text_source(model("nowhere"))
    (bert / "vocab.txt").unlink()
    with pytest.raises(InputFileError, match="no tokenizer found; needed is a folder with vocab"):
        text_source(model(bert))
    with pytest.raises(InputFileError, match="no package 'no_such_thing' is installed"):
        locate("installed:no-such-thing")


def test_a_package_that_carries_weights_is_found_without_being_imported(
    bert, tmp_path, monkeypatch
):
    package = tmp_path / "site" / "carries_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    bert.rename(package / "model")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert locate("installed:carries-weights") == package / "model"
    assert text_source(model("installed:carries-weights")).part.spec.width == 24


def configured(tmp_path, content):
    path = tmp_path / "train.yaml"
    run = {"steps": 2, "batch_size": 2, "save_every": 2, "preview_every": 2, "workers": 0}
    common = {
        "run_dir": str(tmp_path / "run"),
        "data": {"frames": 2, "size": [16, 16]},
        "train": run,
    }
    path.write_text(yaml.safe_dump({**common, **content}))
    return str(path)


@pytest.mark.slow
def test_a_pixel_network_learns_and_samples_with_it(bert, tmp_path, capsys):
    content = {
        "model": {
            "family": "vdm",
            "dim": 8,
            "dim_mults": [1, 2],
            "attn_heads": 2,
            "attn_dim_head": 8,
            "cond_dim": 24,
            "text": {"encoder": "bert", "weights": str(bert), "memory": 4},
            "token_shift": "time_space",
            "classes": ["circle", "square"],
        },
        "diffusion": {"timesteps": 20, "cond_drop": 0.1},
        "preview": {"prompts": ["a red circle"], "sample": {"sampler": "ddim", "steps": 2}},
    }
    path = configured(tmp_path, content)
    assert train.command(["--config", path, "--dry_run"]) == 0
    assert train.command(["--config", path]) == 0
    held = open_weights(tmp_path / "run")
    assert any(name.endswith("memory.to_kv.weight") for name in held)
    assert not any("layers.0.attn" in name for name in held), "the encoder stays where it is"
    asked = [f"weights={tmp_path / 'run'}", "pipeline=pixel", f"output={tmp_path / 'out'}"]
    asked += ["prompts=[a red circle, a blue square]", "sample.sampler=ddim", "sample.steps=2"]
    asked += ["sample.guidance=2", "formats=[png]"]
    assert infer.command(asked) == 0
    bert.rename(tmp_path / "moved")
    assert infer.command(asked) == 3
    assert "model.text.weights: nothing at" in capsys.readouterr().err
    assert infer.command([*asked, f"pixel.text_encoder={tmp_path / 'moved'}"]) == 0


@pytest.mark.slow
def test_a_latent_network_learns_and_samples_with_it(bert, tmp_path):
    vae = tmp_path / "vae"
    arrays = {f"vae.{e.ours}": drawn("vae", e.ours, e.our_shape) for e in vae_names.names(VAE)}
    write_safetensors(vae / "vae.safetensors", arrays)
    (vae / "vae.yaml").write_text(yaml.safe_dump(table.get("autoencoder_kl").section(VAE)))
    content = {
        "model": {
            "family": "modelscope",
            "channels": [16, 32],
            "attends": [True, False],
            "layers": 1,
            "context_dim": 24,
            "groups": 8,
            "head_dim": 8,
            "entry_heads": 2,
        },
        "latents": {
            "vae": str(vae),
            "text_weights": str(bert),
            "tokenizer": str(bert),
            "clips": 2,
        },
        "preview": {"prompts": ["a red circle"], "sample": {"sampler": "ddim", "steps": 2}},
    }
    assert train.command(["--config", configured(tmp_path, content)]) == 0
    parts = find_latent_parts(str(tmp_path / "run"), LatentModelOptions())
    assert parts.text_encoder.network is table.get("bert")
    states = load_latent_model(str(tmp_path / "run")).encode_text(["a red circle", "a"])
    assert states.shape == (2, SPEC.length, 24) and np.isfinite(states).all()
    asked = ["pipeline=text_to_video", f"weights={tmp_path / 'run'}", f"output={tmp_path / 'out'}"]
    asked += ["prompt=a red circle", "sample.sampler=ddim", "sample.steps=2", "formats=[png]"]
    assert infer.command(asked) == 0
