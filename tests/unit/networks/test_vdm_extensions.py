"""What Unet3D can have beyond the original: text as memory tokens, shifted features, classes; each
against a plain numpy form, and off by default.
"""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.cli.convert import command as convert
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.config.section import spec_of
from mindlong.data.build import build_source
from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.unet3d.built_cell import build
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.classes import NONE, class_of
from mindlong.networks.unet3d.conditioned import ConditionedUnet3D, FocusedUnet3D
from mindlong.networks.unet3d.extended_cell import (
    ExtendedLinear,
    ExtendedSpatial,
    ExtendedTemporal,
    TextMemory,
    shift_in_space,
    shift_in_time,
)
from mindlong.networks.unet3d.extended_unet_cell import ExtendedUnet3D, GuidedUnet3D
from mindlong.networks.unet3d.files import section
from mindlong.networks.unet3d.keys import VdmModel
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import TextSpec, Unet3DSpec
from mindlong.training.tasks import build_task
from mindlong.utils import rng

TINY = {"dim": 8, "dim_mults": (1, 2), "attn_heads": 2, "attn_dim_head": 8}
MEMORY = {"cond_dim": 6, "text_memory": 3}
FIELDS = [
    {},
    MEMORY,
    {"shift_time": True},
    {"shift_space": True},
    {"classes": 3},
    {**MEMORY, "shift_time": True, "shift_space": True, "classes": 3},
    {"shift_space": True, "use_sparse_linear_attn": False},
    {"frame_numbers": True},
]
B, F, H, W = 2, 3, 4, 4


@pytest.fixture(autouse=True)
def eager():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=before)


def draw(name, *shape):
    return rng.normal(shape, 3, "extensions", name)


def filled(cell):
    """Every number random, norms near one."""
    for p in cell.get_parameters():
        near = 1.0 if p.name.endswith("gamma") else 0.0
        p.set_data(Tensor(near + 0.4 * draw(p.name, *p.shape)))
    return cell.set_train(False)


def values(cell):
    return {p.name: p.asnumpy().astype(np.float64) for p in cell.get_parameters()}


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def channel_norm(x, gamma):
    centred = x - x.mean(1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * gamma.reshape(1, -1, 1, 1)
    )


def projected(x, weight):
    return np.einsum("oc,rchw->rohw", weight.reshape(weight.shape[:2]), x)


def heads_of(qkv, heads):
    """(R, 3ND, H, W) -> three of (R, N, D, P)."""
    rows, channels, height, width = qkv.shape
    split = qkv.reshape(rows, 3, heads, channels // 3 // heads, height * width)
    return split[:, 0], split[:, 1], split[:, 2]


def memory_kv(held, memory, heads):
    """(B, M, K) -> two of (B, N, M, D)."""
    kv = memory @ held["memory.to_kv.weight"].T
    kv = kv.reshape(*memory.shape[:2], 2, heads, -1).transpose(2, 0, 3, 1, 4)
    return kv[0], kv[1]


def space_shifted(x):
    out, part = x.copy(), x.shape[1] // 4
    out[:, :part] = 0
    out[:, :part, 1:] = x[:, :part, :-1]
    out[:, part : 2 * part] = 0
    out[:, part : 2 * part, :, 1:] = x[:, part : 2 * part, :, :-1]
    return out


def time_shifted(x, focus=None):
    video = x.reshape(-1, F, *x.shape[1:]).copy()
    out, half = video.copy(), x.shape[1] - x.shape[1] // 2
    out[:, :, half:] = 0
    out[:, 1:, half:] = video[:, :-1, half:]
    if focus is not None:
        out[focus, :, half:] = 0
    return out.reshape(x.shape)


@pytest.mark.parametrize("channels", [8, 6, 3])
def test_features_move_one_frame_one_row_one_column(channels):
    x = draw("x", B * F, channels, H, W)
    np.testing.assert_array_equal(shift_in_time(Tensor(x), F, None).asnumpy(), time_shifted(x))
    np.testing.assert_array_equal(shift_in_space(Tensor(x)).asnumpy(), space_shifted(x))


def test_no_feature_comes_from_another_frame_of_a_video_whose_frames_see_only_themselves():
    x, focus = draw("x", B * F, 8, H, W), np.array([True, False])
    moved = shift_in_time(Tensor(x), F, Tensor(focus)).asnumpy()
    np.testing.assert_array_equal(moved, time_shifted(x, focus))
    alone = np.concatenate(
        [shift_in_time(Tensor(x[i : i + 1]), 1, None).asnumpy() for i in range(F)]
    )
    np.testing.assert_array_equal(moved[:F], alone)


def test_a_single_row_or_column_has_nothing_to_move_from():
    x = draw("x", 1, 8, 1, 1)
    out = shift_in_space(Tensor(x)).asnumpy()
    assert not out[:, :4].any() and np.array_equal(out[:, 4:], x[:, 4:])


def test_memory_tokens_are_a_normed_projection_of_the_condition():
    cell, cond = filled(TextMemory(6, 3)), draw("cond", B, 6)
    held = values(cell)
    rows = cond @ held["to_tokens.weight"].T + held["to_tokens.bias"]
    rows = rows.reshape(B, 3, 6)
    centred = rows - rows.mean(-1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    want = want * held["norm.weight"] + held["norm.bias"]
    np.testing.assert_allclose(cell(Tensor(cond)).asnumpy(), want, atol=2e-5)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("kind", ["linear", "full"])
def test_attention_over_pixels_reads_the_memory_too(kind, shift):
    spec = Unet3DSpec(**TINY, **MEMORY, shift_space=shift)
    cell = filled((ExtendedLinear if kind == "linear" else ExtendedSpatial)(spec, 8))
    x, memory = draw("x", B * F, 8, H, W), draw("memory", B, 3, 6)
    held = values(cell)
    h = channel_norm(x.astype(np.float64), held["norm.gamma"])
    q, k, v = heads_of(projected(space_shifted(h) if shift else h, held["to_qkv.weight"]), 2)
    k_mem, v_mem = (a.repeat(F, 0).transpose(0, 1, 3, 2) for a in memory_kv(held, memory, 2))
    k, v = np.concatenate([k, k_mem], -1), np.concatenate([v, v_mem], -1)
    if kind == "linear":
        context = np.einsum("rndp,rnep->rnde", softmax(k, -1), v) * 32**-0.5
        out = np.einsum("rnde,rndp->rnep", context, softmax(q, 2))
    else:
        weights = softmax(np.einsum("rndp,rndq->rnpq", q, k) * 32**-0.5, -1)
        out = np.einsum("rnpq,rndq->rndp", weights, v)
    want = projected(out.reshape(B * F, -1, H, W), held["to_out.weight"])
    want = want + held.get("to_out.bias", np.zeros(8)).reshape(1, -1, 1, 1) + x
    got = cell(Tensor(x), Tensor(memory)).asnumpy()
    np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize("shift", [False, True])
def test_attention_over_frames_reads_the_memory_without_places_or_bias(shift):
    spec = Unet3DSpec(**TINY, **MEMORY, shift_time=shift)
    cell = filled(ExtendedTemporal(spec, 8))
    x, memory = draw("x", B * F, 8, H, W), draw("memory", B, 3, 6)
    cos, sin = np.cos(draw("angles", F, 4)), np.sin(draw("angles", F, 4))
    bias = draw("bias", 1, 2, F, F)
    held = values(cell)
    h = channel_norm(x.astype(np.float64), held["norm.gamma"])
    q, k, v = heads_of(projected(time_shifted(h) if shift else h, held["to_qkv.weight"]), 2)
    # (R, N, D, P) -> (B, P, N, F, D)
    q, k, v = (a.reshape(B, F, 2, 8, H * W).transpose(0, 4, 2, 1, 3) for a in (q, k, v))

    def turned(a):
        pairs = a.reshape(*a.shape[:-1], 4, 2)
        first, second = pairs[..., 0], pairs[..., 1]
        both = np.stack([first * cos - second * sin, first * sin + second * cos], -1)
        return both.reshape(a.shape)

    k_mem, v_mem = (a[:, None] for a in memory_kv(held, memory, 2))
    own = turned(q) @ turned(k).swapaxes(-1, -2) * 8**-0.5 + bias[:, None]
    asked = q @ k_mem.swapaxes(-1, -2) * 8**-0.5
    weights = softmax(np.concatenate([own, asked], -1), -1)
    out = weights[..., :F] @ v + weights[..., F:] @ v_mem
    out = out.transpose(0, 3, 2, 4, 1).reshape(B * F, 16, H, W)
    want = projected(out, held["to_out.weight"]) + x
    got = cell(*(Tensor(a.astype(np.float32)) for a in (x, cos, sin, bias, memory))).asnumpy()
    np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())


def inputs(spec):
    """x, t, cond, null mask, focus mask, label."""
    cond = Tensor(draw("cond", B, 6)) if spec.cond_dim else None
    null = Tensor(np.array([False, True])) if spec.cond_dim else None
    label = (Tensor(np.array([1, -1], np.int32)),) if spec.classes else ()
    x, t = Tensor(draw("video", B, 3, F, H, W)), Tensor(np.array([3, 700], np.int32))
    return (x, t, cond, null, Tensor(np.array([False, True])), *label)


def test_off_by_default_it_is_the_originals_network():
    spec = Unet3DSpec(**TINY)
    assert not spec.extended and type(build(spec)) is Unet3D
    assert {e.source for e in names(spec)}.isdisjoint({"class_emb.weight"})
    assert VdmModel(dim=8, dim_mults=[1, 2]).spec() == Unet3DSpec(dim=8, dim_mults=(1, 2))


def test_with_every_field_off_the_extended_cell_computes_the_same():
    spec = Unet3DSpec(**TINY, cond_dim=6)
    plain, extended = filled(Unet3D(spec)), filled(ExtendedUnet3D(spec))
    np.testing.assert_array_equal(plain(*inputs(spec)).asnumpy(), extended(*inputs(spec)).asnumpy())


@pytest.mark.parametrize("fields", FIELDS[1:])
def test_every_parameter_has_a_finite_gradient_and_most_a_use(fields):
    spec = Unet3DSpec(**TINY, **fields)
    cell = filled(build(spec)).set_train()
    given = inputs(spec)
    trained = cell.trainable_params()

    def loss():
        return ops.square(cell(*given)).mean()

    gradients = ms.value_and_grad(loss, None, trained)()[1]
    found = {p.name: g.asnumpy() for p, g in zip(trained, gradients, strict=True)}
    assert all(np.isfinite(g).all() for g in found.values())
    new = [n for n in found if "memory" in n or "class_" in n or "frame_embedding" in n]
    assert bool(new) == bool(spec.classes or spec.text_memory or spec.frame_numbers)
    assert all(np.abs(found[n]).max() > 0 for n in new)


@pytest.mark.parametrize("fields", FIELDS[1:])
def test_each_field_changes_what_is_computed(fields):
    usual = {k: v for k, v in fields.items() if k in ("cond_dim", "use_sparse_linear_attn")}
    with_, without = Unet3DSpec(**TINY, **fields), Unet3DSpec(**TINY, **usual)
    a, b = (filled(build(spec))(*inputs(spec)).asnumpy() for spec in (with_, without))
    assert np.abs(a - b).max() > 1e-3 * np.abs(b).max()


def test_a_frames_number_is_added_behind_the_first_convolution():
    """Sines and cosines of 0, 1, 2 at the timestep's frequencies, through one linear layer."""
    cell = filled(build(Unet3DSpec(**TINY, frame_numbers=True)))
    x = draw("features", B * F, 8, H, W)
    angles = np.arange(F)[:, None] * 10000.0 ** (-np.arange(4) / 3)
    places = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    layer = cell.frame_embedding
    number = places @ layer.weight.asnumpy().T + layer.bias.asnumpy()
    want = x + np.tile(number, (B, 1))[:, :, None, None]
    np.testing.assert_allclose(cell._numbered(Tensor(x), F).asnumpy(), want, atol=1e-5)


def test_a_network_that_is_told_them_starts_from_one_that_is_not(tmp_path):
    keys = {
        "model.family": "vdm",
        "model.dim": 8,
        "model.dim_mults": [1, 2],
        "data.size": [16, 16],
        "data.frames": 3,
    }
    words = [f"{key}={value}" for key, value in keys.items()]
    plain = load(None, words, TrainConfig)
    before = build_task(plain.values, build_source(plain.values.data, 0)).network
    held = {p.name: p.asnumpy() for p in before.get_parameters()}
    write_safetensors(
        tmp_path / "plain.safetensors",
        held,
        {"mindlong_model": json.dumps(section(plain.values.model.spec()))},
    )
    start = [f"train.start={tmp_path / 'plain.safetensors'}", "model.frame_numbers=true"]
    told = load(None, [*words, *start], TrainConfig)
    network = build_task(told.values, build_source(told.values.data, 0)).network
    found = {p.name: p.asnumpy() for p in network.get_parameters()}
    assert found.keys() - held.keys() == {
        "unet.frame_embedding.weight",
        "unet.frame_embedding.bias",
    }
    assert all(np.array_equal(found[name], held[name]) for name in held)


def test_a_class_moves_its_own_video_only():
    spec = Unet3DSpec(**TINY, classes=3)
    cell, (x, t, *_) = filled(build(spec)), inputs(spec)

    def at(*labels):
        return cell(x, t, None, None, None, Tensor(np.array(labels, np.int32))).asnumpy()

    assert np.array_equal(at(0, 1)[1], at(2, 1)[1]) and not np.array_equal(at(0, 1)[0], at(2, 1)[0])
    assert np.array_equal(at(-1, -1), cell(x, t).asnumpy())


def test_guidance_leads_away_from_no_class_at_all():
    spec = Unet3DSpec(**TINY, classes=3)
    cell, (x, t, *_) = filled(build(spec)), inputs(spec)
    label = Tensor(np.array([0, 2], np.int32))
    with_, without = (cell(x, t, None, None, None, one).asnumpy() for one in (label, label * 0 - 1))
    got = GuidedUnet3D(cell, 3.0)(x, t, None, None, label).asnumpy()
    np.testing.assert_allclose(got, without + 3 * (with_ - without), atol=1e-4)


@pytest.mark.parametrize("fields", FIELDS)
def test_names_and_sizes_go_both_ways(fields, tmp_path):
    spec = Unet3DSpec(**TINY, **fields)
    cell = build(spec)
    entries = names(spec)
    assert {p.name: p.shape for p in cell.get_parameters()} == {
        e.ours: e.our_shape for e in entries
    }
    state = {s: draw(s, *e.source_shape) for e in entries for s in (e.source,)}
    freqs = next(e for e in entries if e.ours == "rotary.freqs")
    state |= dict.fromkeys(freqs.ties, state[freqs.source])
    write_safetensors(tmp_path / "a.safetensors", state)
    assert (
        convert(
            ["--src", str(tmp_path / "a.safetensors"), "--dst", str(tmp_path / "b.safetensors")]
        )
        == 0
    )
    assert spec_of(table.get("vdm").section(spec)) == spec
    arguments = ["--src", str(tmp_path / "b.safetensors"), "--dst", str(tmp_path / "c.pt")]
    assert convert([*arguments, "--form", "network"]) == 0
    again = open_weights(tmp_path / "c.pt")
    assert set(again) == set(state)
    assert all(np.array_equal(again.read(name), array) for name, array in state.items())


@pytest.mark.parametrize(
    ("caption", "place"),
    [
        ("a red circle moving left", 0),
        ("Square!", 2),
        ("a Red Circle", 0),
        ("circles", NONE),
        ("", NONE),
        ("a square and a circle", 1),
    ],
)
def test_a_caption_names_a_class_by_whole_words(caption, place):
    assert class_of(caption, ["red circle", "circle", "square"]) == place


def test_conditions_are_text_then_class_and_dropped_together():
    spec = Unet3DSpec(**TINY, cond_dim=6, classes=2)
    text = TextSpec("caption", width=8, layers=0, heads=2, length=8)
    network = ConditionedUnet3D(spec, text, ("circle", "square"))
    initialise(network, 0)
    ids, dropped, label = network.conditions(["a circle", "a square"], np.array([False, True]))
    assert ids.shape == (2, 8) and dropped.tolist() == [False, True]
    assert label.tolist() == [0, NONE] and label.dtype == np.int32
    x, t, *_ = inputs(spec)
    tensors = [Tensor(a) for a in (ids, dropped, label)]
    focus = Tensor(np.array([True, False]))
    out = network(x, t, *tensors).asnumpy()
    focused = FocusedUnet3D(network)(x, t, focus, *tensors).asnumpy()
    assert np.isfinite(out).all() and np.array_equal(out[1], focused[1])
    assert not np.array_equal(out[0], focused[0])


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ({"token_shift": "time"}, {"shift_time": True}),
        ({"token_shift": "space"}, {"shift_space": True}),
        ({"token_shift": "time_space"}, {"shift_time": True, "shift_space": True}),
        ({"classes": ["a", "b"]}, {"classes": 2}),
        ({"frame_numbers": True}, {"frame_numbers": True}),
        ({"cond_dim": 6, "text": {"encoder": "embedding", "memory": 4}}, {"text_memory": 4}),
    ],
)
def test_each_is_reached_by_a_key(keys, fields):
    spec = spec_of({"family": "vdm", "dim": 8, **keys})
    assert all(getattr(spec, name) == value for name, value in fields.items())


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"classes": ["a", "A"]}, "model.classes is"),
        ({"text": {"encoder": "bert"}, "cond_dim": 8}, "model.text.weights is empty"),
        ({"text": {"encoder": "bert", "weights": "x"}}, "the condition needs a width"),
        ({"text": {"encoder": "brt", "weights": "x"}, "cond_dim": 8}, "Did you mean 'bert'"),
        ({"token_shift": "tme"}, "Did you mean 'time'"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, sentence):
    from mindlong.utils.errors import ConfigError

    with pytest.raises(ConfigError, match=sentence):
        spec_of({"family": "vdm", "dim": 8, **keys})
