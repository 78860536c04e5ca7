"""States of weighted, long and blended prompts against diffusers' community pipeline
lpw_stable_diffusion and compel: 1e-6 of their largest, from the originals' own code.
"""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.text_names import names
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.networks.names import our_array
from mindlong.pipelines.wording import Wording, states_of

FOLDER = Path(__file__).parents[1] / "golden"
END, BANG = "<|endoftext|>", "!"
LETTERS = str.maketrans("", "", "()[]\\:.14")  # what a plain text of the originals leaves out
SPEC = ClipTextSpec(vocabulary=882, width=16, layers=2, heads=2, hidden=32, length=11)


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "prompts.npz") as held:
        arrays = dict(held)
    return arrays, json.loads(str(arrays.pop("cases")))


@pytest.fixture(scope="module")
def encode(golden):
    """ids (1, S) -> states (S, D)."""
    arrays, _ = golden
    cell = TextEncoder(SPEC)
    held = {p.name: p for p in cell.get_parameters()}
    for entry in names(SPEC):
        source = entry.source.removeprefix("text_model.")
        held[entry.ours].set_data(ms.Tensor(our_array(entry, arrays[f"weight/{source}"])))
    return lambda ids: cell(ms.Tensor(ids)).asnumpy()[0]


def tokenizer(pad=END):
    return load_tokenizer(FOLDER / "clip_tokenizer", SPEC.length, 0 if pad == BANG else None)


def states(prompt, wording, encode, pad=END):
    return states_of(wording.read(tokenizer(pad), prompt), encode)


def close(ours, want):
    assert ours.shape == want.shape
    np.testing.assert_allclose(ours, want, rtol=0, atol=2e-6 * np.abs(want).max())


@pytest.mark.parametrize("number", range(8))
def test_weighted_prompts_equal_the_community_pipeline(golden, encode, number):
    arrays, cases = golden
    want = arrays[f"weighted {number}"]
    wording = Wording("weighted", want.shape[1] // SPEC.length)
    for prompt, one in zip(cases["weighted"][number], want, strict=True):
        close(states(prompt, wording, encode), one)


@pytest.mark.parametrize("number", range(2))
def test_plain_prompts_in_chunks_equal_the_community_pipeline(golden, encode, number):
    arrays, cases = golden
    want = arrays[f"plain {number}"]
    wording = Wording("plain", want.shape[1] // SPEC.length)
    assert wording.chunks == (1, 5)[number]
    for prompt, one in zip((cases["plain"][number], ""), want, strict=True):
        close(states(prompt, wording, encode), one)


@pytest.mark.parametrize("pad", [END, BANG])
@pytest.mark.parametrize("number", range(3))
def test_blends_equal_compels(golden, encode, number, pad):
    arrays, cases = golden
    a, x, b, y = cases["blends"][number]
    wording = Wording("weighted")
    want = arrays[f"blend {pad} {number}"]
    close(states(f"{a}:{x} AND {b}:{y}", wording, encode, pad), want)


@pytest.mark.parametrize("pad", [END, BANG])
def test_chunks_equal_compels_also_where_padding_is_no_end_token(golden, encode, pad):
    arrays, cases = golden
    long = cases["plain"][1].translate(LETTERS)
    want = arrays[f"chunks {pad}"]
    close(states(long, Wording("plain", len(want) // SPEC.length), encode, pad), want)


def test_a_prompt_without_signs_is_the_plain_one_to_the_last_bit(encode):
    for pad in (END, BANG):
        plain, weighted = (states("a red circle", Wording(s), encode, pad) for s in SYNTAXES)
        np.testing.assert_array_equal(plain, weighted)


SYNTAXES = ("plain", "weighted")
