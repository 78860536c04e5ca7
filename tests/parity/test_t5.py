"""T5's encoder against transformers' on random weights, 3e-5, with gradients; token ids of 1,000
prompts by digest (tools/golden/cogvideox.py).
"""

import hashlib
import json
import lzma
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from bert_cases import prompts
from cogvideox_cases import T5, drawn
from mindspore import Tensor, nn

from mindlong.networks.names import our_array
from mindlong.networks.t5.cell import Layered, T5Encoder
from mindlong.networks.t5.names import names, parameter_count
from mindlong.networks.t5.spec import T5Spec, buckets_of
from mindlong.networks.t5.tokenizer import load_tokenizer
from mindlong.utils.errors import InputFileError

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = T5Spec(
    vocabulary=T5["vocab_size"],
    width=T5["d_model"],
    layers=T5["num_layers"],
    heads=T5["num_heads"],
    head_dim=T5["d_kv"],
    hidden=T5["d_ff"],
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "cogvideox_t5.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def spiece(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    packed = (GOLDEN / "cogvideox_spiece.model.xz").read_bytes()
    (folder / "spiece.model").write_bytes(lzma.decompress(packed))
    return folder


def weights():
    return {e.ours: our_array(e, drawn(e.source, e.source_shape)) for e in names(SPEC)}


def close(ours, want, tolerance=3e-5):
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * np.abs(want).max())


class Probed(nn.Cell):
    """States and gradients in one graph."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, ids, probe):
        states = self.net(ids)
        return (states * probe).sum(), states


def test_states_and_gradients(golden):
    encoder, held = T5Encoder(SPEC), weights()
    parameters = {p.name: p for p in encoder.get_parameters()}
    assert set(parameters) == set(held)
    for name, weight in held.items():
        parameters[name].set_data(Tensor(weight))
    step = ms.value_and_grad(Probed(encoder), None, encoder.trainable_params(), has_aux=True)
    ids = Tensor(golden["ids"].astype(np.int32))
    (_, states), grads = step(ids, Tensor(golden["probe"]))
    close(states.asnumpy(), golden["states"])
    ours = {p.name: g.asnumpy() for p, g in zip(encoder.trainable_params(), grads, strict=True)}
    checked = [e for e in names(SPEC) if f"grad/{e.source}" in golden]
    assert len(checked) == len(held) - 1  # all but the table of tokens
    for entry in checked:
        close(ours[entry.ours], our_array(entry, golden[f"grad/{entry.source}"]), 1e-3)


def test_a_layer_at_a_time_gives_the_same(golden):
    class Read(dict):
        most = 0

        def __getitem__(self, name):
            self.most += 1
            return super().__getitem__(name)

    held = Read(weights())
    layered = Layered(SPEC, held).set_train(False)
    states = layered(Tensor(golden["ids"].astype(np.int32))).asnumpy()
    close(states, golden["states"])
    assert held.most == len(held)


@pytest.mark.slow
def test_padding_is_read(golden):
    """A prompt that is cut to its words has other states: the model has no mask."""
    layered = Layered(SPEC, weights())
    short = layered(Tensor(golden["ids"][1:, :10].astype(np.int32))).asnumpy()
    assert np.abs(short - golden["states"][1:, :10]).max() > 0.1


def test_edges_of_the_buckets():
    row = buckets_of(SPEC, 200)[0]
    edges = {8: 24, 12: 25, 16: 26, 23: 27, 32: 28, 46: 29, 64: 30, 91: 31, 199: 31}
    assert {away: int(row[away]) for away in edges} == edges
    assert [int(row[away - 1]) for away in (12, 16, 23, 32, 46, 64, 91)] == list(range(24, 31))
    assert buckets_of(SPEC, 5)[4].tolist() == [4, 3, 2, 1, 0]


def test_names_and_shapes_are_the_published_ones():
    spec, said = T5Spec(), json.loads((GOLDEN / "cogvideox_keys.json").read_text())["t5"]
    pairs = [(key, e.source_shape) for e in names(spec) for key in (e.source, *e.ties)]
    lines = sorted(f"{key} {shape}" for key, shape in pairs)
    assert len(names(spec)) == 219 and len(lines) == said["count"] == 220
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == said["sha256"]
    assert parameter_count(spec) == 4_762_310_656


def test_ids_are_the_originals(spiece):
    ids = load_tokenizer(spiece)(prompts()).tolist()
    said = json.loads((GOLDEN / "cogvideox_ids.json").read_text())
    assert hashlib.sha256(json.dumps(ids).encode()).hexdigest() == said["sha256"]


def test_a_long_prompt_keeps_its_end(spiece):
    tokenizer = load_tokenizer(spiece, length=12)
    long = "a red circle " * 20
    ids = tokenizer([long, ""])
    assert ids[0, -1] == tokenizer.end_id == 1 and ids[1].tolist() == [1, *[0] * 11]
    assert tokenizer.overlong(long) == len(tokenizer.tokens(long)) - 11 > 0


def test_a_tokenizer_json_gives_the_same_ids(spiece, tmp_path):
    tokenizer = load_tokenizer(spiece)
    (tmp_path / "tokenizer.json").write_text(tokenizer._tokenizer.to_str())
    again = load_tokenizer(tmp_path)
    some = prompts()[:50]
    assert np.array_equal(again(some), tokenizer(some))
    assert again.vocabulary == tokenizer.vocabulary == 360


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "without pieces"),
        (b"\x0a\xff\xff\x03abc", "ends in the middle"),
        (b"\x0b", "unknown kind 3"),
        (b"\x0a" + b"\xff" * 12, "more than 64 bits|not a SentencePiece"),
        (b"\x12\x02\x18\x02\x0a\x03\x0a\x01a", "another kind than unigram"),
    ],
)
def test_damaged_models_are_refused(tmp_path, data, sentence):
    (tmp_path / "spiece.model").write_bytes(data)
    with pytest.raises(InputFileError, match=sentence):
        load_tokenizer(tmp_path)


def test_a_damaged_table_of_characters_is_refused(spiece, tmp_path):
    data = (spiece / "spiece.model").read_bytes()
    at = data.rindex(b"\x10\x81\x90") if b"\x10\x81\x90" in data else len(data) // 2
    (tmp_path / "spiece.model").write_bytes(data[:at] + data[at + 40 :])
    with pytest.raises(InputFileError, match="spiece.model"):
        load_tokenizer(tmp_path)
