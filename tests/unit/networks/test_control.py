"""The zero-convolution branch: it changes nothing until it is trained, nothing where nothing is
known, and fits every family.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.control import AsCodedUNet, ControlledUNet
from mindlong.networks.unet.control_spec import (
    AS_CODED,
    ControlSpec,
    condition,
    from_original,
    names,
    original_shapes,
    parameter_count,
    to_original,
    unit_of_block,
    units,
)
from mindlong.networks.unet.families import family
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

MODE = "pynative"

TINY = {"channels": (8, 16), "layers": 1, "attends": (True, False), "groups": 4, "context_dim": 12}
NUWA = ControlSpec(hidden=6, depths=3, fill="blend", told="place")


def spec_of(name="modelscope", **more):
    heads = (
        {"head_dim": None, "heads": 2}
        if name in ("tune_a_video", "pseudo3d", "stable_diffusion")
        else {"head_dim": 4}
    )
    return family(name).spec(**{**TINY, **heads, "zero": (), **more})


def built(spec, control, seed=3):
    return initialise(ControlledUNet(spec, control), seed).set_train(False)


def randomised(net, seed=5):
    for p in net.get_parameters():
        if p.name.startswith("control."):
            p.set_data(Tensor(rng.normal(p.shape, seed, "weight", p.name) * np.float32(0.2)))
    return net


def given(spec, batch=2, frames=4, size=(5, 6), known=(0, 3), control=NUWA):
    x = rng.normal((batch, spec.in_channels, frames, *size), 1, "x")
    mask = np.zeros((batch, frames), bool)
    mask[:, list(known)] = True
    cond, told = condition(rng.normal(x.shape, 1, "clean"), mask, control)
    context = rng.normal((batch, 5, spec.context_dim), 1, "context")
    fps = Tensor(np.full(batch, 8, np.int32)) if "fps" in spec.conditions else None
    plain = (Tensor(x), Tensor(np.array([999, 37, 2][:batch], np.int32)), Tensor(context), fps)
    return plain, (
        Tensor(cond),
        Tensor(told),
        *((Tensor(np.arange(batch, dtype=np.int32)),) if control.depths else ()),
    )


FORMS = {
    "direct": ControlSpec(hidden=0),
    "cascade": NUWA,
    "per_layer": ControlSpec(hidden=0, per_layer=True),
}


@pytest.mark.parametrize(
    ("form", "size"),
    [
        pytest.param("direct", (5, 6), marks=pytest.mark.slow),
        ("cascade", (4, 4)),
        pytest.param("per_layer", (5, 6), marks=pytest.mark.slow),
    ],
)
def test_a_fresh_branch_is_the_identity_to_the_last_bit(form, size):
    spec, control = spec_of(), FORMS[form]
    plain, told = given(spec, size=size, control=control)
    base = initialise(UNet(spec), 3).set_train(False)
    net = built(spec, control)
    want = base(*plain[:3]).asnumpy()
    assert np.array_equal(net(*plain, *told).asnumpy(), want)
    assert np.array_equal(net(*plain).asnumpy(), want)


@pytest.mark.slow
def test_without_a_condition_a_trained_branch_is_the_base_to_the_last_bit():
    spec = spec_of()
    plain, told = given(spec)
    want = initialise(UNet(spec), 3).set_train(False)(*plain[:3]).asnumpy()
    net = randomised(built(spec, NUWA))
    assert np.array_equal(net(*plain).asnumpy(), want)
    assert np.abs(net(*plain, *told).asnumpy() - want).max() > 1e-3


def test_rows_with_nothing_known_are_the_base_in_a_mixed_batch():
    spec = spec_of()
    net = randomised(built(spec, NUWA))
    (x, t, context, _), _ = given(spec)
    known = np.array([[False] * 4, [True, False, False, True]])
    cond, mask = condition(rng.normal(x.shape, 1, "clean"), known, NUWA)
    mixed = net(
        x, t, context, None, Tensor(cond), Tensor(mask), Tensor(np.array([0, 2], np.int32))
    ).asnumpy()
    alone = net(x, t, context).asnumpy()
    assert np.array_equal(mixed[0], alone[0]) and np.abs(mixed[1] - alone[1]).max() > 1e-3


@pytest.mark.slow
def test_rows_of_a_batch_do_not_see_each_other():
    spec = spec_of()
    net = randomised(built(spec, NUWA))
    (x, t, context, _), (cond, mask, depth) = given(spec)
    both = net(x, t, context, None, cond, mask, depth).asnumpy()
    single = net(x[1:], t[1:], context[1:], None, cond[1:], mask[1:], depth[1:]).asnumpy()
    assert np.abs(both[1:] - single).max() < 5e-6


SLOW = ("tune_a_video", "stable_diffusion")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) for n in ("videocrafter2", "pseudo3d", *SLOW)]
)
def test_every_latent_family_takes_a_branch(name):
    spec = spec_of(name)
    plain, told = given(spec, control=ControlSpec(hidden=4))
    net = built(spec, ControlSpec(hidden=4))
    want = net(*plain).asnumpy()
    assert np.array_equal(net(*plain, *told).asnumpy(), want)
    assert np.abs(randomised(net)(*plain, *told).asnumpy() - want).max() > 1e-3


@pytest.mark.parametrize("control", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "sizes", [{}, {"channels": (8, 8, 16), "layers": 2, "attends": (True, True, False)}]
)
def test_names_and_shapes_are_the_parameters(control, sizes):
    spec = spec_of(**sizes)
    net = ControlledUNet(spec, control)
    ours = {p.name: p.shape for p in net.get_parameters() if p.name.startswith("control.")}
    assert ours == {e.ours: e.our_shape for e in names(spec, control)}
    assert parameter_count(spec, control) == sum(int(np.prod(s)) for s in ours.values())
    assert {p.name for p in net.get_parameters()} - set(ours) == {
        p.name for p in UNet(spec).get_parameters()
    }


@pytest.mark.slow
def test_a_prompt_for_each_frame():
    spec = spec_of()
    net = randomised(built(spec, NUWA))
    (x, t, context, _), told = given(spec)
    one = net(x, t, context, None, *told).asnumpy()
    same = ops.broadcast_to(context.expand_dims(1), (2, 4, 5, 12))
    assert np.abs(net(x, t, same, None, *told).asnumpy() - one).max() < 1e-5


class Loss(ms.nn.Cell):
    def __init__(self, net, probe):
        super().__init__()
        self.net, self.probe = net, Tensor(probe)

    def construct(self, *inputs):
        return (self.net(*inputs) * self.probe).sum()


def gradients(net, inputs, parameters):
    loss = Loss(net, rng.normal((2, 4, 4, 5, 6), 1, "probe"))
    found = ms.value_and_grad(loss, None, ms.ParameterTuple(parameters))(*inputs)
    return float(found[0].asnumpy()), [g.asnumpy() for g in found[1]]


@pytest.mark.slow
def test_every_zero_convolution_learns_from_the_first_step():
    spec = spec_of()
    net = built(spec, FORMS["direct"])
    plain, told = given(spec, control=FORMS["direct"])
    chosen = [p for p in net.get_parameters() if p.name.startswith("control.")]
    _, found = gradients(net, (*plain, *told), chosen)
    idle = [p.name for p, g in zip(chosen, found, strict=True) if not np.abs(g).max() > 0]
    assert not idle


@pytest.mark.slow
def test_computing_again_in_the_backward_pass_changes_nothing():
    ms.set_context(mode=ms.GRAPH_MODE)  # only graphs compute cells of several inputs again
    spec, results = spec_of(), []
    for again in (False, True):
        net = randomised(built(spec, NUWA))
        plain, told = given(spec)
        if again:
            for cells in (net.down, net.mid, net.up):
                for cell in cells:
                    cell.recompute()
        results.append(
            gradients(
                net, (*plain, *told), [p for p in net.get_parameters() if "control." in p.name]
            )
        )
    (first, one), (second, two) = results
    assert abs(first - second) <= 1e-6 * abs(first)
    assert all(
        np.abs(a - b).max() <= 1e-5 * max(np.abs(a).max(), 1e-3)
        for a, b in zip(one, two, strict=True)
    )


@pytest.mark.slow
def test_as_coded_depth_0_is_the_base_and_the_condition_is_the_noisy_video():
    spec = spec_of()
    (x, t, context, _), _ = given(spec)
    net = randomised(initialise(AsCodedUNet(spec), 3).set_train(False))
    base = initialise(UNet(spec), 3).set_train(False)
    assert np.array_equal(net(x, t, context, False).asnumpy(), base(x, t, context).asnumpy())
    twin = randomised(built(spec, ControlSpec(hidden=0)))
    mask = np.array([[[1, 0, 0, 1]]] * 2, np.float32)
    assert np.array_equal(
        net(x, t, context, True).asnumpy(), twin(x, t, context, None, x, Tensor(mask)).asnumpy()
    )


PUBLISHED = family("modelscope").spec()


def test_the_originals_160_tensors():
    shapes = original_shapes(PUBLISHED)
    assert len(shapes) == 160
    assert sum(int(np.prod(s)) for s in shapes.values()) == 1_169_736
    assert parameter_count(PUBLISHED, AS_CODED) == 661_760
    assert shapes["infinet.output_blocks_injections.11.conv_w.weight"] == (4, 4, 3, 3)
    assert shapes["infinet.input_blocks_injections.7.mask_conv_b.weight"] == (1280, 1, 3, 3)


def test_160_tensors_come_in_and_go_out_again():
    arrays = {n: rng.normal(s, 2, "infinet", n) for n, s in original_shapes(PUBLISHED).items()}
    ours, dead = from_original(PUBLISHED, arrays)
    assert len(ours) == 64 and len(dead) == 96
    back = to_original(PUBLISHED, ours)
    assert set(back) == set(arrays)
    assert all(np.array_equal(back[n], arrays[n]) for n in arrays if n not in dead)
    assert not any(back[n].any() for n in dead)


def test_a_missing_or_misshapen_tensor_is_named():
    arrays = {n: np.zeros(s, np.float32) for n, s in original_shapes(PUBLISHED).items()}
    with pytest.raises(ConfigError, match="input_blocks_injections.2.conv_w.weight is missing"):
        from_original(
            PUBLISHED,
            {
                n: a
                for n, a in arrays.items()
                if n != "infinet.input_blocks_injections.2.conv_w.weight"
            },
        )
    with pytest.raises(ConfigError, match="no tensor of the branch"):
        from_original(PUBLISHED, arrays | {"infinet.middle": np.zeros(1)})
    with pytest.raises(ConfigError, match="exists only for channels"):
        spec = spec_of(channels=(8, 16), layers=2)
        to_original(
            spec, {e.ours: np.zeros(e.our_shape, np.float32) for e in names(spec, AS_CODED)}
        )


def test_twenty_places_eight_units():
    down, up = unit_of_block(PUBLISHED, AS_CODED)
    assert [n for n in (*down, *up) if n >= 0] == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
        4,
        5,
        5,
        5,
        6,
        6,
        6,
        7,
        7,
        7,
    ]
    assert [(u.halvings, u.width) for u in units(PUBLISHED, AS_CODED)] == [
        (0, 320),
        (1, 640),
        (2, 1280),
        (3, 1280),
        (3, 1280),
        (2, 1280),
        (1, 640),
        (0, 320),
    ]
    layered = ControlSpec(hidden=0, per_layer=True)
    assert len(units(PUBLISHED, layered)) == 20
    assert [n for part in unit_of_block(PUBLISHED, layered) for n in part if n >= 0] == list(
        range(20)
    )


def test_what_the_branch_is_given():
    latents = np.arange(5, dtype=np.float32).reshape(1, 1, 5, 1, 1) * 10 + 1
    known = np.array([[True, False, False, False, True]])
    cond, mask = condition(latents, known, ControlSpec())
    assert cond.ravel().tolist() == [1, 0, 0, 0, 41] and mask.tolist() == [[[1, 0, 0, 0, 1]]]
    cond, mask = condition(latents, known, ControlSpec(fill="blend", told="place"))
    assert cond.ravel().tolist() == [1, 11, 21, 31, 41]
    assert mask[0].tolist() == [[1, 0, 0, 0, 1], [1, 0.75, 0.5, 0.25, 1], [0, 0.25, 0.5, 0.75, 0]]


@pytest.mark.parametrize(
    ("known", "want"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([1, 0, 0], [1, 1, 1]),
        ([0, 0, 1], [3, 3, 3]),
        ([0, 1, 0], [2, 2, 2]),
        ([1, 1, 1], [1, 2, 3]),
    ],
)
def test_one_sided_and_no_neighbours(known, want):
    latents = np.array([1, 2, 3], np.float32).reshape(1, 1, 3, 1, 1)
    cond, mask = condition(
        latents, np.array([known], bool), ControlSpec(fill="blend", told="place")
    )
    assert cond.ravel().tolist() == want
    assert (
        mask[0, 0].tolist() == known and np.isfinite(mask).all() and bool(mask.any()) == any(known)
    )


def test_bad_fields_are_named():
    with pytest.raises(ConfigError, match="control.fill is 'blended'.*'blend'"):
        ControlSpec(fill="blended")
    with pytest.raises(ConfigError, match="below 0"):
        ControlSpec(hidden=-1)
    with pytest.raises(ConfigError, match="as_coded has hidden 0"):
        ControlSpec(mode="as_coded")
