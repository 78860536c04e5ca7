"""Token ids of 31 prompts against transformers' CLIPTokenizer, with a small vocabulary built the
way CLIP's is.
"""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindlong.networks.clip import tokenizer_files
from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.networks.clip.tokenizer_files import declared
from mindlong.utils.errors import InputFileError

FOLDER = Path(__file__).parents[1] / "golden" / "clip_tokenizer"
FILES = ["vocab.json", "merges.txt", "tokenizer.json"]
GOLDEN = json.loads((FOLDER / "prompts.json").read_text(encoding="utf-8"))


def test_ids_equal_transformers():
    ids = load_tokenizer(FOLDER)(GOLDEN["prompts"])
    for prompt, ours, want in zip(GOLDEN["prompts"], ids, GOLDEN["ids"], strict=True):
        assert ours.tolist() == want, prompt
    assert ids.dtype == np.int32 and ids.shape == (len(GOLDEN["prompts"]), 77)


def test_padding_is_the_familys_own_and_starts_after_the_end_token():
    clip, open_clip = load_tokenizer(FOLDER), load_tokenizer(FOLDER, pad_id=0)
    a, b = clip(["a red circle"])[0], open_clip(["a red circle"])[0]
    end = int(np.argmax(a == clip.end_id))
    np.testing.assert_array_equal(a[: end + 1], b[: end + 1])
    assert set(a[end + 1 :]) == {clip.end_id} and set(b[end + 1 :]) == {0}


def test_what_does_not_fit_is_counted_and_the_end_token_kept():
    tokenizer = load_tokenizer(FOLDER, length=8)
    prompt = "a photo of a cat and a photo of a dog"
    assert tokenizer.overlong(prompt) == len(tokenizer.tokens(prompt)) - 6 > 0
    row = tokenizer([prompt])[0]
    assert row[0] == tokenizer.start_id and row[-1] == tokenizer.end_id
    assert tokenizer.overlong("") == 0


def test_openais_merges_file_and_a_tokenizer_json_give_the_same_ids(tmp_path):
    merges = (FOLDER / "merges.txt").read_text(encoding="utf-8")
    packed = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    packed.write_bytes(gzip.compress(merges.encode()))
    lines = merges.split("\n")[1:]
    whole = {
        "model": {"vocab": json.loads((FOLDER / "vocab.json").read_text("utf-8")), "merges": lines}
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    want = load_tokenizer(FOLDER)(GOLDEN["prompts"])
    np.testing.assert_array_equal(
        load_tokenizer(tmp_path / "tokenizer.json")(GOLDEN["prompts"]), want
    )
    np.testing.assert_array_equal(load_tokenizer(packed)(GOLDEN["prompts"]), want)


@pytest.mark.parametrize(
    "files, word",
    [
        ({}, "no tokenizer found"),
        ({"vocab.json": "{}"}, "merges.txt"),
        ({"vocab.json": "<html>", "merges.txt": "a b"}, "not readable JSON"),
        ({"vocab.json": "[1]", "merges.txt": "a b"}, "should be a table, the vocabulary"),
        ({"vocab.json": '{"a": 0, "b": 1}', "merges.txt": "a b"}, "startoftext"),
        (
            {
                "vocab.json": '{"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}',
                "merges.txt": "a b",
            },
            "fit together",
        ),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b c"}, "two parts"),
        ({"bpe_simple_vocab_16e6.txt.gz": "not gzip"}, "not a merges file"),
    ],
)
def test_a_bad_vocabulary_is_one_clear_sentence(tmp_path, files, word):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError, match=word):
        load_tokenizer(tmp_path)


def test_a_folder_is_read_wherever_it_lies(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "tokenizer")
    assert (
        load_tokenizer(str(tmp_path / "tokenizer")).vocabulary == load_tokenizer(FOLDER).vocabulary
    )


DECLARED = json.loads((FOLDER / "declared.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", DECLARED["cases"])
def test_special_tokens_are_those_that_transformers_takes(tmp_path, name):
    case = DECLARED["cases"][name]
    for file in {"both": FILES, "vocab": FILES[:2], "whole": FILES[2:]}[case["files"]["form"]]:
        shutil.copy(FOLDER / file, tmp_path / file)
    for file, content in case["files"].items():
        if file != "form":
            (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path, DECLARED["length"])
    assert tokenizer.pad_id == declared(tmp_path)["pad_id"] == case["pad"]
    for prompt, ours, want in zip(
        DECLARED["prompts"], tokenizer(DECLARED["prompts"]), case["ids"], strict=True
    ):
        assert ours.tolist() == want, prompt


def test_a_tokenizer_json_rules_over_a_vocabulary_beside_it(tmp_path):
    for file in FILES:
        shutil.copy(FOLDER / file, tmp_path / file)
    table = json.loads((tmp_path / "vocab.json").read_text())
    table["a</w>"], table["b</w>"] = table["b</w>"], table["a</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps(table))
    assert load_tokenizer(tmp_path).tokens("a b") == load_tokenizer(FOLDER).tokens("a b")


def test_a_declared_absence_of_padding_leaves_it_to_the_text_encoder(tmp_path):
    shutil.copy(FOLDER / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": null}')
    assert declared(tmp_path) == {}
    assert load_tokenizer(tmp_path, pad_id=5).pad_id == 5


def test_ids_beyond_the_text_encoder_are_refused(tmp_path):
    shutil.copy(FOLDER / "tokenizer.json", tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path, most=882)
    with pytest.raises(
        InputFileError, match="token ids up to 881; the text encoder has 881 tokens"
    ):
        load_tokenizer(tmp_path, most=881)
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}')
    with pytest.raises(InputFileError, match="up to 882"):
        load_tokenizer(tmp_path, most=882)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        (
            "tokenizer_config.json",
            {"tokenizer_class": "T5Tokenizer"},
            "a T5Tokenizer; a CLIPTokenizer is needed",
        ),
        ("tokenizer_config.json", {"pad_token": 3}, "its pad_token is '3'; it should be text"),
        ("tokenizer_config.json", {"bos_token": None}, "without a token for the start"),
        (
            "tokenizer.json",
            {"model": {"type": "Unigram", "vocab": [], "merges": []}},
            "of the kind 'Unigram'",
        ),
        ("tokenizer.json", {"model": {"vocab": {"a": -1}, "merges": []}}, "not a vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": 2**40}, "merges": []}}, "not a vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": True}, "merges": []}}, "not a vocabulary"),
        ("tokenizer.json", {"model": {"vocab": {"a": 0}, "merges": 7}}, "no list of pairs"),
        ("tokenizer.json", {"model": {"vocab": {"a": 0}, "merges": [[1, 2]]}}, "two parts"),
        ("tokenizer.json", {"model": None}, "of the kind 'None'"),
        ("tokenizer.json", {}, "of the kind 'None'"),
    ],
)
def test_bad_declarations_are_one_sentence(tmp_path, name, content, word):
    shutil.copy(FOLDER / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputFileError, match=word):
        load_tokenizer(tmp_path)


def test_a_packed_list_of_merges_is_no_way_to_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_files, "MAX_BYTES", 1000)
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(InputFileError, match="more than 1000 bytes"):
        load_tokenizer(tmp_path)
