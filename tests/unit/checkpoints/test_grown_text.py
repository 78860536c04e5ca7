"""A text encoder grown to another vocabulary says of what it knew what it said before."""

import json
import shutil

import mindspore as ms
import numpy as np
import pytest

from mindlong.checkpoints.files import open_named, open_weights, write_safetensors
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.checkpoints.parts import read_part
from mindlong.cli import train_tokenizer
from mindlong.networks.clip.grown import PLACES, TOKENS, grown
from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.tokenizer import END, START, ClipTokenizer, for_spec
from mindlong.networks.clip.tokenizer_files import read_files
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"
BASE, LENGTH = "shipped:base_shapes", 32
KNOWN = ["a red circle moving right", "", "a yellow triangle moving down"]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown") / "words"
    asked = ["--film", "--weights", BASE, "--length", str(LENGTH), "--dst", str(folder)]
    assert train_tokenizer.main(asked) == 0
    return folder


def states(part, place, prompts):
    cell = TextEncoder(part.spec)
    load_into(cell, {name: np.float32(lazy.read()) for name, lazy in part.arrays.items()})
    tokenizer = for_spec(place, part.spec)
    return tokenizer, cell(ms.Tensor(tokenizer(prompts))).asnumpy()


def test_prompts_of_known_words_keep_their_states(words):
    held = open_named(BASE)
    before, was = states(read_part(held, "text_encoder"), held.path / "tokenizer", KNOWN)
    after, found = states(read_text_encoder(str(words)), words, KNOWN)
    assert after.length == LENGTH and found.shape == (3, LENGTH, 64)
    assert (before(KNOWN) == before.pad_id).sum(1).tolist() == [
        n - LENGTH + before.length for n in (after(KNOWN) == after.pad_id).sum(1)
    ]
    np.testing.assert_array_equal(found[:, : before.length], was)


def test_a_new_token_starts_from_what_spelt_it(words):
    old, new = read_part(open_named(BASE), "text_encoder"), read_text_encoder(str(words))
    was, rows = (np.float32(p.arrays[TOKENS].read()) for p in (old, new))
    known = json.loads((open_named(BASE).path / "tokenizer/vocab.json").read_text())
    given = json.loads((words / "vocab.json").read_text())
    assert rows.shape == (len(given), 64) and new.spec.vocabulary == len(given)
    np.testing.assert_array_equal(rows[given["circle</w>"]], was[known["circle</w>"]])
    assert "pan" not in known
    np.testing.assert_allclose(
        rows[given["am"]], was[[known["a"], known["m</w>"]]].mean(0), atol=2e-3
    )
    places = np.float32(new.arrays[PLACES].read())
    assert (places[16:] == places[15]).all()


def test_words_beyond_ascii_are_spelt_by_their_letters():
    """Also a token that ends within a letter's bytes."""
    held = open_named(BASE)
    part, files = read_part(held, "text_encoder"), read_files(held.path / "tokenizer")
    given = {name: np.float32(lazy.read()) for name, lazy in part.arrays.items()}
    letters = bytes_as_letters("grün ".encode())
    words = [f"{letters[:-1]}</w>", letters[:3], f"{letters[-1]}x", START, END]
    _, made = grown(part.spec, given, files, {w: i for i, w in enumerate(words)}, 16)
    old, known = ClipTokenizer(files, 16), files.ids()
    spelt = [old.tokens("grün"), [known[c] for c in letters[:3]], old.tokens(" x")]
    for row, ids in zip(made[TOKENS], spelt, strict=False):
        np.testing.assert_allclose(row, given[TOKENS][ids].mean(0), atol=1e-6)


def bytes_as_letters(text):
    """By GPT-2's own words: printable bytes are themselves, others follow from 256 on."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    kept += range(ord("®"), ord("ÿ") + 1)
    others = [b for b in range(256) if b not in kept]
    return "".join(chr(b) if b in kept else chr(256 + others.index(b)) for b in text)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--length", "32"], ConfigError, "--length is of the text encoder of --weights"),
        (["--weights", BASE, "--length", "0"], ConfigError, "length is 0"),
        (["--weights", BASE, "--length", "8"], ConfigError, "has 16 places already"),
        (["--weights", "shipped:vdm_shapes"], InputFileError, "holds no"),
        (["--weights", "nowhere"], InputFileError, "nowhere"),
    ],
)
def test_bad_input_is_a_sentence_and_writes_nothing(tmp_path, words, kind, said):
    with pytest.raises(kind, match=said):
        train_tokenizer.main(["--film", "--dst", str(tmp_path / "words"), *words])
    assert not (tmp_path / "words").exists()


def test_nothing_that_is_there_is_written_over(tmp_path):
    """A model's folder keeps its vocabulary in tokenizer/, and its text encoder beside the rest."""
    for name in ("text_encoder.safetensors", "text_encoder.yaml", "merges.txt", "tokenizer.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"{name} exists"):
            train_tokenizer.main(["--film", "--dst", str(folder), "--weights", BASE])
        assert [p.name for p in folder.iterdir()] == [name]
        assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("here", [".", ".."])
def test_the_folder_may_be_the_one_that_one_stands_in(tmp_path, monkeypatch, here):
    inner = tmp_path / "words" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner if here == ".." else inner.parent)
    assert train_tokenizer.main(["--shapes", "--size", "600", "--dst", here]) == 0
    assert {p.name for p in inner.parent.iterdir()} == {"inner", "vocab.json", "merges.txt"}
    assert [p.name for p in tmp_path.iterdir()] == ["words"] and not any(inner.iterdir())


def test_a_grown_encoder_grows_again(words, tmp_path):
    again = tmp_path / "again"
    more = ["--film", "--dst", str(again), "--weights", str(words), "--length", "40"]
    assert train_tokenizer.main(more) == 0
    assert read_part(open_named(str(again)), "text_encoder").spec.length == 40


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(words, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(words, folder)
    held = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**held, "zz": len(held)}))
    with pytest.raises(InputFileError, match="do not belong together"):
        train_tokenizer.main(["--film", "--dst", str(tmp_path / "out"), "--weights", str(folder)])


def test_weights_without_a_tokenizer_are_refused(tmp_path):
    held = open_weights(open_named(BASE).path / "text_encoder.safetensors")
    alone = tmp_path / "alone.safetensors"
    write_safetensors(alone, {name: held[name] for name in held}, held.metadata)
    with pytest.raises(InputFileError, match="no tokenizer beside"):
        train_tokenizer.main(["--film", "--weights", str(alone), "--dst", str(tmp_path / "words")])
