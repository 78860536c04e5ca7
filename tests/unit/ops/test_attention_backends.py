"""The table that chooses an attention's backend."""

import numpy as np
import pytest
from mindspore import Tensor

from mindlong.config.env_options import AttentionOptions
from mindlong.ops import attention
from mindlong.ops.attention.table import BACKENDS, choose
from mindlong.utils.errors import ConfigError

HALF = {
    "dtype": "float16",
    "head_dim": 40,
    "mask_kind": "none",
    "direction": "train",
    "lengths": (4096, 4096),
}


def ask(chip, **changes):
    return choose(chip, **{**HALF, **changes})


@pytest.mark.parametrize(
    ("chip", "dtype", "backend"),
    [
        ("cpu", "float32", "native"),
        ("910b", "float16", "flash_910b"),
        ("910b", "bfloat16", "flash_910b"),
        ("910a", "float16", "flash_910a"),
    ],
)
def test_each_chip_takes_its_own_backend(chip, dtype, backend):
    assert ask(chip, dtype=dtype).backend == backend


def test_what_is_missing_or_too_wide_falls_back_and_says_why():
    choice = ask("910a", missing={"flash_910a": "the operator is not built"}, heads=8)
    assert (
        choice.backend == "chunked" and "not built" in choice.reason and "512 MB" in choice.reason
    )
    assert ask("910a", head_dim=512, lengths=(64, 64)).backend == "math"
    assert "width 1 to 160" in ask("910a", head_dim=512).reason
    assert ask("910a", mask_kind="bias").backend != "flash_910a"
    assert "nearly empty" in ask("910a", lengths=(16, 16)).reason
    assert ask("910a", lengths=(16, 16), forced="flash_910a").backend == "flash_910a"
    assert ask("910b", dtype="float32").backend != "flash_910b"


@pytest.mark.parametrize(
    ("backend", "chip", "changes", "words"),
    [
        ("flash_910b", "cpu", {}, "runs on 910b"),
        ("flash_910b", "910b", {"dtype": "float32"}, "float16 or bfloat16"),
        ("flash_910b", "910b", {"head_dim": 576}, "width 1 to 512"),
        ("flash_910b", "910b", {"lengths": (600_000, 16)}, "524288 tokens"),
        ("flash_910b", "910b", {"heads": 300}, "256 heads"),
        ("flash_910a", "910a", {"mask_kind": "bias"}, "none, keys, band"),
        ("flash_910a", "910a", {"dtype": "bfloat16"}, "float16"),
        ("native", "cpu", {"dtype": "float16"}, "float32"),
    ],
)
def test_a_forced_backend_that_cannot_serve_names_the_limit(backend, chip, changes, words):
    with pytest.raises(ConfigError, match=words):
        ask(chip, forced=backend, **changes)
    with pytest.raises(ConfigError, match="attention.backend is"):
        ask(chip, forced=backend, **changes)


def test_the_plain_forms_serve_everywhere_and_can_be_forced():
    for chip in ("cpu", "910a", "910b"):
        for backend in ("math", "chunked"):
            for mask in ("none", "keys", "band", "bias"):
                assert ask(chip, forced=backend, mask_kind=mask, head_dim=999).backend == backend


def test_a_wrong_word_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match="'flash_910b'"):
        ask("910b", forced="flash910b")
    with pytest.raises(ConfigError, match="the kind of mask is 'bands'"):
        ask("910b", mask_kind="bands")
    assert set(BACKENDS) == {"math", "chunked", "native", "flash_910b", "flash_910a"}


def test_the_configuration_offers_what_the_table_has():
    choices = AttentionOptions.__dataclass_fields__["backend"].metadata["choices"]
    assert set(choices) == {"auto", *BACKENDS}


@pytest.fixture
def forced():
    yield attention.use
    attention.use("auto")


def test_a_forced_backend_computes_the_same(forced):
    rng = np.random.default_rng(0)
    q, k, v = (Tensor(rng.standard_normal((1, 2, n, 16)).astype(np.float32)) for n in (40, 30, 30))
    answers = {}
    for backend in ("auto", "math", "chunked"):
        forced(backend)
        answers[backend] = attention.Attention(2, 0.25)(q, k, v).asnumpy()
    np.testing.assert_allclose(answers["chunked"], answers["math"], atol=2e-6)
    np.testing.assert_allclose(answers["auto"], answers["math"], atol=2e-6)


def test_a_backend_forced_on_the_wrong_chip_is_an_error_in_the_network_too(forced):
    forced("flash_910a")
    q = Tensor(np.zeros((1, 2, 40, 16), np.float32))
    with pytest.raises(ConfigError, match="attention.backend is 'flash_910a'"):
        attention.Attention(2, 0.25)(q, q, q)
