"""Token ids of 31 prompts against transformers' CLIPTokenizer, with a small vocabulary built the
way CLIP's is.
"""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.utils.errors import InputFileError

FOLDER = Path(__file__).parents[1] / "golden" / "clip_tokenizer"
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
        ({"vocab.json": "<html>", "merges.txt": "a b"}, "not a JSON"),
        ({"vocab.json": "[1]", "merges.txt": "a b"}, "not a vocabulary"),
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
