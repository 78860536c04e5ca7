"""What Unet3D promises beyond equality with the original: its bugs mended, its errors plain, its
start reproducible.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindlong.config.train_options import TrainOptions
from mindlong.networks.init import initialise
from mindlong.networks.unet3d.cell import Unet3D
from mindlong.networks.unet3d.extended_unet_cell import GuidedUnet3D
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.positions import relative_buckets
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.training.prepare import prepare

SMALL = {"dim": 8, "dim_mults": (1, 2), "attn_heads": 2, "attn_dim_head": 16}
SHAPE = (2, 3, 4, 8, 8)


@pytest.fixture(autouse=True)
def pynative():
    """Nothing here is worth a compilation."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def built(**fields):
    return initialise(Unet3D(Unet3DSpec(**SMALL | fields)), seed=3)


def video(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def run(net, x, *more):
    t = Tensor(np.array([500, 20][: len(x)], np.int32))
    return net(Tensor(x), t, *(None if m is None else Tensor(m) for m in more)).asnumpy()


def seen_by_other_frames(net, focus):
    """How much the frames of each video change when its frame 2 does."""
    x = video()
    changed = x.copy()
    changed[:, :, 2] += 1.0
    mask = np.array(focus)
    difference = np.abs(run(net, x, None, None, mask) - run(net, changed, None, None, mask))
    return difference[:, :, [0, 1, 3]].max((1, 2, 3, 4))


def test_focused_videos_leak_nothing_between_frames():
    focused, free = seen_by_other_frames(built(), [True, False])
    assert focused == 0 and free > 1e-3


def test_compatible_network_leaks_as_the_original_does():
    assert seen_by_other_frames(built(compat=True), [True, True]).min() > 1e-3


def test_first_width_may_differ_from_dim():
    assert run(built(init_dim=12), video()).shape == SHAPE


def test_parameters_are_those_of_the_names():
    for fields in (
        {},
        {"cond_dim": 5, "init_dim": 12},
        {"use_sparse_linear_attn": False, "block_norm": "group"},
    ):
        spec = Unet3DSpec(**SMALL | fields)
        assert {p.name: p.shape for p in Unet3D(spec).get_parameters()} == {
            e.ours: e.our_shape for e in names(spec)
        }


def test_frequencies_are_frozen():
    assert "rotary.freqs" not in {p.name for p in built().trainable_params()}


def test_nothing_leaks_from_rows_that_the_null_condition_replaces():
    net, mask = built(cond_dim=5), np.array([True, False])
    cond = np.ones((2, 5), np.float32)
    hidden = cond.copy()
    hidden[0] = np.nan
    np.testing.assert_array_equal(run(net, video(), hidden, mask), run(net, video(), cond, mask))


def test_null_condition_is_trained_where_it_is_used():
    net = built(cond_dim=5)
    x, t, cond = (
        Tensor(video()),
        Tensor(np.array([5, 6], np.int32)),
        Tensor(np.ones((2, 5), np.float32)),
    )

    def loss(mask):
        return (net(x, t, cond, mask) ** 2).sum()

    gradient = ms.value_and_grad(loss, None, [net.null_cond_emb])
    assert np.abs(gradient(Tensor([True, False]))[1][0].asnumpy()).max() > 0
    assert np.abs(gradient(Tensor([False, False]))[1][0].asnumpy()).max() == 0


def test_guidance_of_scale_zero_is_the_null_condition_and_one_is_the_condition():
    net, cond = built(cond_dim=5), np.ones((2, 5), np.float32)
    null = run(net, video(), cond, np.array([True, True]))
    np.testing.assert_allclose(run(GuidedUnet3D(net, 0.0), video(), cond), null, atol=1e-6)
    np.testing.assert_array_equal(
        run(GuidedUnet3D(net, 1.0), video(), cond), run(net, video(), cond)
    )


def test_missing_and_unexpected_conditions_are_told():
    with pytest.raises(ValueError, match="it needs cond"):
        run(built(cond_dim=5), video())
    with pytest.raises(ValueError, match="the network is unconditional"):
        run(built(), video(), np.ones((2, 5), np.float32))


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_size_that_does_not_divide_is_one_sentence(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(
        tmp_path
    )  # a graph that fails to compile leaves its dump in the current folder
    ms.set_context(mode=mode)
    with pytest.raises(ValueError, match="8 x 9 pixels; height and width must be multiples of 2"):
        run(built(), video((2, 3, 4, 8, 9)))


def test_first_values_depend_on_seed_and_name_only():
    one, same, other = built(), built(cond_dim=5), initialise(Unet3D(Unet3DSpec(**SMALL)), seed=4)
    at = {p.name: p.asnumpy() for p in same.get_parameters()}
    for p in one.get_parameters():
        if "time_proj" not in p.name:  # its width depends on the condition
            np.testing.assert_array_equal(p.asnumpy(), at[p.name], err_msg=p.name)
    assert not np.array_equal(one.init_conv.weight.asnumpy(), other.init_conv.weight.asnumpy())


def test_first_values_follow_torchs_rules():
    net = built()
    bound = 1 / np.sqrt(3 * 49)
    weight = net.init_conv.weight.asnumpy()
    assert 0.9 * bound < np.abs(weight).max() <= bound
    assert abs(net.time_bias.weight.asnumpy().std() - 1) < 0.3
    assert not any(np.abs(p.asnumpy()).max() == 0 for p in net.get_parameters())


def test_buckets_at_the_edges_where_a_float32_logarithm_errs():
    row = relative_buckets(40)[0]
    assert row[[8, 9, 10, 12, 14, 15, 16, 19, 20, 22, 23, 26, 27, 39]].tolist() == [
        24,
        24,
        25,
        26,
        27,
        27,
        28,
        28,
        29,
        29,
        30,
        30,
        31,
        31,
    ]
    assert relative_buckets(40)[39, 23] == 12 and 16 not in relative_buckets(40)
    assert [relative_buckets(65, 32, 128)[64, 64 - n] for n in (16, 32, 64)] == [10, 12, 14]


@pytest.mark.parametrize("mode", ["pynative", pytest.param("graph", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fields", [{}, {"cond_dim": 5}])
def test_half_precision_stays_near(fields, mode):
    """Angles, biases, norms and softmaxes stay float32; the rest may be half as wide."""
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    more = (np.ones((2, 5), np.float32), np.array([True, False])) if fields else ()
    whole = run(built(**fields), video(), *more)
    net = built(**fields)
    prepare(net, TrainOptions(precision="fp16"))
    half = run(net, video(), *more)
    assert half.dtype == np.float32  # the prediction, whatever computed it
    assert np.abs(half - whole).max() < 0.01 * np.abs(whole).max()
