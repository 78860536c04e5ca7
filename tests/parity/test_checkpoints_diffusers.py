"""Pipelines cross over to diffusers and transformers and back (developers only: needs torch)."""

import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights
from mindlong.cli.convert import command

pytestmark = pytest.mark.torch
COMMON = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text-to-video pipeline as diffusers saves it, every parameter random."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet3DConditionModel(
        **COMMON,
        attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        norm_num_groups=8,
        scaling_factor=0.3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=60,
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=3,
            max_position_embeddings=12,
            hidden_act="gelu",
        )
    )
    for module in (unet, vae, text):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
    base = tmp_path_factory.mktemp("theirs")
    (base / "vocab.json").write_text('{"a</w>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}')
    (base / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(base / "vocab.json"), str(base / "merges.txt"))
    pipeline = TextToVideoSDPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=DDIMScheduler()
    )
    pipeline.save_pretrained(base / "pipeline")
    return base / "pipeline", unet, vae, text


def states(*modules):
    return [
        {k: v for k, v in module.state_dict().items() if "position_ids" not in k}
        for module in modules
    ]


def test_a_pipeline_that_diffusers_saved_comes_back_as_diffusers_loads_it(folder, tmp_path):
    import torch
    from diffusers import AutoencoderKL, UNet3DConditionModel
    from transformers import CLIPTextModel

    source, *modules = folder
    assert command(["--src", str(source), "--dst", str(tmp_path / "ours")]) == 0
    assert command(["--src", str(tmp_path / "ours"), "--dst", str(tmp_path / "back")]) == 0
    loaded = (
        UNet3DConditionModel.from_pretrained(tmp_path / "back", subfolder="unet"),
        AutoencoderKL.from_pretrained(tmp_path / "back", subfolder="vae"),
        CLIPTextModel.from_pretrained(tmp_path / "back", subfolder="text_encoder"),
    )
    for before, after in zip(states(*modules), states(*loaded), strict=True):
        assert before.keys() == after.keys() and all(
            torch.equal(before[k], after[k]) for k in before
        )
    assert loaded[1].config.scaling_factor == 0.3
    x = torch.randn(1, 4, 3, 8, 8)
    context = torch.randn(1, 5, 24)
    outputs = [
        unet.eval()(x, torch.tensor([7]), context).sample for unet in (modules[0], loaded[0])
    ]
    assert torch.equal(*outputs)
    ids = torch.randint(0, 60, (2, 12))
    assert torch.equal(*(t.eval()(ids).last_hidden_state for t in (modules[2], loaded[2])))


def test_every_number_arrives_under_our_names(folder, tmp_path):
    source, *modules = folder
    assert command(["--src", str(source), "--dst", str(tmp_path / "ours")]) == 0
    ours = open_weights(tmp_path / "ours")
    total = sum(v.numel() for state in states(*modules) for v in state.values())
    assert sum(int(np.prod(ours.shape(name))) for name in ours) == total


def test_a_bfloat16_folder_keeps_its_bits(folder, tmp_path):
    import torch

    source, unet, *_ = folder
    half = {k: v.to(torch.bfloat16) for k, v in unet.state_dict().items()}
    torch.save(half, tmp_path / "unet.bin")
    assert (
        command(
            [
                "--src",
                str(tmp_path / "unet.bin"),
                "--dst",
                str(tmp_path / "a.safetensors"),
                "head_dim=8",
                "groups=8",
            ]
        )
        == 0
    )
    assert (
        command(["--src", str(tmp_path / "a.safetensors"), "--dst", str(tmp_path / "b.bin")]) == 0
    )
    back = torch.load(tmp_path / "b.bin", weights_only=True)
    assert back.keys() == half.keys()
    assert all(torch.equal(back[k].view(torch.int16), half[k].view(torch.int16)) for k in half)
