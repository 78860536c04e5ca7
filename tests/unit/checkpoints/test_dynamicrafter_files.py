"""Files of DynamiCrafter: one whole model.ckpt, pruned and split ones, both ways; which of several
alike networks it is; what is refused.
"""

from pathlib import Path

import latent_toys as toys
import numpy as np
import pytest
import yaml

from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.convert import command
from mindlong.cli.inspect import command as inspect
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks.clip import text_names, vision_spec
from mindlong.networks.unet import names as unet_names
from mindlong.networks.vae import names as vae_names
from mindlong.utils.errors import ConfigError, InputFileError

SIZES = ["unet.head_dim=8", "unet.text_tokens=8", "unet.groups=8", "vae.groups=4"]
SIZES += ["text_encoder.heads=2", "text_encoder.pad_id=0", "image_encoder.heads=2"]
SIZES += ["projector.heads=2", "head_dim=8", "text_tokens=8", "groups=8"]


def original(family: str, base: float | None = 0.7) -> dict[str, np.ndarray]:
    """A model.ckpt's tensors under its six prefixes, with a second copy of parts of the text."""
    layout = "lvdm_framestride" if family.endswith("256") else "lvdm"
    parts = toys.parts_of(family)
    walks = {
        "model.diffusion_model.": unet_names.names(parts["unet"][1], layout),
        "first_stage_model.": vae_names.names(toys.VAE, "ldm"),
        "cond_stage_model.model.": text_names.names(toys.TEXT, "open_clip"),
        "embedder.model.": vision_spec.names(toys.VISION, "open_clip"),
        "image_proj_model.": parts["projector"][2],
    }
    state = {}
    for prefix, entries in walks.items():
        for e in entries:
            state[prefix + e.source] = toys.drawn(prefix, e.source, e.source_shape)
    for name in ("token_embedding.weight", "positional_embedding", "ln_final.weight"):
        state[f"embedder.model.{name}"] = np.ones((4, 4), np.float32)
    state["embedder.model.logit_scale"] = state["cond_stage_model.model.logit_scale"] = np.ones(())
    state["cond_stage_model.model.text_projection"] = np.ones((24, 24), np.float32)
    state["betas"] = np.zeros(1000, np.float32)
    if base:
        scale = np.append(np.linspace(1, base, 400), np.full(1000, base))
        state["scale_arr"] = scale.astype(np.float32)
    return {k: np.asarray(v, np.float32) for k, v in state.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("file") / "model.ckpt"
    state = original("dynamicrafter_interp")
    write_torch(place, {"state_dict": state})
    return place, state


def converted(source, target, *more):
    return command(["--src", str(source), "--dst", str(target), *more])


def test_a_whole_file_comes_to_our_names_and_back_bit_for_bit(whole, tmp_path, capsys):
    place, state = whole
    ours, back = tmp_path / "ours", tmp_path / "back.ckpt"
    said = ["--family", "dynamicrafter_interp", *SIZES]
    assert converted(place, ours, *said) == 0, capsys.readouterr().err
    parts = {"unet", "vae", "text_encoder", "image_encoder", "projector"}
    assert {p.stem for p in ours.glob("*.safetensors")} == parts
    assert yaml.safe_load((ours / "unet.yaml").read_text())["family"] == "dynamicrafter_interp"
    assert converted(ours, back) == 0, capsys.readouterr().err
    returned = open_weights(back)
    idle = {"betas", "scale_arr"} | {k for k in state if k.endswith("logit_scale")}
    idle |= {f"embedder.model.{n}" for n in ("positional_embedding", "ln_final.weight")}
    idle |= {"embedder.model.token_embedding.weight", "cond_stage_model.model.text_projection"}
    assert set(returned.names()) == {f"state_dict.{name}" for name in set(state) - idle}
    for name in returned:
        want = state[name.removeprefix("state_dict.")]
        np.testing.assert_array_equal(returned.read(name), want, err_msg=name)


def test_the_file_does_not_say_which_network_it_is_and_the_user_does_once(whole, tmp_path, capsys):
    place, _ = whole
    assert converted(place, tmp_path / "ours") != 0
    said = capsys.readouterr().err
    assert "have the same tensors" in said and "latent.family=" in said and "--family" in said
    named = tmp_path / "DynamiCrafter_512_interp.ckpt"
    named.symlink_to(place)
    assert converted(named, tmp_path / "ours") != 0
    assert "latent.family=dynamicrafter_interp" in capsys.readouterr().err
    assert converted(place, tmp_path / "ours", "--family", "dynamicrafter_interp", *SIZES) == 0
    part = read_part(open_weights(tmp_path / "ours"), "network")
    assert part.network.family == "dynamicrafter_interp"
    assert part.network.denoiser.images.given == "ends"
    with pytest.raises(ConfigError, match="says that it is of the family dynamicrafter_interp"):
        read_part(open_weights(tmp_path / "ours"), "network", "dynamicrafter_512")


def test_inspection_names_all_five_networks(whole, capsys):
    assert inspect([str(whole[0])]) == 0
    out = capsys.readouterr().out
    assert "or dynamicrafter_interp or dynamicrafter_1024, whose tensors are the same" in out
    for word in ("dynamicrafter_512 unet", "autoencoder_kl vae", "clip_text", "clip_vision"):
        assert word in out
    assert "resampler projector" in out


def test_the_dynamic_scale_shows_a_wrong_word(whole, tmp_path, capsys):
    assert converted(whole[0], tmp_path / "ours", "--family", "dynamicrafter_1024", *SIZES) != 0
    said = capsys.readouterr().err
    assert "ends at 0.7" in said and "dynamicrafter_512, dynamicrafter_interp" in said


def test_a_gated_file_is_known_by_its_tensors(tmp_path, capsys):
    place = tmp_path / "model.ckpt"
    write_torch(place, {"state_dict": original("dynamicrafter_256", None)})
    assert converted(place, tmp_path / "ours", *SIZES) == 0, capsys.readouterr().err
    assert yaml.safe_load((tmp_path / "ours/unet.yaml").read_text())["family"].endswith("256")
    assert converted(place, tmp_path / "no", "--family", "dynamicrafter_interp", *SIZES) != 0
    assert "dynamicrafter_interp" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_pruned_file_takes_its_encoders_from_elsewhere(whole, tmp_path, dtype):
    kept = ("model.", "first_stage_model.", "image_proj_model.")
    pruned = {k: v for k, v in whole[1].items() if k.startswith(kept)}
    write_safetensors(tmp_path / "pruned.safetensors", pruned, {}, dtype)
    folder = toys.folder(tmp_path / "ours", "dynamicrafter_interp")
    options = LatentModelOptions(family="dynamicrafter_interp", tokenizer=str(folder / "tokenizer"))
    with pytest.raises(InputFileError, match=r"no text_encoder; name one with latent.text_encoder"):
        find_latent_parts(str(tmp_path / "pruned.safetensors"), options)
    options.text_encoder = str(folder / "text_encoder.safetensors")
    with pytest.raises(InputFileError, match=r"no image_encoder; name one with latent.image_enc"):
        find_latent_parts(str(tmp_path / "pruned.safetensors"), options)
    held = read_part(open_weights(tmp_path / "pruned.safetensors"), "projector")
    assert held.family == "resampler" and len(held.arrays) == len(
        toys.parts_of("dynamicrafter_interp")["projector"][2]
    )


def test_a_file_of_deepspeed_is_read_under_its_words(whole, tmp_path):
    wrapped = {f"_forward_module.{name}": array for name, array in whole[1].items()}
    write_torch(tmp_path / "model.ckpt", {"module": wrapped})
    held = open_weights(tmp_path / "model.ckpt")
    sizes = {"head_dim": 8, "text_tokens": 8, "groups": 8}
    part = read_part(held, "network", "dynamicrafter_interp", sizes)
    assert len(part.arrays) == len(toys.parts_of("dynamicrafter_interp")["unet"][2])
    assert part.facts == {"scale": "0.7"}


def test_parts_that_do_not_go_together_are_refused(tmp_path):
    folder = toys.folder(tmp_path / "ours", "dynamicrafter_interp")
    found = find_latent_parts(str(folder), LatentModelOptions())
    assert set(found.held()) == {"network", "vae", "text_encoder", "image_encoder", "projector"}
    path = folder / "unet.yaml"
    path.write_text(path.read_text().replace("text_tokens: 8", "text_tokens: 7"))
    with pytest.raises(ConfigError, match="the text encoder reads 8 and 7 is wanted"):
        find_latent_parts(str(folder), LatentModelOptions())
    plain = toys.folder(tmp_path / "plain", "videocrafter2")
    with pytest.raises(ConfigError, match="reads no image; leave it out"):
        find_latent_parts(str(plain), LatentModelOptions(image_encoder=str(folder)))


@pytest.mark.parametrize("channels", [4, 5, 9])
def test_other_channels_are_refused(whole, tmp_path, capsys, channels):
    state = dict(whole[1])
    key = "model.diffusion_model.input_blocks.0.0.weight"
    state[key] = np.zeros((16, channels, 3, 3), np.float32)
    write_torch(tmp_path / "model.ckpt", {"state_dict": state})
    said = ["--family", "dynamicrafter_interp", *SIZES]
    assert converted(tmp_path / "model.ckpt", tmp_path / "ours", *said) != 0
    assert f"takes {channels} channels" in capsys.readouterr().err


def test_tooncrafter_is_named_and_refused(whole, tmp_path, capsys):
    state = whole[1] | {"first_stage_model.decoder.attn_refinement.0.conv.weight": np.ones(4, "f4")}
    write_torch(tmp_path / "model.ckpt", {"state_dict": state})
    said = ["--family", "dynamicrafter_interp", *SIZES]
    assert converted(tmp_path / "model.ckpt", tmp_path / "ours", *said) != 0
    refused = capsys.readouterr().err
    assert "ToonCrafter" in refused and "latent.vae" in refused
    part = read_part(open_weights(tmp_path / "model.ckpt"), "network", "dynamicrafter_interp")
    assert len(part.arrays) == len(toys.parts_of("dynamicrafter_interp")["unet"][2])
    assert converted(tmp_path / "model.ckpt", tmp_path / "unet", *said[:2], "--part", "unet") == 0


def test_videocrafter1_is_known_by_its_channels_and_goes_both_ways(whole, tmp_path, capsys):
    place, ours, back = tmp_path / "model.ckpt", tmp_path / "ours", tmp_path / "back.ckpt"
    state = original("videocrafter1_i2v")
    write_torch(place, {"state_dict": state})
    assert converted(place, ours, *SIZES) == 0, capsys.readouterr().err
    section = yaml.safe_load((ours / "unet.yaml").read_text())
    assert section["family"] == "videocrafter1_i2v" and "in_channels" not in section
    assert converted(ours, back) == 0, capsys.readouterr().err
    returned, kept = open_weights(back), ("model.", "first_stage_model.", "image_proj_model.")
    assert {n for n in state if n.startswith(kept)} <= {n[11:] for n in returned.names()}
    for name in returned:
        np.testing.assert_array_equal(returned.read(name), state[name[11:]], err_msg=name)
    capsys.readouterr()
    assert inspect([str(place)]) == 0
    out = capsys.readouterr().out
    assert "videocrafter1_i2v unet" in out and "whose tensors are the same" not in out
    for file, word, channels in (
        (place, "dynamicrafter_512", "takes 4 channels, and DynamiCrafter 512"),
        (whole[0], "videocrafter1_i2v", "takes 8 channels, and VideoCrafter1"),
    ):
        assert converted(file, tmp_path / "no", "--family", word, *SIZES) != 0
        said = capsys.readouterr().err
        assert channels in said and "Traceback" not in said


def test_a_videocrafter2_file_is_not_taken_for_one(tmp_path):
    spec = toys.parts_of("videocrafter2")["unet"][1]
    state = {
        f"model.diffusion_model.{e.source}": np.ones(e.source_shape, np.float32)
        for e in unet_names.names(spec, "lvdm")
    }
    write_torch(Path(tmp_path / "model.ckpt"), {"state_dict": state})
    assert read_part(open_weights(tmp_path / "model.ckpt"), "network").family == "videocrafter2"
