"""Golden states of weighted, long and blended prompts from the originals' own code (developers
only: needs torch, transformers, diffusers, compel).

    DIFFUSERS=checkout python tools/make_golden.py prompts

    get_weighted_text_embeddings   huggingface/diffusers at 58eb52c,
                                   examples/community/lpw_stable_diffusion.py
    Compel                         compel 2.5.1
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"
LENGTH, MULTIPLES = 11, 6
SIZES = {
    "vocab_size": 882,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
    "bos_token_id": 880,
    "eos_token_id": 881,
    "pad_token_id": 881,
    "hidden_act": "quick_gelu",
}
LONG = "a photo of a cat and a photo of a dog on mars, riding (a horse:1.4) [slowly] past \\(two\\) cats"
WEIGHTED = [  # prompt, negative
    ("a (red:1.3) circle", ""),
    ("a ((red)) circle [on mars]", "a (cat:0.2)"),
    ("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "dog"),
    ("\\(literal\\] (unclosed and [nested", "x"),
    (LONG, "a cat"),
    ("a cat", LONG),
    (f"({LONG}:0.7)", "(a dog:-0.4)"),
    ("", ""),
]
PLAIN = ["a cat", LONG]  # taken as they are
BLENDS = [
    ("a red circle", 1.0, "a blue square", 0.5),
    ("a cat", 0.3, "a dog on mars", 0.9),
    ("a cat", 1.5, "a dog", -0.5),
]


def model() -> Any:
    """A small random text encoder; its last norm gives states whose mean is not near zero."""
    from transformers import CLIPTextConfig, CLIPTextModel

    made = CLIPTextModel(CLIPTextConfig(**SIZES))
    generator = torch.Generator().manual_seed(7)
    for name, parameter in made.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator) * 0.3
        near = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        near += 0.4 if "final_layer_norm.bias" in name else 0.0
        parameter.data = drawn + near
    return made.eval()


def tokenizer(pad: str) -> Any:
    """The small vocabulary of the tests."""
    from transformers import CLIPTokenizer

    place = FOLDER / "clip_tokenizer"
    return CLIPTokenizer(
        str(place / "vocab.json"), str(place / "merges.txt"), pad_token=pad, model_max_length=LENGTH
    )


def weighted(text_encoder: Any) -> dict[str, np.ndarray]:
    """States of diffusers' community pipeline."""
    place = Path(os.environ["DIFFUSERS"]) / "examples/community/lpw_stable_diffusion.py"
    spec = importlib.util.spec_from_file_location("lpw", place)
    assert spec is not None and spec.loader is not None
    lpw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lpw)
    if not hasattr(text_encoder, "text_model"):  # transformers 5 has the layers in the model itself
        text_encoder.text_model = SimpleNamespace(final_layer_norm=text_encoder.final_layer_norm)
    pipe = SimpleNamespace(
        tokenizer=tokenizer("<|endoftext|>"), text_encoder=text_encoder, device="cpu"
    )
    found: dict[str, np.ndarray] = {}
    for number, (prompt, negative) in enumerate(WEIGHTED):
        states = lpw.get_weighted_text_embeddings(pipe, prompt, negative, MULTIPLES)
        found[f"weighted {number}"] = torch.cat(states).numpy()
    for number, prompt in enumerate(PLAIN):
        states = lpw.get_weighted_text_embeddings(pipe, prompt, "", MULTIPLES, skip_parsing=True)
        found[f"plain {number}"] = torch.cat(states).numpy()
    return found


def blended(text_encoder: Any) -> dict[str, np.ndarray]:
    """States of compel: blends, and a long prompt in chunks where padding is no end token."""
    from compel import Compel
    from compel.embeddings_provider import SplitLongTextMode

    found: dict[str, np.ndarray] = {}
    for pad in ("<|endoftext|>", "!"):
        original = Compel(
            tokenizer(pad),
            text_encoder,
            truncate_long_prompts=False,
            split_long_text_mode=SplitLongTextMode.BRUTAL,
        )
        for number, (a, x, b, y) in enumerate(BLENDS):
            said = f'("{a}", "{b}").blend({x}, {y})'
            found[f"blend {pad} {number}"] = original(said)[0].numpy()
        long = LONG.translate(str.maketrans("", "", "()[]\\:.14"))
        found[f"chunks {pad}"] = original(long)[0].numpy()
    return found


def make(folder: Path) -> list[Path]:
    """Weights, cases and states in one file."""
    text_encoder = model()
    with torch.no_grad():
        arrays = {f"weight/{n}": p.numpy() for n, p in text_encoder.named_parameters()}
        arrays = {n.replace("weight/text_model.", "weight/"): a for n, a in arrays.items()}
        found = {**weighted(text_encoder), **blended(text_encoder)}
    cases = {"weighted": WEIGHTED, "plain": PLAIN, "blends": BLENDS, "length": LENGTH}
    path = folder / "prompts.npz"
    np.savez_compressed(path, cases=np.array(json.dumps(cases)), **arrays, **found)
    return [path]
