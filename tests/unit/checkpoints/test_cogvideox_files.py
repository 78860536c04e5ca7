"""CogVideoX's files: a diffusers folder and the original's come to our form and back bit for bit;
its relatives and other transformers are named and refused; sizes and lengths; the dry run.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from cogvideox_toys import SPEC, TEXT, VAE, folder, state, training
from latent_toys import drawn

from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.convert import command as convert
from mindlong.cli.infer import command as infer
from mindlong.cli.inspect import command as inspect
from mindlong.cli.train import command as train
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.section import load_model
from mindlong.networks import table
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.utils.errors import ConfigError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("hub") / "cog")


def plan(weights, *more):
    """The exit code of a dry run."""
    sizes = {"frames": "9", "size": "[16,24]"} | dict(each.split("=", 1) for each in more)
    keys = [f"{key}={value}" for key, value in sizes.items()]
    text = ["pipeline=text_to_video", "prompt=a red circle", f"weights={weights}"]
    return infer([*text, *keys, "--dry_run"])


def same(first, second, leave=()):
    first, second = open_weights(first), open_weights(second)
    names = [name for name in first if not name.endswith(leave)] if leave else list(first)
    assert set(names) <= set(second) and len(names) > 200
    assert all(np.array_equal(first.read(name), second.read(name)) for name in names)


def test_a_hub_folder_is_described(published, capsys):
    assert inspect([str(published)]) == 0
    said = capsys.readouterr().out
    assert "cogvideox transformer, diffusers names: the transformer of CogVideoX-2B" in said
    assert "cogvideox_vae vae" in said and "t5 text_encoder" in said
    assert said.count("0 missing, 0 extra, 0 misshaped") == 3


def test_it_comes_to_our_form_and_back_bit_for_bit(published, tmp_path):
    ours, back = tmp_path / "ours", tmp_path / "back"
    assert convert(["--src", str(published), "--dst", str(ours)]) == 0
    assert {p.name for p in ours.glob("*.safetensors")} == {
        "transformer.safetensors",
        "vae.safetensors",
        "text_encoder.safetensors",
    }
    assert convert(["--src", str(ours), "--dst", str(back), "--layout", "diffusers"]) == 0
    same(published, back)
    index = json.loads((back / "model_index.json").read_text())
    assert index["_class_name"] == "CogVideoXPipeline"
    assert index["transformer"] == ["diffusers", "CogVideoXTransformer3DModel"]
    assert index["tokenizer"] == ["transformers", "T5Tokenizer"]
    assert (back / "tokenizer/spiece.model").is_file()
    parts = find_latent_parts(str(ours), LatentModelOptions())
    assert (parts.network.spec, parts.vae.spec) == (SPEC, VAE)
    assert parts.text_encoder.spec == TEXT and parts.step == 8


def test_the_originals_file_comes_to_our_form_and_back(tmp_path):
    entries = table.get("cogvideox").format("sat").named("model.diffusion_model.", SPEC)
    tensors = {e.source: drawn("sat", e.source, e.source_shape) for e in entries}
    tensors["model.diffusion_model.mixins.pos_embed.pos_embedding"] = np.ones((1, 9, 32), "f4")
    entries = table.get("cogvideox_vae").format("sat").named("first_stage_model.", VAE)
    tensors |= {e.source: drawn("sat", e.source, e.source_shape) for e in entries}
    write_torch(tmp_path / "sat.pt", tensors)
    sizes = ["sample=[3,4,6]", "tokens=10"]
    arguments = ["--src", str(tmp_path / "sat.pt"), "--dst", str(tmp_path / "ours")]
    assert convert([*arguments, *sizes]) == 0
    arguments = ["--src", str(tmp_path / "ours"), "--dst", str(tmp_path / "back.pt")]
    assert convert(arguments) == 0
    same(tmp_path / "sat.pt", tmp_path / "back.pt", "pos_embedding")
    arguments = ["--src", str(tmp_path / "ours"), "--dst", str(tmp_path / "hub")]
    assert convert([*arguments, "--layout", "diffusers"]) == 0
    assert (tmp_path / "hub/transformer/config.json").is_file()


def relative(tmp_path, published, config=(), **tensors):
    """A folder like the published one, but for its transformer."""
    where = tmp_path / "relative"
    inside = where / "transformer"
    inside.mkdir(parents=True)
    for part in ("vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"):
        (where / part).symlink_to(published / part)
    said = json.loads((published / "transformer/config.json").read_text()) | dict(config)
    (inside / "config.json").write_text(json.dumps(said))
    held = state("cogvideox", SPEC, "transformer") | tensors
    write_safetensors(inside / "diffusion_pytorch_model.safetensors", held)
    return where


RELATIVES = {
    "5B": ({"use_rotary_positional_embeddings": True}, {}, "CogVideoX-5B .* rotary places"),
    "5B-I2V": ({}, {"patch_embed.pos_embedding": (1, 9, 32)}, "CogVideoX-5B-I2V: rotary places"),
    "1.5": ({"patch_size_t": 2}, {"patch_embed.proj.weight": (32, 32)}, "CogVideoX1.5-5B: rotary"),
    "1.5-I2V": ({}, {"ofs_embedding.linear_1.weight": (16, 16)}, "CogVideoX1.5-5B-I2V: .* offset"),
    "control": ({}, {"patch_embed.proj.weight": (32, 8, 2, 2)}, "reads 8 channels and predicts 4"),
    "act": ({"activation_fn": "geglu"}, {}, "activation_fn 'geglu'"),
    "LTX": ({"_class_name": "LTXVideoTransformer3DModel"}, {}, "a diffusion transformer \\(LTXV"),
    "Wan": ({"_class_name": "WanTransformer3DModel"}, {}, "a diffusion transformer \\(WanTran"),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_named_and_refused(name, tmp_path, published, capsys):
    config, tensors, sentence = RELATIVES[name]
    made = {key: np.zeros(shape, np.float32) for key, shape in tensors.items()}
    where = relative(tmp_path, published, config, **made)
    assert plan(where) != 0
    said = capsys.readouterr().err
    assert said.count("error:") == 1
    assert re.search(sentence, said), said


def test_a_wide_and_deep_one_is_a_5b_without_a_config():
    spec = replace(CogVideoXSpec(), heads=48, layers=42)
    form = table.get("cogvideox").format("diffusers")
    shapes = {e.source: e.source_shape for e in form.entries(spec)}
    with pytest.raises(Exception, match="CogVideoX-5B"):
        form.infer(shapes, {})


def test_the_network_of_first_and_last_frame_is_known_by_its_channels(tmp_path, published):
    wider = replace(SPEC, in_channels=9)
    config = table.get("cogvideox").hub.config(wider)
    tensors = state("cogvideox", wider, "transformer")
    where = relative(tmp_path, published, config, **tensors)
    found = find_latent_parts(str(where), LatentModelOptions()).network
    assert found.spec == replace(wider, places="resized") and found.spec.hinted
    assert found.network.denoiser.takes(found.spec) == ("context", "hint")


def test_a_plan_says_what_it_costs(published, capsys):
    assert plan(published, "sample.guidance=6", "text_to_video.guidance_curve=wave") == 0
    said = capsys.readouterr().out
    assert "1 videos of 9 frames 16x24, 1 batches of 50 steps, ddim, guidance 6" in said
    assert "in the model's own chunks" in said and "encoding prompts a layer at a time" in said


def test_a_long_video_is_planned_in_windows(published, capsys):
    keys = ["contexts.schedule=standard_static", "contexts.length=13", "contexts.overlap=4"]
    assert plan(published, "frames=97", *keys) == 0
    assert "3 windows of 13 frames a step (standard_static)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("size=[16,20]", "both must be multiples of 8, 2 latents of 4 pixels"),
        ("frames=16", "takes 8N + 1 (1, 9, 17, ...), nearest are 9 and 17"),
        ("latent.chunk=3", "latent.chunk is not read: the model has chunks of its own (8 images)"),
        ("text_to_video.scenes=[{0-3: a, 4-8: b}]", "reads one prompt a video, and none of single"),
        ("pipeline=hierarchical", "makes one latent of several; weights of this kind"),
        ("latent.unconditional=none", "latent.unconditional is 'none'"),
    ],
)
def test_what_does_not_fit_is_said(published, key, sentence, capsys):
    code, said = plan(published, key), capsys.readouterr()
    assert code != 0 and sentence in said.err, said.err


def test_the_autoencoder_is_not_trained(tmp_path):
    keys = table.get("cogvideox_vae").keys()
    assert "not trained here" in next(keys.training_problems(None))
    with pytest.raises(ConfigError, match="must be a multiple of 16"):
        CogVideoXSpec(heads=3, head_dim=8)


def test_a_training_on_a_folders_parts_is_planned(published, tmp_path, capsys):
    assert train([*training(published, tmp_path / "run"), "--dry_run"]) == 0
    assert "parameters   transformer 23.4 k" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("data.frames", "8", "takes 8N + 1 (1, 9, 17, ...), nearest are 1 and 9"),
        ("data.size", "[20,24]", "data.size is [20, 24]; both must be multiples of 8"),
        (
            "interpolation.factor",
            "2",
            "interpolation is given; the family cogvideox is trained as a",
        ),
        ("diffusion.snr_shift", "0", "diffusion.snr_shift is 0"),
    ],
)
def test_what_a_training_cannot_do_is_said(published, tmp_path, key, value, sentence, capsys):
    keys = training(published, tmp_path / "run", **{key: value})
    assert train([*keys, "--dry_run"]) != 0
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["cogvideox_2b", "cogvideox_fun_2b_inp", "cogvideox_shapes"])
def test_model_files_are_specs(name):
    spec = load_model(f"configs/model/{name}.yaml").spec()
    assert spec.hinted == ("inp" in name) and (spec.heads == 30) == ("2b" in name)
