"""LoRA files written here, loaded by diffusers with PEFT: no key is unexpected, and the fused
weights are ours.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import lora_files as files  # noqa: E402

from mindlong.checkpoints.lora.merge import merge  # noqa: E402
from mindlong.checkpoints.lora.write import NAMINGS, Matrices, in_naming  # noqa: E402
from mindlong.config.lora_words import Wanted  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def golden_maker():
    """tools/golden/lora.py, which builds diffusers' networks from ours."""
    sys.modules.setdefault(
        "torchvision", None
    )  # transformers can do without, not with a broken one
    pytest.importorskip("peft")
    pytest.importorskip("accelerate")
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "golden"))
    import lora

    return lora


def trained(base, ranks: int) -> list[Matrices]:
    """What a training would hand to the writers: so many ranks, alpha / rank of 1.5."""
    found = []
    for role, word in (("network", "unet"), ("text_encoder", "")):
        for layer in files.targets(base[role], word):
            rank = 2 + files.of(layer.source, ranks)
            found.append(Matrices(role, layer, *files.matrices(layer, rank, 3), 1.5))
    return found


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("naming", NAMINGS)
def test_diffusers_loads_what_is_written(naming, linear, golden_maker, tmp_path, caplog):
    base = files.parts(linear=linear)
    ranks = 1 if naming == "kohya" else 2  # diffusers drops alphas of kohya's files that differ
    arrays, about = in_naming(naming, trained(base, ranks))
    path = files.write(tmp_path / "x.safetensors", arrays, about)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = golden_maker.by_diffusers(base, arrays, about, 0.6)
    told = "\n".join([str(w.message) for w in said] + [r.getMessage() for r in caplog.records])
    assert "unexpected" not in told.lower() and "did not match" not in told
    ours = merge(base, [Wanted(str(path), 0.6, 0.6)])
    changed = 0
    for name, value in found.items():
        role, _, weight = name.partition("/")
        now = files.few(ours.parts[role].arrays[weight].read())
        np.testing.assert_allclose(now, value, rtol=0, atol=2e-6, err_msg=name)
        changed += weight in ours.changed[role]
    assert changed == len(arrays) // (3 if naming == "kohya" else 2)
