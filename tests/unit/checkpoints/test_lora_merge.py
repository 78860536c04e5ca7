"""LoRA files of every naming merged: against kohya's trainer, diffusers with PEFT and AnimateDiff's
own loader (tests/golden/lora.npz, by `python tools/make_golden.py lora`), by formula, and what is
refused.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import lora_files as files
import numpy as np
import pytest
import torch_files

from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.lora.merge import merge, relative_changes
from mindlong.checkpoints.lora.read import read_lora
from mindlong.config.lora_words import Wanted, every, wanted
from mindlong.networks import table
from mindlong.networks.lora_names import by_name, layers
from mindlong.networks.unet.families import FAMILIES
from mindlong.utils.errors import ConfigError, InputFileError

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def golden():
    held = np.load(GOLDEN / "lora.npz")
    return {name: held[name] for name in held.files}


def cases():
    one, two = files.parts(), files.parts(linear=True)
    return {
        "kohya": (one, [(files.kohya(one), None, 0.7)]),
        "kohya_linear": (two, [(files.kohya(two), None, -0.4)]),
        "kohya_two": (one, [(files.kohya(one), None, 0.7), (files.kohya(one, 1), None, -0.4)]),
        "kohya_by_diffusers": (one, [(files.kohya(one, 0, (2.0,)), None, 0.7)]),
        "peft": (one, [(files.peft(one), None, 0.8)]),
        "processors": (two, [(files.processors(two), None, 1.2)]),
        "animatediff": (two, [(files.processors(two, ""), None, 0.8)]),
        "metadata": (two, [(_of_network(files.peft(two)), "said", 1.0)]),
    }


def _of_network(arrays):
    return {name: array for name, array in arrays.items() if name.startswith("unet.")}


def merged(base, wanted_files, folder, said=None):
    names = []
    taken = len(list(folder.iterdir()))
    for number, (arrays, metadata, strength) in enumerate(wanted_files, taken):
        path = files.write(folder / f"{number}.safetensors", arrays, said if metadata else None)
        names.append(Wanted(str(path), strength, strength))
    return merge(base, names)


@pytest.mark.parametrize("case", cases())
def test_merges_are_the_originals(case, golden, tmp_path):
    base, wanted_files = cases()[case]
    said = json.loads(str(golden["metadata/said"]))
    found = merged(base, wanted_files, tmp_path, said)
    names, values = golden[f"{case}/names"], golden[f"{case}/values"]
    changed = 0
    for name, value in zip(names, values, strict=True):
        role, _, ours = name.partition("/")
        now = files.few(found.parts[role].arrays[ours].read())
        changed += not np.array_equal(now, files.few(base[role].arrays[ours].read()))
        np.testing.assert_allclose(now, value, rtol=0, atol=1e-6, err_msg=name)
    assert changed == sum(map(len, found.changed.values())) > 0


def test_alphas_of_layers_are_kept_where_diffusers_drops_them(golden, tmp_path):
    """Its attention layers get the most frequent alpha; ours get their own, as kohya's do."""
    base = files.parts()
    mixed = merged(base, [(files.kohya(base), None, 1.0)], tmp_path)
    alike = merged(base, [(files.kohya(base, 0, (2.0,)), None, 1.0)], tmp_path)
    name = next(n for n in mixed.changed["network"] if "attn1.to_q" in n)
    arrays = [each.parts["network"].arrays[name].read() for each in (mixed, alike)]
    assert not np.allclose(*arrays)


def test_half_precision_is_rounded_once(tmp_path):
    base = files.parts()
    network = base["network"]
    halves = {n: as_lazy(a.read().astype(np.float16)) for n, a in network.arrays.items()}
    base = {**base, "network": replace(network, arrays=halves)}
    arrays = {n: np.asarray(a, np.float16) for n, a in files.peft(base).items()}
    found = merged(base, [(arrays, None, 0.7)], tmp_path)
    layer = layers(network.network, network.spec)[5]
    weight = f"{layer.ours}.weight"
    stem = f"unet.{layer.source}"
    down = arrays[f"{stem}.lora_A.weight"].astype(np.float32).reshape(3, -1)
    up = arrays[f"{stem}.lora_B.weight"].astype(np.float32).reshape(-1, 3)
    total = halves[weight].read().astype(np.float32) + (up @ down).reshape(
        layer.shape
    ) * np.float32(0.7)
    from mindlong.checkpoints.dtypes import FORMATS

    stored = found.parts["network"].arrays[weight].stored(FORMATS["float16"], weight)
    assert np.array_equal(stored.view(np.uint16), total.astype(np.float16).view(np.uint16))


def test_what_no_lora_touches_is_the_very_tensor(tmp_path):
    base = files.parts()
    found = merged(base, [(files.processors(base), None, 1.0)], tmp_path)
    for name, lazy in base["network"].arrays.items():
        same = found.parts["network"].arrays[name] is lazy
        assert same == (name not in found.changed["network"])
    assert merge(base, []).parts["network"].arrays == base["network"].arrays


@pytest.mark.parametrize("family", ["modelscope", "videocrafter2", "tune_a_video", "pseudo3d"])
def test_other_families_take_files_of_stable_diffusion_and_their_own(family, tmp_path):
    """Names of diffusers reach the layers over frames too; those of image models the layers that
    are the image model's.
    """
    sizes = {"heads": None, "head_dim": 8} if family in ("modelscope", "videocrafter2") else {}
    sizes |= {"entry_heads": 2} if sizes else {}
    base, image = files.parts(family, **sizes), files.parts(linear=sizes != {})
    arrays = _of_network(files.peft(image))
    found = merged(base, [(arrays, None, 1.0)], tmp_path)
    assert len(found.changed["network"]) == len(arrays) // 2
    own = {}
    for layer in layers(base["network"].network, base["network"].spec):
        down, up = files.matrices(layer, 2, 0)
        own[f"{layer.source}.lora_A.weight"], own[f"{layer.source}.lora_B.weight"] = down, up
    found = merged(base, [(own, None, 1.0)], tmp_path)
    assert len(found.changed["network"]) == len(own) // 2
    name = next((n for n in found.changed["network"] if ".tconv." in n), "")
    if name:
        layer = next(
            v
            for v in by_name(base["network"].network, base["network"].spec).values()
            if f"{v.ours}.weight" == name
        )
        down, up = files.matrices(layer, 2, 0)
        delta = np.einsum("or,rik->oik", up[:, :, 0, 0, 0], down[:, :, :, 0, 0])
        now = found.parts["network"].arrays[name].read() - base["network"].arrays[name].read()
        np.testing.assert_allclose(now, delta, atol=1e-6)


def motion_lora(layers_of, rank):
    """guoyww's file: the attentions of motion modules under the names of older diffusers."""
    arrays = {}
    for layer in layers_of:
        block, _, leaf = layer.source.removesuffix(".0").rpartition(".")
        if ".attention_blocks." in block:
            stem = f"{block}.processor.{leaf}_lora"
            down, up = files.matrices(layer, rank, 0)
            arrays[f"{stem}.down.weight"], arrays[f"{stem}.up.weight"] = down, up
    return arrays


def test_a_motion_lora_changes_the_attentions_of_motion_modules(tmp_path):
    base = files.parts("animatediff")
    network = base["network"]
    named = layers(network.network, network.spec, "guoyww")
    arrays = motion_lora(named, 2)
    found = merged(base, [(arrays, None, 0.5)], tmp_path)
    assert len(found.changed["network"]) == len(arrays) // 2 > 0
    layer = next(each for each in named if each.source.endswith("attention_blocks.1.to_out.0"))
    down, up = files.matrices(layer, 2, 0)
    weight = f"{layer.ours}.weight"
    now = found.parts["network"].arrays[weight].read() - network.arrays[weight].read()
    np.testing.assert_allclose(now, 0.5 * (up @ down).reshape(now.shape), atol=1e-6)
    image = _of_network(files.peft(files.parts()))
    assert len(merged(base, [(image, None, 1.0)], tmp_path).changed["network"]) == len(image) // 2


def test_a_motion_lora_of_v2_has_168_pairs():
    network = table.get("animatediff")
    named = layers(network, FAMILIES["animatediff"].spec(), "guoyww")
    pairs = [each for each in named if ".attention_blocks." in each.source]
    assert len(pairs) == 168 and sum(sum(each.shape) for each in pairs) == 302_080


def test_a_list_without_names_is_in_t2v_turbos_order(golden_order):
    spec = FAMILIES["videocrafter2"].spec()
    form = table.get("videocrafter2").format("lvdm")
    names = form.listed(spec)
    known = by_name(table.get("videocrafter2"), spec)
    assert names == [name for name, _, _ in golden_order]
    numbers = 0
    for name, up, down in golden_order:
        numbers += int(np.prod(up)) + int(np.prod(down))
        if name != "time_cond_proj":
            shape = known[name].source_shape
            assert (up[0], down[1:]) == (shape[0], shape[1:]), name
            assert down[0] == min(64, *shape[:2])
    assert (len(names), numbers) == (575, 117_142_176)


@pytest.fixture(scope="module")
def golden_order():
    """Layer, shape of up, shape of down: what the original saves, run at full size."""
    lines = (GOLDEN / "t2v_turbo_lora_order.txt").read_text().splitlines()
    found = [line.split(" ", 1) for line in lines if not line.startswith("#")]
    shapes = [
        json.loads("[" + rest.replace(") (", "],[").replace("(", "[").replace(")", "]") + "]")
        for _, rest in found
    ]
    return [
        (name, tuple(up), tuple(down)) for (name, _), (up, down) in zip(found, shapes, strict=True)
    ]


def _parameters(arrays):
    return [torch_files.tensor(str(n), a, parameter=True) for n, a in enumerate(arrays)]


def test_a_list_is_read_by_place(tmp_path):
    base = files.parts("videocrafter2", heads=None, head_dim=8, entry_heads=2)
    network = base["network"]
    known, tensors = by_name(network.network, network.spec), []
    for name in network.network.format("lvdm").listed(network.spec):
        layer = known.get(name)
        shapes = ((16, 2), (2, 256)) if layer is None else None
        pair = (
            files.matrices(layer, 2, 0)[::-1]
            if layer
            else [np.zeros(s, np.float32) for s in shapes]
        )
        tensors += pair
    path = torch_files.write(tmp_path / "list.pt", _parameters(tensors))
    with pytest.raises(InputFileError, match="takes the guidance as a number.*time_cond_proj"):
        merge(base, every([str(path)]))
    found = merge(base, every([f"{path}:0.5"]), strict=False)
    assert len(found.changed["network"]) == len(tensors) // 2 - 1
    assert any("left out" in note for note in found.notes)
    layer = known["middle_block.1.transformer_blocks.0.attn2.to_k"]
    down, up = files.matrices(layer, 2, 0)
    now = found.parts["network"].arrays[f"{layer.ours}.weight"].read()
    np.testing.assert_allclose(
        now - network.arrays[f"{layer.ours}.weight"].read(), 0.5 * up @ down, atol=1e-6
    )
    told = files.parts("videocrafter2", heads=None, head_dim=8, entry_heads=2, guidance_dim=256)
    assert len(merge(told, every([str(path)])).changed["network"]) == len(tensors) // 2
    short = torch_files.write(tmp_path / "short.pt", _parameters(tensors[:-2]))
    with pytest.raises(InputFileError, match="list of .* pairs without names.*T2V-Turbo"):
        merge(base, every([str(short)]))
    with pytest.raises(InputFileError, match="order is known for T2V-Turbo on VideoCrafter2 alone"):
        merge(files.parts(), every([str(path)]))


OTHERS = {
    "LoHa": {"lora_unet_x.hada_w1_a": (2, 2)},
    "LoKr": {"lora_unet_x.lokr_w1": (2, 2)},
    "DoRA": {"lora_unet_x.lora_down.weight": (2, 4), "lora_unet_x.dora_scale": (1, 4)},
    "DoRA,": {"unet.x.lora_A.weight": (2, 4), "unet.x.lora_magnitude_vector.weight": (4,)},
    "Tucker": {"lora_unet_x.lora_mid.weight": (2, 2, 3, 3)},
    "OFT": {"lora_unet_x.oft_blocks": (2, 2, 2)},
    "IA3": {"lora_unet_x.ia3_l.weight": (4,)},
    "GLoRA": {"lora_unet_x.a1.weight": (4, 2)},
    "whole differences": {"lora_unet_x.diff": (4, 4)},
    "trained norms": {"lora_unet_x.w_norm": (4,)},
    "biases": {"unet.x.lora_B.bias": (4,)},
    "XL": {"lora_te1_x.lora_down.weight": (2, 4)},
    "another network": {"lora_te3_x.lora_down.weight": (2, 4)},
    "belong to no LoRA": {"lora_unet_x.lora_down.weight": (2, 4), "strange.weight": (2,)},
    "holds no LoRA": {"strange.weight": (2, 2)},
    "has no up": {"lora_unet_x.lora_down.weight": (2, 4)},
    "do not go together": {
        "lora_unet_x.lora_down.weight": (2, 4),
        "lora_unet_x.lora_up.weight": (4, 3),
    },
    "it is one number": {
        "lora_unet_x.lora_down.weight": (2, 4),
        "lora_unet_x.lora_up.weight": (4, 2),
        "lora_unet_x.alpha": (2,),
    },
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_named_and_refused(kind, tmp_path):
    arrays = {name: np.ones(shape, np.float32) for name, shape in OTHERS[kind].items()}
    path = files.write(tmp_path / "x.safetensors", arrays)
    with pytest.raises(InputFileError, match=kind.rstrip(",")) as told:
        read_lora(path)
    assert "\n" not in str(told.value)


def test_use_dora_and_damaged_descriptions_are_refused(tmp_path):
    arrays = {"unet.x.lora_A.weight": np.ones((2, 4)), "unet.x.lora_B.weight": np.ones((4, 2))}
    path = files.write(tmp_path / "a.safetensors", arrays, files.adapter(**{"unet.use_dora": True}))
    with pytest.raises(InputFileError, match="DoRA"):
        read_lora(path)
    path = files.write(tmp_path / "b.safetensors", arrays, {"lora_adapter_metadata": "[1"})
    with pytest.raises(InputFileError, match="description of the LoRA is no table"):
        read_lora(path)


def test_pefts_own_folder_is_read_with_its_configuration(tmp_path):
    base = files.parts()
    layer = layers(base["network"].network, base["network"].spec)[8]
    down, up = files.matrices(layer, 2, 0)
    stem = f"base_model.model.{layer.source}"
    files.write(
        tmp_path / "adapter_model.safetensors",
        {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up},
    )
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"r": 2, "lora_alpha": 8, "use_rslora": True})
    )
    pair = read_lora(tmp_path).pairs[0]
    assert pair.factor == pytest.approx(8 / 2**0.5)
    assert merge(base, every([str(tmp_path)])).changed["network"] == (f"{layer.ours}.weight",)


def test_a_wrong_base_is_told_with_layer_and_shapes(tmp_path):
    sd2, sd1 = files.parts(linear=True, context_dim=1024), files.parts(context_dim=768)
    path = files.write(tmp_path / "a.safetensors", _of_network(files.peft(sd2)))
    with pytest.raises(
        InputFileError,
        match=r"needs down \[3, 768\].*1024 is the width of prompts in Stable Diffusion 2",
    ):
        merge(sd1, every([str(path)]))
    other = files.parts("stable_diffusion", channels=(16, 32, 32), attends=(True, True, False))
    path = files.write(tmp_path / "b.safetensors", files.kohya(other))
    with pytest.raises(
        InputFileError, match=r"no layer for \d+ of \d+ pairs: lora_unet_.*lora_strict=false"
    ):
        merge(sd1, every([str(path)]))
    up = {
        "unet.conv_in.lora_A.weight": np.ones((2, 4, 1, 1)),
        "unet.conv_in.lora_B.weight": np.ones((16, 2, 3, 3)),
    }
    path = files.write(tmp_path / "c.safetensors", up)
    with pytest.raises(InputFileError, match="a kernel stands in the down matrix"):
        merge(sd1, every([str(path)]))


def test_matrices_of_a_1x1_convolution_may_have_two_axes_or_four(tmp_path):
    conv, linear = files.parts(), files.parts(linear=True)
    made = [merged(conv, [(files.peft(base), None, 1.0)], tmp_path) for base in (conv, linear)]
    name = "mid.0.spatial.proj_in.weight"
    arrays = [each.parts["network"].arrays[name].read() for each in made]
    assert np.array_equal(*arrays)


def test_not_finite_and_missing_files_are_told(tmp_path):
    arrays = files.peft(files.parts())
    first = next(iter(arrays))
    arrays[first] = arrays[first] * np.nan
    path = files.write(tmp_path / "a.safetensors", arrays)
    with pytest.raises(InputFileError, match="not finite"):
        read_lora(path)
    with pytest.raises(InputFileError, match="lora: no file at .*nowhere"):
        read_lora(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="holds no LoRA"):
        read_lora(tmp_path / "empty")


def test_words():
    assert wanted("a.safetensors") == Wanted("a.safetensors")
    assert wanted("a:0.5") == Wanted("a", 0.5, 0.5)
    assert wanted("x/a.safetensors:-1:.25") == Wanted("x/a.safetensors", -1.0, 0.25)
    with pytest.raises(ConfigError, match="FILE:STRENGTH"):
        wanted(":0.5")


def test_relative_changes_are_of_the_weights(tmp_path):
    base = files.parts()
    found = merged(base, [(files.processors(base), None, 1.0)], tmp_path)
    rows = list(relative_changes(base, found))
    assert len(rows) == len(found.changed["network"])
    assert all(0 < change < 10 for _, _, change in rows)
