"""Put the parts of train_base.py and train_autoencoder.py into one folder of diffusers' form:

    python tools/gpu/folder.py --base runs/base --autoencoder runs/autoencoder \\
        --tokenizer mindlong/weights/latent_shapes/tokenizer --out runs/base_folder
    python tools/convert_checkpoint.py --src runs/base_folder --dst runs/base_ours \\
        --dtype float16 --family modelscope
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from tools.gpu.embedded import embedded_unet
from tools.gpu.train_autoencoder import autoencoder
from tools.schedulers import ZERO_SNR

TEXT = CLIPTextConfig(
    vocab_size=582,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=16,
    hidden_act="gelu",
    pad_token_id=581,
    bos_token_id=580,
    eos_token_id=581,
)


def write_unet(base: Path, facts: dict, out: Path) -> None:
    """The UNet as diffusers saves it, under the class's own name."""
    net = embedded_unet(tuple(facts["channels"]))
    net.load_state_dict(load_file(str(base / "unet.safetensors")))
    net.save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    config["_class_name"] = "UNet3DConditionModel"
    (out / "config.json").write_text(json.dumps(config, indent=2))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("base", "autoencoder", "tokenizer", "out"):
        arguments.add_argument(f"--{name}", type=Path, required=True)
    chosen = arguments.parse_args()
    facts = json.loads((chosen.base / "facts.json").read_text())
    write_unet(chosen.base, facts, chosen.out / "unet")
    vae = autoencoder()
    vae.load_state_dict(load_file(str(chosen.autoencoder / "autoencoder.safetensors")))
    vae.register_to_config(scaling_factor=facts["scaling"])
    vae.save_pretrained(chosen.out / "vae")
    text = CLIPTextModel(TEXT)
    text.load_state_dict(load_file(str(chosen.base / "text_encoder.safetensors")))
    text.save_pretrained(chosen.out / "text_encoder")
    shutil.copytree(chosen.tokenizer, chosen.out / "tokenizer", dirs_exist_ok=True)
    (chosen.out / "scheduler").mkdir(exist_ok=True)
    (chosen.out / "scheduler" / "scheduler_config.json").write_text(json.dumps(ZERO_SNR, indent=2))


if __name__ == "__main__":
    main()
