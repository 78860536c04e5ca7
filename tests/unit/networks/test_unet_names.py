"""Names and shapes of the latent UNets against lists of the originals' own state dicts; nothing is
allocated.
"""

import hashlib
import json
from math import prod
from pathlib import Path

import numpy as np
import pytest

from mindlong.networks.names import by_source, our_array, source_array
from mindlong.networks.resampler import names as resampler
from mindlong.networks.resampler.spec import ResamplerSpec
from mindlong.networks.unet.families import FAMILIES, family
from mindlong.networks.unet.names import LAYOUTS, names, parameter_count
from mindlong.utils.errors import ConfigError

GOLDEN = Path(__file__).parents[2] / "golden"
SD20 = {"heads": None, "head_dim": 64, "context_dim": 1024, "linear_projection": True}
LEAVES = {
    "to_q.weight": 2,
    "to_k.weight": 2,
    "to_v.weight": 2,
    "to_out.0.weight": 2,
    "to_out.0.bias": 1,
}  # axes


def _listed(name):
    lists = json.loads((GOLDEN / name).read_text())
    return {
        network: {k: tuple(v) for k, v in tensors.items()} for network, tensors in lists.items()
    }


@pytest.fixture(scope="module")
def diffusers():
    """Names and shapes of diffusers' own networks, built without memory."""
    return _listed("unet_tensors.json")


@pytest.fixture(scope="module")
def originals():
    """Names and shapes of the originals' own networks, built without memory (see
    tools/golden/unet.py).
    """
    return _listed("unet_tensors_listed.json")


def _shapes(entries):
    found = {e.source: e.source_shape for e in entries}
    assert len(found) == len(entries) == len({e.ours for e in entries})
    return found


def test_diffusers_names_and_shapes(diffusers):
    assert len(diffusers["modelscope"]) == 1480
    assert _shapes(names(family("modelscope").spec())) == diffusers["modelscope"]
    assert _shapes(names(family("stable_diffusion").spec())) == diffusers["sd15"]
    assert _shapes(names(family("stable_diffusion").spec(**SD20))) == diffusers["sd21"]


@pytest.mark.parametrize(
    ("name", "own", "layout", "change", "count"),
    [
        ("modelscope", "modelscope", "modelscope", {}, 1480),
        ("videocrafter2", "videocrafter2", "lvdm", {}, 1484),
        ("tuned_sd15", "tune_a_video", "diffusers", {}, 798),
        ("tuned_sd21", "tune_a_video", "diffusers", SD20, 798),
        ("pseudo3d", "pseudo3d", "diffusers", {}, 930),
    ],
)
def test_names_and_shapes_of_the_originals_themselves(originals, name, own, layout, change, count):
    assert len(originals[name]) == count
    assert _shapes(names(family(own).spec(**change), layout)) == originals[name]


@pytest.mark.parametrize(("size", "change"), [("sd15", {}), ("sd21", SD20)])
def test_tune_a_video_adds_seven_tensors_to_each_of_sixteen_blocks(diffusers, size, change):
    """The image model's list, and in every block attn_temp and norm_temp."""
    want = dict(diffusers[size])
    blocks = [k.removesuffix("attn1.to_q.weight") for k in want if k.endswith("attn1.to_q.weight")]
    for block in blocks:
        width = want[f"{block}norm1.weight"]
        want |= {f"{block}attn_temp.{leaf}": width * axes for leaf, axes in LEAVES.items()}
        want |= {f"{block}norm_temp.weight": width, f"{block}norm_temp.bias": width}
    assert (len(blocks), len(want)) == (16, 798)
    assert _shapes(names(family("tune_a_video").spec(**change))) == want


def test_lvdm_and_diffusers_name_the_same_tensors():
    """A bijection; only projections stored as 1-D convolutions differ in shape."""
    spec = family("videocrafter2").spec()
    lvdm, diffusers = ({e.ours: e for e in names(spec, layout)} for layout in ("lvdm", "diffusers"))
    assert lvdm.keys() == diffusers.keys()
    other = {k for k in lvdm if lvdm[k].source_shape != diffusers[k].source_shape}
    assert other == {"entry.proj_in.weight", "entry.proj_out.weight"}


def test_prefixes_stand_before_every_key():
    keys = [
        e.source for e in names(family("videocrafter2").spec(), "lvdm", "model.diffusion_model.")
    ]
    assert all(k.startswith("model.diffusion_model.") for k in keys)
    assert "model.diffusion_model.input_blocks.3.0.op.weight" in keys


@pytest.mark.parametrize("name", FAMILIES)
def test_there_and_back_is_bit_equal_in_every_layout(name):
    small = {
        "channels": (8, 16),
        "layers": 1,
        "attends": (True, False),
        "groups": 4,
        "context_dim": 12,
    }
    spec = family(name).spec(**small, heads=None, head_dim=4)
    draw = np.random.default_rng(0)
    for layout in family(name).layouts:
        entries = names(spec, layout)
        source = {e.source: draw.standard_normal(e.source_shape, dtype=np.float32) for e in entries}
        ours = {e.ours: our_array(e, source[e.source]) for e in entries}
        assert {e.ours: e.our_shape for e in entries} == {k: v.shape for k, v in ours.items()}
        back = {key: source_array(group, ours) for key, group in by_source(entries).items()}
        assert all(
            np.array_equal(back[k], source[k]) and back[k].shape == source[k].shape for k in source
        )


def test_counts_come_from_the_walk():
    spec = family("modelscope").spec()
    assert (
        parameter_count(spec)
        == sum(prod(e.source_shape) for e in names(spec, "modelscope"))
        == 1_411_233_860
    )


def test_an_unknown_layout_gets_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'lvdm'"):
        names(family("videocrafter2").spec(), "lvdn")
    assert set(LAYOUTS) == {layout for f in FAMILIES.values() for layout in f.layouts}


LISTED = "05715c3099a3a26a9bb188ffab1c2b3265c68445d820758d9523c43b4b37fe5a"  # of "name shape" of the original's own network, sorted


@pytest.mark.parametrize(
    "name", ["dynamicrafter_512", "dynamicrafter_interp", "dynamicrafter_1024"]
)
def test_dynamicrafter_adds_two_tensors_to_each_of_sixteen_attentions(originals, name):
    want = dict(originals["videocrafter2"])
    want["input_blocks.0.0.weight"] = (320, 8, 3, 3)
    keys = [k for k in want if k.endswith("attn2.to_k.weight") and want[k][1] == 1024]
    for key in keys:
        want |= {key.replace("to_k", leaf): want[key] for leaf in ("to_k_ip", "to_v_ip")}
    found = _shapes(names(family(name).spec(), "lvdm"))
    assert (len(keys), len(found)) == (16, 1516) and found == want
    assert sum(prod(shape) for shape in found.values()) == 1_438_854_980
    lines = sorted(f"{key} {'x'.join(map(str, shape))}" for key, shape in found.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == LISTED


def test_dynamicrafter_256_has_a_gate_in_each_and_its_own_word_for_the_rate():
    found = _shapes(names(family("dynamicrafter_256").spec(), "lvdm_framestride"))
    plain = _shapes(names(family("dynamicrafter_512").spec(), "lvdm"))
    own = {k for k in found if k.endswith("attn2.alpha")}
    assert len(own) == 16 and {found[k] for k in own} == {()}
    renamed = {k.replace("framestride_embed", "fps_embedding"): v for k, v in found.items()}
    assert len(found) == 1532
    assert {k: v for k, v in renamed.items() if k not in own} == plain


def test_the_resamplers_names_and_shapes_are_the_originals():
    want = json.loads((GOLDEN / "dynamicrafter_resampler.json").read_text())
    assert len(want) == 51
    assert _shapes(resampler.names(ResamplerSpec())) == {k: tuple(v) for k, v in want.items()}
