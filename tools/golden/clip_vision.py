"""Golden arrays of CLIP's picture tower and of both towers' embeddings (developers only: needs
torch and transformers).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "unit")]


def make(folder: Path) -> list[Path]:
    """Write clip_vision.npz: transformers' CLIPModel on the inputs of
    tests/unit/scores/test_tune_a_video_clip.py.
    """
    import test_tune_a_video_clip as cases
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    shared = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "hidden_act": "quick_gelu",
        "projection_dim": 24,
    }
    ids = _ids()
    text = {"vocab_size": 300, "max_position_embeddings": 8, "eos_token_id": int(ids.max())}
    config = CLIPConfig(
        projection_dim=24,
        text_config=shared | text,
        vision_config=shared | {"image_size": 32, "patch_size": 8},
    )
    net = CLIPModel(config).eval()
    net.load_state_dict(
        {n: torch.from_numpy(np.asarray(w)) for n, w in cases.weights().items()}, strict=True
    )
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pixels = processor(images=list(cases.pictures()), return_tensors="np")["pixel_values"]
    with torch.no_grad():
        image = net.visual_projection(net.vision_model(torch.from_numpy(pixels)).pooler_output)
        texts = net.text_projection(net.text_model(torch.from_numpy(ids).long()).pooler_output)
    path = Path(folder) / "clip_vision.npz"
    np.savez_compressed(
        path, prepared=pixels, image_embeds=image.numpy(), text_embeds=texts.numpy(), ids=ids
    )
    return [path]


def _ids() -> np.ndarray:
    """The ids of the two texts, by our tokenizer, whose vocabulary is a toy's."""
    import tempfile

    from latent_toys import tokenizer

    from mindlong.networks.clip.tokenizer import load_tokenizer

    with tempfile.TemporaryDirectory() as where:
        tokenizer(Path(where) / "tokenizer")
        return load_tokenizer(Path(where) / "tokenizer", 8, None)(["a cat", "dog"])
