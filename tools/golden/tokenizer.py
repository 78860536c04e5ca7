"""Token ids that transformers' CLIPTokenizer gives for folders that declare their special tokens in
different ways (developers only).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

SOURCE = "clip_tokenizer"
PROMPTS = ["a cat!", "A Cat <cat-toy>x<CAT-TOY>", "b<|endoftext|>c ! !!", ""]
LENGTH = 14
CLASS = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
ENDS = {
    str(880 + i): {"content": f"<|{word}oftext|>", "special": True}
    for i, word in enumerate(("start", "end"))
}
TOY = {"content": "<cat-toy>", "normalized": True, "special": False}


def cases() -> dict[str, dict[str, Any]]:
    """Name -> file -> content of a tokenizer's folder; `form`: which vocabulary lies there."""
    config, table = "tokenizer_config.json", "special_tokens_map.json"
    decoder = {**ENDS, "882": TOY}
    found = {
        "nothing": {},
        "config": {config: {**CLASS, "pad_token": "!"}},
        "map": {config: CLASS, table: {"pad_token": "!"}},
        "map as a table": {table: {"pad_token": {"content": "!"}}},
        "map over config": {
            config: {**CLASS, "pad_token": "<|endoftext|>"},
            table: {"pad_token": "!"},
        },
        "config with decoder over map": {
            config: {**CLASS, "pad_token": "<|endoftext|>", "added_tokens_decoder": ENDS},
            table: {"pad_token": "!"},
        },
        "decoder hides the map": {
            config: {**CLASS, "added_tokens_decoder": ENDS},
            table: {"pad_token": "!"},
        },
        "a new token": {config: {**CLASS, "pad_token": "<pad>"}},
        "another start": {config: {**CLASS, "bos_token": "!"}},
        "another unknown": {config: {**CLASS, "unk_token": "!"}},
        "added": {config: CLASS, "added_tokens.json": {"<cat-toy>": 882}},
        "added out of order": {"added_tokens.json": {"<cat-toy>": 990, "<x>": 883}},
        "decoder adds": {config: {**CLASS, "added_tokens_decoder": decoder}},
        "decoder adds special": {
            config: {
                **CLASS,
                "added_tokens_decoder": {**ENDS, "882": {"content": "<cat-toy>", "special": True}},
            }
        },
        "additional": {config: {**CLASS, "additional_special_tokens": ["<cat-toy>"]}},
        "additional in the map": {table: {"additional_special_tokens": ["<cat-toy>"]}},
        "extra": {config: {**CLASS, "extra_special_tokens": ["<cat-toy>"]}},
    }
    return {
        f"{form}, {name}": {"form": form, **files}
        for form in ("both", "vocab", "whole")
        for name, files in found.items()
    }


def lay(folder: Path, source: Path, files: dict[str, Any]) -> None:
    """Write a case into an empty folder."""
    for name in ("vocab.json", "merges.txt"):
        if files["form"] != "whole":
            shutil.copy(source / name, folder / name)
    if files["form"] != "vocab":
        shutil.copy(source / "tokenizer.json", folder / "tokenizer.json")
    for name, content in files.items():
        if name != "form":
            (folder / name).write_text(json.dumps(content), encoding="utf-8")


def make(folder: Path) -> list[Path]:
    """Write clip_tokenizer/tokenizer.json, as transformers saves the small vocabulary there, and
    declared.json: for each case the pad token's id and the ids of `PROMPTS`.
    """
    from transformers import CLIPTokenizer

    source = Path(folder) / SOURCE
    with tempfile.TemporaryDirectory() as aside:
        CLIPTokenizer.from_pretrained(source).save_pretrained(aside)
        shutil.copy(Path(aside) / "tokenizer.json", source / "tokenizer.json")
    rows = {}
    for name, files in cases().items():
        with tempfile.TemporaryDirectory() as aside:
            lay(Path(aside), source, files)
            made = CLIPTokenizer.from_pretrained(aside)
            ids = made(PROMPTS, padding="max_length", max_length=LENGTH, truncation=True)
            rows[name] = {"files": files, "pad": made.pad_token_id, "ids": ids["input_ids"]}
    path = source / "declared.json"
    table = {"prompts": PROMPTS, "length": LENGTH, "cases": rows}
    path.write_text(json.dumps(table, indent=0) + "\n", encoding="utf-8")
    return [source / "tokenizer.json", path]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
