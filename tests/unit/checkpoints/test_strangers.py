"""Networks of other families are named as what they are, by marks in the names of their tensors."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints.files import write_safetensors
from mindlong.cli.convert import command as convert
from mindlong.cli.inspect import command as inspect
from mindlong.networks import strangers
from mindlong.networks.table import find

NAMES = json.loads((Path(__file__).parents[2] / "golden/stranger_names.json").read_text())
KNOWN = {
    "AutoencoderKL",
    "AutoencoderKLCogVideoX",
    "CogVideoXTransformer3DModel",
    "UNet2DConditionModel",
    "UNet3DConditionModel",
    "UNetMotionModel",
    "MotionAdapter",
}
WORDS = {  # diffusers' class -> what the sentence says
    "AllegroTransformer3DModel": "Allegro, a diffusion transformer",
    "AsymmetricAutoencoderKL": "asymmetric autoencoder",
    "AuraFlowTransformer2DModel": "AuraFlow",
    "AutoencoderKLAllegro": "autoencoder of Allegro",
    "AutoencoderKLHunyuanVideo": "autoencoder of HunyuanVideo",
    "AutoencoderKLLTXVideo": "autoencoder of LTX-Video",
    "AutoencoderKLMochi": "autoencoder of videos",
    "AutoencoderKLTemporalDecoder": "autoencoder of Stable Video Diffusion",
    "AutoencoderKLWan": "autoencoder of Wan",
    "AutoencoderTiny": "tiny autoencoder",
    "ChromaTransformer2DModel": "Chroma",
    "ControlNetModel": "a ControlNet",
    "CosmosTransformer3DModel": "Cosmos",
    "DiTTransformer2DModel": "a DiT",
    "Flux2Transformer2DModel": "Flux 2",
    "FluxControlNetModel": "a ControlNet",
    "FluxTransformer2DModel": "Flux",
    "HunyuanVideoTransformer3DModel": "HunyuanVideo",
    "I2VGenXLUNet": "I2VGen-XL",
    "LTXVideoTransformer3DModel": "LTX-Video, a diffusion transformer",
    "Lumina2Transformer2DModel": "Lumina",
    "MochiTransformer3DModel": "Mochi",
    "PixArtTransformer2DModel": "PixArt",
    "QwenImageTransformer2DModel": "Qwen-Image, a diffusion transformer",
    "SD3Transformer2DModel": "Stable Diffusion 3",
    "SDXL": "Stable Diffusion XL",
    "SanaTransformer2DModel": "Sana",
    "StableCascadeUNet": "Stable Cascade",
    "T2IAdapter": "a T2I-Adapter",
    "UNetSpatioTemporalConditionModel": "Stable Video Diffusion, a video UNet",
    "VQModel": "a VQGAN",
    "WanTransformer3DModel": "Wan (or a relative",
    "WanVACETransformer3DModel": "Wan VACE",
}
ORIGINALS = {  # names that the publishers' own files have
    "Wan (or a relative": "blocks.0.self_attn.norm_q.weight blocks.0.cross_attn.k.weight head.modulation head.head.weight",
    "HunyuanVideo": "double_blocks.0.img_attn_qkv.weight txt_in.individual_token_refiner.blocks.0.norm1.weight",
    "Flux (or a relative)": "double_blocks.0.img_attn.norm.key_norm.scale single_blocks.0.linear1.weight img_in.weight",
    "Mochi": "blocks.0.mod_x.weight blocks.0.attn.qkv_x.weight t5_yproj.weight",
    "LTX-Video": "transformer_blocks.0.attn2.k_norm.weight patchify_proj.weight scale_shift_table "
    "adaln_single.emb.timestep_embedder.linear_1.bias",
    "CogVideoX (5B": "mixins.final_layer.linear.weight transformer.layers.0.attention.query_key_value.weight",
    "Stable Diffusion 3": "joint_blocks.0.x_block.attn.qkv.weight x_embedder.proj.weight",
    "PixArt": "blocks.0.scale_shift_table y_embedder.y_embedding t_block.1.weight",
    "Open-Sora": "spatial_blocks.0.attn.qkv.weight temporal_blocks.0.attn.qkv.weight",
    "Latte": "blocks.0.adaLN_modulation.1.weight temp_embed pos_embed",
    "Cosmos": "net.blocks.block0.blocks.0.block.attn.to_q.0.weight",
    "T5": "encoder.block.0.layer.0.SelfAttention.q.weight shared.weight",
    "umT5": "blocks.0.pos_embedding.embedding.weight token_embedding.weight",
    "a language model": "model.layers.0.self_attn.q_proj.weight model.embed_tokens.weight",
    "the image encoder of CLIP": "visual.transformer.resblocks.0.attn.in_proj_weight visual.class_embedding",
}
ADDITIONS = {
    "a LoRA file": (
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
        "unet.up_blocks.1.attentions.0.processor.to_q_lora.up.weight",
        "base_model.model.down_blocks.0.attn1.to_q.lora_A.weight",
        "transformer.blocks.0.attn1.to_q.lora_B.default.weight",
        "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha",
        "lora_unet_mid_block.hada_w1_a",
        "diffusion_model.blocks.0.self_attn.q.lokr_w1",
    ),
    "a ControlNet": ("control_model.zero_convs.0.0.weight", "input_hint_block.0.weight"),
    "an IP-Adapter": ("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"),
    "a textual inversion": ("string_to_param.*", "<cat-toy>", "emb_params"),
    "a motion module of AnimateDiff of another kind": (
        "down_blocks.1.motion_modules.0.norm.weight",
    ),
}
QUANTISED = (
    "unet.conv.weight.quant_state.bitsandbytes__nf4",
    "model.layers.0.mlp.gate_proj.qweight",
    "double_blocks.0.img_attn.qkv.weight_scale",
    "scaled_fp8",
    "transformer.h.0.SCB",
)


def said(names):
    """What is said of a file with these names."""
    for match in find(names):
        inside = [n[len(match.prefix) :] for n in names if n.startswith(match.prefix)]
        return strangers.instead(match.network.part, inside)
    return strangers.describe(dict.fromkeys(names))


ANYWHERE = [name for name in WORDS if name != "T2IAdapter"]  # that one by its names' beginning


@pytest.mark.parametrize(
    "name, prefix",
    [(name, "") for name in WORDS]
    + [(name, p) for name in ANYWHERE for p in ("model.diffusion_model.", "unet.")],
)
def test_diffusers_networks_are_named(name, prefix):
    sentence = said([prefix + n for n in NAMES[name]])
    assert WORDS[name] in sentence and "is not read here" in sentence


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_known_networks_are_not_taken_for_others(name):
    assert find(NAMES[name]) and said(NAMES[name]) == ""


def test_every_class_of_the_list_is_held_by_a_test():
    assert set(NAMES) == set(WORDS) | KNOWN


@pytest.mark.parametrize("word", ORIGINALS)
def test_the_publishers_own_files_are_named(word):
    assert word in said(ORIGINALS[word].split())


@pytest.mark.parametrize(
    ("word", "name"), [(w, n) for w, names in ADDITIONS.items() for n in names]
)
def test_additions_to_a_model_are_named(word, name):
    assert word in said([name])


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_weights_are_named(name):
    assert "holds quantised weights" in said([name])


def test_converter_and_inspector_say_so(tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    write_safetensors(
        path, {n: np.ones(2, np.float32) for n in ORIGINALS["Wan (or a relative"].split()}
    )
    assert convert(["--src", str(path), "--dst", str(tmp_path / "b.safetensors")]) == 3
    assert (
        "is Wan (or a relative: SkyReels-V2, ChronoEdit), a diffusion transformer"
        in capsys.readouterr().err
    )
    assert inspect([str(path)]) == 0
    assert "network    is Wan (or a relative" in capsys.readouterr().out


def test_a_known_part_beside_a_foreign_network_does_not_hide_it(tmp_path, capsys):
    vae = {f"first_stage_model.{n}" for n in NAMES["AutoencoderKL"]}
    names = [*vae, *(f"model.diffusion_model.{n}" for n in ORIGINALS["Stable Diffusion 3"].split())]
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {n: np.ones((2, 2, 2, 2), np.float32) for n in names})
    assert convert(["--src", str(path), "--dst", str(tmp_path / "b.safetensors")]) == 3
    assert "is Stable Diffusion 3" in capsys.readouterr().err


def test_a_folder_of_a_transformer_is_named_by_its_pipeline(tmp_path, capsys):
    for part in ("transformer", "vae"):
        (tmp_path / "in" / part).mkdir(parents=True)
        (tmp_path / "in" / part / "config.json").write_text("{}")
    (tmp_path / "in/model_index.json").write_text('{"_class_name": "MochiPipeline"}')
    assert convert(["--src", str(tmp_path / "in"), "--dst", str(tmp_path / "out")]) == 3
    assert (
        "is a folder of MochiPipeline, whose network is a diffusion transformer"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_hundred_thousand_names_are_looked_at_quickly():
    names = [f"some.layer.{i}.attn.to_out.weight" for i in range(100_000)]
    assert "none of the networks known here" in strangers.describe(dict.fromkeys(names))
