"""The caption encoder and its tokeniser."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.config.train_options import TrainOptions
from mindlong.networks.caption import spec as caption
from mindlong.networks.caption.cell import CaptionEncoder, caption_ids
from mindlong.networks.init import initialise
from mindlong.training.prepare import prepare
from mindlong.utils.errors import ConfigError

MODE = "pynative"

LENGTH = 12


@pytest.fixture(scope="module")
def encode():
    net = initialise(CaptionEncoder(16, 2, 2, LENGTH, 6), seed=1)
    return lambda *texts: net(Tensor(np.stack([caption_ids(t, LENGTH) for t in texts]))).asnumpy()


def test_words_of_the_vocabulary_are_one_token_each():
    ids = caption_ids("A red circle, moving RIGHT", LENGTH)
    assert (ids >= caption.FIRST_WORD).sum() == 6 and not ids[6:].any() and ids.dtype == np.int32


def test_vocabulary_has_no_word_twice():
    assert len(set(caption.WORDS)) == len(caption.WORDS)


@pytest.mark.parametrize(
    ("one", "other"), [("zebra", "zebr a"), ("xy zw", "xyz w"), ("é", "e"), ("red", "blue")]
)
def test_different_captions_have_different_tokens(one, other):
    assert caption.tokens(one) != caption.tokens(other)


def test_unknown_words_are_spelt_in_bytes():
    assert caption.tokens("é") == [1 + 0x20, 1 + 0xC3, 1 + 0xA9]


def test_empty_caption_is_all_padding():
    assert not caption_ids("  ", LENGTH).any()


def test_too_long_a_caption_is_refused_with_its_length():
    with pytest.raises(
        ConfigError, match=r"13 tokens long and the encoder takes 12.*model.text.length"
    ):
        caption_ids("a " * 13, LENGTH)


def test_every_tensor_is_in_the_table():
    net = CaptionEncoder(16, 2, 2, LENGTH, 6)
    assert {p.name: p.shape for p in net.get_parameters()} == caption.shapes(16, 2, LENGTH, 6)
    assert sum(p.size for p in net.get_parameters()) == caption.parameter_count(16, 2, LENGTH, 6)


def test_captions_tell_apart_and_order_matters(encode):
    rows = encode("a red circle", "a blue circle", "circle red a")
    assert rows.shape == (3, 6) and np.isfinite(rows).all()
    assert np.abs(rows[0] - rows[1]).max() > 0.05 and np.abs(rows[0] - rows[2]).max() > 0.05


def test_padding_changes_nothing(encode):
    """A longer encoder with the same weights in front answers the same for the same words."""
    longer = initialise(CaptionEncoder(16, 2, 2, LENGTH + 5, 6), seed=1)
    short = initialise(CaptionEncoder(16, 2, 2, LENGTH, 6), seed=1)
    longer.places.set_data(
        Tensor(np.concatenate([short.places.asnumpy(), np.ones((5, 16), np.float32)]))
    )
    ids = caption_ids("a red circle", LENGTH + 5)[None]
    np.testing.assert_allclose(longer(Tensor(ids)).asnumpy(), encode("a red circle"), atol=1e-6)


def test_empty_caption_gives_finite_numbers(encode):
    assert np.isfinite(encode("")).all()


def test_every_parameter_is_trained():
    net = initialise(CaptionEncoder(16, 1, 2, LENGTH, 6), seed=1)
    ids = Tensor(np.stack([caption_ids("a red circle moving", LENGTH)]))
    weights = Tensor(np.random.default_rng(0).standard_normal((1, 6), dtype=np.float32))

    def total(ids):
        return (net(ids) * weights).sum()

    _, found = ms.value_and_grad(total, None, net.trainable_params())(ids)
    idle = [
        p.name
        for p, g in zip(net.trainable_params(), found, strict=True)
        if not np.abs(g.asnumpy()).max() > 0
    ]
    assert not idle


def test_captions_are_read_in_halves_too():
    """Scores and softmaxes stay float32: -1e9 on a padding token is beyond the halves."""
    ids = Tensor(np.stack([caption_ids(c, 8) for c in ("a red circle", "up")]))
    encoder = CaptionEncoder(16, 2, 2, 8, 6)
    initialise(encoder, 0)
    whole = encoder(ids).asnumpy()
    prepare(encoder, TrainOptions(precision="fp16"))
    half = encoder(ids).asnumpy().astype(np.float32)
    assert np.abs(half - whole).max() < 0.01 * np.abs(whole).max()
