"""mindone's MindSpore checkpoints: read under the names of CompVis' files.

The pairs are lines of mindone's own tables (examples/stable_diffusion_v2/tools/model_conversion,
ms_exceptcond_v1.txt and pt_exceptcond_v1.txt, ms_names_v2.txt).
"""

import re

import numpy as np
import pytest

from mindlong.checkpoints import mindone_names
from mindlong.checkpoints.convert import to_ours
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.recognise import recognise
from mindlong.networks.clip import text_names
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae.spec import VaeSpec

U, V = "model.diffusion_model.", "first_stage_model."
LAYER = "transformer_blocks.0"
PAIRS = {
    f"{U}time_embed.0.weight": f"{U}time_embed.0.weight",
    f"{U}input_blocks.0.0.conv.bias": f"{U}input_blocks.0.0.bias",
    f"{U}input_blocks.1.0.in_layers_norm.gamma": f"{U}input_blocks.1.0.in_layers.0.weight",
    f"{U}input_blocks.1.0.in_layers_conv.conv.weight": f"{U}input_blocks.1.0.in_layers.2.weight",
    f"{U}input_blocks.1.0.emb_layers.1.weight": f"{U}input_blocks.1.0.emb_layers.1.weight",
    f"{U}input_blocks.1.0.out_layers_norm.beta": f"{U}input_blocks.1.0.out_layers.0.bias",
    f"{U}input_blocks.1.0.out_layers_conv.conv.bias": f"{U}input_blocks.1.0.out_layers.3.bias",
    f"{U}input_blocks.1.1.{LAYER}.norm3.beta": f"{U}input_blocks.1.1.{LAYER}.norm3.bias",
    f"{U}input_blocks.1.1.proj_in.weight": f"{U}input_blocks.1.1.proj_in.weight",
    f"{U}input_blocks.3.0.op.conv.weight": f"{U}input_blocks.3.0.op.weight",
    f"{U}input_blocks.4.0.skip_connection.conv.weight": f"{U}input_blocks.4.0.skip_connection.weight",
    f"{U}output_blocks.2.1.conv.conv.weight": f"{U}output_blocks.2.1.conv.weight",
    f"{U}out.0.gamma": f"{U}out.0.weight",
    f"{U}out.2.conv.bias": f"{U}out.2.bias",
    f"{V}encoder.down.2.downsample.conv.weight": f"{V}encoder.down.2.downsample.conv.weight",
    f"{V}decoder.up.1.upsample.conv.bias": f"{V}decoder.up.1.upsample.conv.bias",
    f"{V}encoder.conv_out.weight": f"{V}encoder.conv_out.weight",
    f"{V}decoder.mid.attn_1.norm.gamma": f"{V}decoder.mid.attn_1.norm.weight",
    f"{V}decoder.mid.attn_1.q.weight": f"{V}decoder.mid.attn_1.q.weight",
}
TEXT = {
    "embedding_table": "token_embedding.weight",
    "positional_embedding": "positional_embedding",
    "ln_final.beta": "ln_final.bias",
    "transformer_layer.resblocks.10.attn.attn.in_proj.bias": "transformer.resblocks.10.attn.in_proj_bias",
    "transformer_layer.resblocks.10.attn.attn.out_proj.weight": "transformer.resblocks.10.attn.out_proj.weight",
    "transformer_layer.resblocks.10.c_fc.bias": "transformer.resblocks.10.mlp.c_fc.bias",
    "transformer_layer.resblocks.10.c_proj.weight": "transformer.resblocks.10.mlp.c_proj.weight",
    "transformer_layer.resblocks.10.ln_1.gamma": "transformer.resblocks.10.ln_1.weight",
}


def renamed(names, width=1024):
    rows = {name: as_lazy(np.zeros((2, width), np.float32)) for name in names}
    return list(mindone_names.renamed(rows))


@pytest.mark.parametrize(("theirs", "known"), PAIRS.items())
def test_a_name_is_that_of_compvis(theirs, known):
    assert renamed([theirs]) == [known]


def test_the_text_encoder_of_2_x_is_open_clips():
    given = [f"cond_stage_model.transformer.{name}" for name in TEXT]
    assert renamed(given) == [f"cond_stage_model.model.{name}" for name in TEXT.values()]


BACK = (  # CompVis' names to mindone's, written down apart from the reader
    (r"(norm\w*|out\.0|\.(in|out)_layers\.0)\.weight$", r"\1.gamma"),
    (r"(norm\w*|out\.0|\.(in|out)_layers\.0)\.bias$", r"\1.beta"),
    (r"\.(in|out)_layers\.0\.", r".\1_layers_norm."),
    (r"\.(in|out)_layers\.[23]\.", r".\1_layers_conv.conv."),
    (r"(skip_connection|\.op|output_blocks\.\d+\.\d\.conv|input_blocks\.0\.0|out\.2)\.(weight|bias)$", r"\1.conv.\2"),
)  # fmt: skip
CLIP_BACK = (
    (r"embeddings\.token_embedding\.weight", "embedding_table"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"final_layer_norm\.weight", "ln_final.gamma"),
    (r"final_layer_norm\.bias", "ln_final.beta"),
    (r"encoder\.layers\.", "transformer_layer.resblocks."),
    (r"layer_norm(\d)\.weight", r"ln_\1.gamma"),
    (r"layer_norm(\d)\.bias", r"ln_\1.beta"),
    (r"mlp\.fc1", "c_fc"),
    (r"mlp\.fc2", "c_proj"),
    (r"self_attn\.out_proj", "attn.attn.out_proj"),
    (r"self_attn\.q_proj", "attn.attn.in_proj"),
)


def put_back(name, rules):
    for pattern, with_ in rules:
        name = re.sub(pattern, with_, name)
    return name


def mindones(arrays):
    """The same tensors as mindone's .ckpt has them; query, key and value are one."""
    made = {}
    for name, array in arrays.items():
        if not name.startswith("cond_stage_model."):
            made[put_back(name, BACK)] = array
            continue
        inner = name.removeprefix("cond_stage_model.transformer.text_model.")
        if ".q_proj." in inner:
            parts = [arrays[name.replace(".q_proj.", f".{p}_proj.")] for p in "qkv"]
            made["cond_stage_model.transformer." + put_back(inner, CLIP_BACK)] = np.concatenate(
                parts
            )
        elif ".k_proj." not in inner and ".v_proj." not in inner:
            made["cond_stage_model.transformer." + put_back(inner, CLIP_BACK)] = array
    return made


def compvis(family, spec, vae, text):
    """Random tensors of a whole Stable Diffusion file, under CompVis' names."""
    draw = np.random.default_rng(0)
    entries = unet_names.names(spec, "ldm", U) + vae_names.names(vae, "ldm", V)
    entries += text_names.names(text, "transformers", "cond_stage_model.transformer.text_model.")
    shapes = {entry.source: entry.source_shape for entry in entries}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


SMALL = {"channels": (16, 32), "attends": (True, False), "layers": 1, "groups": 8, "heads": 2}


@pytest.mark.parametrize("family", ["stable_diffusion", "tune_a_video"])
def test_a_file_of_mindones_converts_like_the_original(family, tmp_path):
    import mindspore

    spec = FAMILIES[family].spec(**SMALL)
    vae = VaeSpec(block_channels=(8, 16), layers=1, groups=4)
    text = ClipTextSpec(vocabulary=40, width=768, layers=2, heads=12, hidden=32, length=8)
    arrays = compvis(family, spec, vae, text)
    rows = [{"name": n, "data": mindspore.Tensor(a)} for n, a in mindones(arrays).items()]
    mindspore.save_checkpoint(rows, str(tmp_path / "sd.ckpt"))
    write_safetensors(tmp_path / "sd.safetensors", arrays)
    plans = [
        [to_ours(opened, match) for match in recognise(opened)]
        for opened in (
            open_weights(tmp_path / "sd.ckpt"),
            open_weights(tmp_path / "sd.safetensors"),
        )
    ]
    assert [p.format.family for p in plans[0]] == [p.format.family for p in plans[1]]
    assert {p.format.part for p in plans[0]} == {"unet", "vae", "text_encoder"}
    for theirs, known in zip(*plans, strict=True):
        theirs.check("sd.ckpt")
        assert theirs.arrays.keys() == known.arrays.keys()
        for name, lazy in theirs.arrays.items():
            np.testing.assert_array_equal(lazy.read(), known.arrays[name].read(), err_msg=name)
    assert "mindone's names" in open_weights(tmp_path / "sd.ckpt").notes[0]


def test_a_published_file_has_the_tensors_that_mindone_lists():
    """1130 tensors of Stable Diffusion 1.5 are 1082 in mindone's table."""
    text = ClipTextSpec(width=768, layers=12, heads=12, hidden=3072)
    entries = unet_names.names(FAMILIES["stable_diffusion"].spec(), "ldm", U)
    entries += vae_names.names(VaeSpec(), "ldm", V)
    entries += text_names.names(text, "transformers", "cond_stage_model.transformer.text_model.")
    known = {entry.source: np.zeros((3, 768), np.float32) for entry in entries}
    theirs = mindones(known)
    assert len(known) == 1130 and len(theirs) == 1082
    rows = {name: as_lazy(array) for name, array in theirs.items()}
    assert mindone_names.is_mindone(rows) and set(mindone_names.renamed(rows)) == set(known)
