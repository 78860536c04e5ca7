"""Golden arrays of the text towers and token ids, from transformers and torch's own attention
(developers only).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

Arrays = dict[str, np.ndarray]
SIZES = {
    "vocab_size": 97,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 11,
    "bos_token_id": 95,
    "eos_token_id": 96,
    "pad_token_id": 0,
}
PROMPTS = [
    "",
    " ",
    "a photo of a cat",
    "A PHOTO of A Cat!",
    "an astronaut riding a horse on mars",
    "it's the dog's, isn't it? we'll see",
    "3 red circles and 14 blue squares",
    "hello,world;foo-bar_baz",
    "  lots \t of\n\nwhite   space ",
    "naïve café résumé",
    "Ünïcödé ÅNGSTRÖM",
    "cafe\u0301 combining",
    "ﬁne ligature",
    "日本の桜の写真",
    "一只猫在草地上",
    "한국어 문장입니다",
    "Привет, мир",
    "مرحبا بالعالم",
    "שלום",
    "नमस्ते दुनिया",
    "🎉🚀 emoji party 👩‍🚀",
    "flag 🇯🇵",
    "a" * 60,
    "word " * 100,
    "tokens<|endoftext|>inside",
    "<|startoftext|>twice",
    "x²+y²=z²",
    "#hashtag @user http://example.com/?q=1",
    "\u00a0nbsp\u200bzero width",
    "…—“quotes”",
    "masterpiece, best quality, ((detailed)), 8k:1.2",
]
CORPUS = (
    PROMPTS
    + [
        "a red circle moving to the left",
        "a blue square moving up and down",
        "the cat sat on the mat and the dog ran",
    ]
    * 4
)


def tower(activation: str, layers: int, seed: int) -> Arrays:
    """Weights, ids, last_hidden_state, the penultimate state behind the final norm, and gradients
    of the former.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    from tools.golden.vae import randomise

    model = CLIPTextModel(
        CLIPTextConfig(**{**SIZES, "num_hidden_layers": layers}, hidden_act=activation)
    )
    model = randomise(model, seed)
    ids = torch.from_numpy(np.random.default_rng(seed).integers(0, 97, (2, 11)))
    states = model(input_ids=ids, output_hidden_states=True)
    probe = torch.from_numpy(
        np.random.default_rng(seed + 1).standard_normal(states[0].shape).astype(np.float32)
    )
    (states.last_hidden_state * probe).sum().backward()
    norm = next(
        module for name, module in model.named_modules() if name.endswith("final_layer_norm")
    )
    out = {
        "ids": ids,
        "probe": probe,
        "last": states.last_hidden_state,
        "penultimate": norm(states.hidden_states[-2]),
    }
    for name, parameter in model.named_parameters():
        key = (
            name if name.startswith("text_model.") else f"text_model.{name}"
        )  # the name in files, whatever the release
        out |= {f"weight/{key}": parameter, f"grad/{key}": parameter.grad}
    return {name: tensor.detach().numpy() for name, tensor in out.items()}


class OpenClipText(torch.nn.Module):
    """The text tower with open_clip's names and shapes, on torch's own MultiheadAttention."""

    def __init__(
        self, vocabulary: int, width: int, heads: int, hidden: int, layers: int, length: int
    ) -> None:
        super().__init__()
        self.token_embedding = torch.nn.Embedding(vocabulary, width)
        self.positional_embedding = torch.nn.Parameter(torch.zeros(length, width))
        self.transformer = torch.nn.Module()
        self.transformer.resblocks = torch.nn.ModuleList(
            [_Block(width, heads, hidden) for _ in range(layers)]
        )
        self.ln_final = torch.nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor, layers: int) -> torch.Tensor:
        mask = torch.full((ids.shape[1],) * 2, float("-inf")).triu(1)
        x = self.token_embedding(ids) + self.positional_embedding
        for block in self.transformer.resblocks[:layers]:
            x = block(x, mask)
        return self.ln_final(x)


class _Block(torch.nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attn = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = torch.nn.Sequential()
        self.mlp.add_module("c_fc", torch.nn.Linear(width, hidden))
        self.mlp.add_module("gelu", torch.nn.GELU())
        self.mlp.add_module("c_proj", torch.nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


def open_clip() -> Arrays:
    """The penultimate state of a tower of four layers, with the fused projections that open_clip
    stores.
    """
    from tools.golden.vae import randomise

    model = randomise(OpenClipText(97, 24, 4, 40, 4, 11), 7)
    ids = torch.from_numpy(np.random.default_rng(8).integers(0, 97, (2, 11)))
    out = {"ids": ids, "penultimate": model(ids, 3)} | {
        f"weight/{n}": p for n, p in model.named_parameters()
    }
    return {name: tensor.detach().numpy() for name, tensor in out.items()}


def tokens(folder: Path) -> list[Path]:
    """A small vocabulary built the way CLIP's is, and the ids that transformers' CLIPTokenizer
    gives with it.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", True),
            pre_tokenizers.ByteLevel(False),
        ]
    )
    learner.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=900, end_of_word_suffix="</w>", show_progress=False)
    )
    merges = [
        tuple(m) if isinstance(m, list) else tuple(m.split())
        for m in json.loads(learner.to_str())["model"]["merges"]
    ]
    letters = _letters()
    words = [
        *letters,
        *(c + "</w>" for c in letters),
        *dict.fromkeys(a + b for a, b in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    original = CLIPTokenizer(vocab=vocabulary, merges=merges)
    ids = [
        original(p, padding="max_length", max_length=77, truncation=True)["input_ids"]
        for p in PROMPTS
    ]
    target = Path(folder) / "clip_tokenizer"
    target.mkdir(exist_ok=True)
    files = {
        "vocab.json": json.dumps(vocabulary),
        "merges.txt": "\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in merges)]),
        "prompts.json": json.dumps({"prompts": PROMPTS, "ids": ids}),
    }
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return [target / name for name in files]


def _letters() -> list[str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def make(folder: Path) -> list[Path]:
    """Write text_*.npz and clip_tokenizer/ into `folder`."""
    written = []
    for name, arrays in (
        ("quick_gelu", tower("quick_gelu", 2, 1)),
        ("gelu", tower("gelu", 3, 2)),
        ("open_clip", open_clip()),
    ):
        written.append(Path(folder) / f"text_{name}.npz")
        np.savez_compressed(written[-1], **arrays)
    return written + tokens(folder)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(*make(Path(sys.argv[1])), sep="\n")
