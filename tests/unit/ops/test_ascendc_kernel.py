"""The 910A attention kernels, forward and backward, on the twin: numbers against float64 while
hazards and bounds are watched.
"""

import ascendc_inputs as inputs
import ascendc_oracle as oracle
import numpy as np
import pytest
from ascendc_inputs import ADVERSARIAL

from mindlong.ops.ascendc import emulate, layout
from mindlong.ops.ascendc.layout import control, from_tails
from mindlong.ops.attention.visible import FAR, Visible

SHAPES = [  # rows, queries, keys, width
    (1, 128, 128, 64),
    (2, 200, 300, 64),
    (1, 700, 77, 64),
    (3, 5, 3, 16),
    (2, 300, 77, 48),
    (1, 7, 1, 64),
    (1, 1, 500, 32),
    (1, 300, 140, 80),
    (1, 130, 260, 96),
    (1, 150, 300, 112),
    (1, 260, 140, 128),
    (1, 140, 200, 144),
    (1, 256, 384, 160),
]
MASKS = {  # rows, heads, queries, keys, width, visible
    "keys": (4, 2, 96, 200, 64, Visible(key_counts=(7, 130))),
    "one key of many": (2, 1, 40, 300, 32, Visible(key_counts=(1, 300))),
    "window of frames": (2, 2, 384, 384, 64, Visible(back=1, ahead=0, unit=48)),
    "window of tokens": (1, 1, 400, 400, 32, Visible(back=3, ahead=2)),
    "causal": (1, 1, 300, 300, 32, Visible(back=FAR, ahead=0)),
    "window, keys and unequal lengths": (2, 1, 300, 260, 80, Visible((200, 37), 3, 3, 20)),
    "window on wide heads": (1, 1, 200, 200, 160, Visible(back=0, ahead=1, unit=50)),
    "queries without any key": (2, 1, 200, 200, 64, Visible((40, 200), 1, 1, 10)),
}


def both(q, k, v, do, scale, heads=1, visible=None, **how):
    o, logsum, _ = emulate.forward(q, k, v, scale, heads, visible, **how)
    g = emulate.backward(q, k, v, o, logsum, do, scale, heads, visible, **how)
    return o, from_tails(logsum, q.shape[1]), g.dq, g.dk, g.dv


def compare(got, want, blind=None, names=("o", "log-sum", "dq", "dk", "dv")):
    for name, a, b in zip(names, got, want, strict=True):
        if name == "log-sum" and blind is not None:
            a, b = np.where(blind, 0, a), np.where(blind, 0, b)
        allowed = 2e-3 * max(1.0, np.abs(b).max())
        assert np.abs(a - b).max() < allowed, (
            f"{name}: {np.abs(a - b).max():.1e} of {np.abs(b).max():.1e}"
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_equal_float64(shape):
    q, k, v, do = oracle.draw(*shape)
    scale = shape[-1] ** -0.5
    compare(both(q, k, v, do, scale), oracle.attention(q, k, v, scale, do=do))


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("name", MASKS)
def test_masks_of_the_policies(name, size):
    """With size 6 the tiles that a row sees differ by much more than a reference's slack."""
    rows, heads, queries, keys, width, visible = MASKS[name]
    q, k, v, do = oracle.draw(rows, queries, keys, width, seed=1, size=size)
    seen = oracle.seen(visible, rows, heads, queries, keys)
    got = both(q, k, v, do, width**-0.5, heads, visible)
    rounded = (q.astype(np.float32) * width**-0.5).astype(np.float16)
    o, lse, dq, dk, dv = oracle.attention(rounded, k, v, 1.0, seen, do)
    compare(got, (o, lse, dq * width**-0.5, dk, dv), blind=~seen.any(-1))


@pytest.mark.parametrize("overflow", emulate.OVERFLOW)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_inputs(name, overflow):
    q, k, v, do = ADVERSARIAL[name]()
    scale = q.shape[-1] ** -0.5
    want = oracle.attention(q, k, v, scale, do=do)
    got = both(q, k, v, do, scale, overflow=overflow)
    # What enters the chip is q * scale rounded to half, so scores of 1e4 are known to a few units
    # only: the oracle gets the same.
    rounded = oracle.attention((q.astype(np.float32) * scale).astype(np.float16), k, v, 1.0, do=do)
    large = "1e" in name or "scores" in name
    want = (*rounded[:2], rounded[2] * scale, *rounded[3:]) if large else want
    for label, a, b in zip(("o", "log-sum", "dq", "dk", "dv"), got, want, strict=True):
        assert np.isfinite(a).all(), label
        error, largest = np.abs(a - b).max(), max(1.0, np.abs(b).max())
        allowed = 3e-3 + 3e-7 * largest if label == "log-sum" else 3e-3 * largest
        assert error < allowed, f"{label}: {error:.1e} of {largest:.1e}"


@pytest.mark.parametrize("overflow", emulate.OVERFLOW)
def test_near_ties_of_scores_of_1e5_are_as_right_as_a_float_lets_them(overflow):
    """A float of 1e5 is known to 0.008, and so are the scores: the weights to 1 %."""
    rng = np.random.default_rng(14)
    q = np.full((1, 130, 64), 40, np.float16)
    k = (40 + 0.02 * rng.standard_normal((1, 256, 64))).astype(np.float16)
    v, do = (rng.standard_normal((1, n, 64)).astype(np.float16) for n in (256, 130))
    got, want = both(q, k, v, do, 1.0, overflow=overflow), oracle.attention(q, k, v, 1.0, do=do)
    for a, b, allowed in zip(got, want, (1e-2, 1e-2, 1.0, 5e-3, 1e-2), strict=True):
        assert np.isfinite(a).all()
        assert np.abs(a - b).max() < allowed * np.abs(b).max()


@pytest.mark.parametrize("overflow", emulate.OVERFLOW)
@pytest.mark.parametrize("width", [64, 128])
def test_scores_beyond_a_reference_are_refused_and_not_wrong(overflow, width):
    """Past 3.3e7 the tile of queries, and the gradients it enters, are not numbers, however the
    chip overflows; the others are right.
    """
    q, k, v, do = inputs.beyond(width)
    o, lse, dq, dk, dv = both(q, k, v, do, width**-0.5, overflow=overflow)
    want = oracle.attention(q, k, v, width**-0.5, do=do)
    for a, b in ((o, want[0]), (lse, want[1]), (dq, want[2])):
        assert np.isnan(a[0, 128:256]).all()
        for rows in (a[1] - b[1], (a - b)[0, 256:] / max(1, np.abs(b[0]).max())):
            assert np.abs(rows).max() < 3e-3
    for a, b in ((dk, want[3]), (dv, want[4])):
        assert np.isnan(a[0]).all() and np.abs(a[1] - b[1]).max() < 3e-3


@pytest.mark.parametrize("overflow", emulate.OVERFLOW[:2])
def test_a_query_that_is_not_a_number_refuses_its_tile_and_no_other(overflow):
    q, k, v, do = oracle.draw(1, 300, 140, 64, seed=17)
    q[0, 130, 5] = np.nan
    want = oracle.attention(q, k, v, 0.125, do=do)
    o, lse, dq, dk, dv = both(q, k, v, do, 0.125, overflow=overflow)
    for a, b in ((o, want[0]), (lse, want[1]), (dq, want[2])):
        assert np.isnan(a[0, 128:256]).all()
        for rows in (slice(0, 128), slice(256, 300)):
            assert np.abs(a[0, rows] - b[0, rows]).max() < 3e-3
    assert np.isnan(dk).all() and np.isnan(dv).all()


@pytest.mark.parametrize("overflow", emulate.OVERFLOW)
def test_windows_over_scores_below_the_halves(overflow):
    """A visible score counts although it is as far below the first reference as a masked one."""
    q, k, v, do = inputs.below(40960)
    visible = Visible(back=1, ahead=0, unit=20)
    seen = oracle.seen(visible, 1, 1, 140, 140)
    rounded = (q.astype(np.float32) * 0.25).astype(np.float16)
    o, lse, dq, dk, dv = oracle.attention(rounded, k, v, 1.0, seen, do)
    got = both(q, k, v, do, 0.25, 1, visible, overflow=overflow)
    for a, b in zip(got, (o, lse, dq * 0.25, dk, dv), strict=True):
        assert np.abs(a - b).max() < 3e-3 * max(1.0, np.abs(b).max())


def test_a_gradient_that_a_half_does_not_hold_overflows_as_the_chip_does():
    q, k, v, do = inputs.large(values=800, gradient=8000)
    found = [both(q, k, v, do, 0.125, overflow=how)[2] for how in emulate.OVERFLOW]
    assert np.isinf(found[0]).any() and np.abs(found[1]).max() == 65504
    np.testing.assert_array_equal(found[1], found[2])
    np.testing.assert_array_equal(np.clip(found[0], -65504, 65504), found[1])


@pytest.mark.parametrize(
    ("value", "gradient", "powers"), [(1, 1, 0), (8, 63, 0), (8, 64, 1), (80, 80, 4)]
)
def test_a_gradient_is_divided_no_more_than_its_products_need(value, gradient, powers):
    v, do = np.full((1, 3, 64), value, np.float16), np.full((1, 2, 64), -gradient, np.float16)
    assert layout.powers(v, do) == powers
    assert 2 * 64 * value * gradient / 2**powers <= layout.LARGEST_HALF * (powers or 2)


def test_the_result_does_not_depend_on_the_number_of_cores():
    q, k, v, do = oracle.draw(3, 300, 200, 64, seed=8)
    one, many = both(q, k, v, do, 0.125, cores=1), both(q, k, v, do, 0.125, cores=7)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_shifted_loss_scale_shifts_the_gradients():
    q, k, v, do = oracle.draw(1, 140, 140, 64, seed=9)
    small = both(q, k, v, (do * np.float16(2**-4)).astype(np.float16), 0.125)
    large = both(q, k, v, (do * np.float16(2**4)).astype(np.float16), 0.125)
    for a, b in zip(small[2:], large[2:], strict=True):
        np.testing.assert_allclose(a.astype(np.float64) * 2**8, b, atol=2e-3 * np.abs(b).max())


@pytest.mark.parametrize("array", range(6))
def test_a_tensor_that_is_too_small_is_seen(array):
    """The twin knows where every tensor ends: a shape that is larger than its arrays is an error,
    not a wrong number.
    """
    q, k, v, _ = oracle.draw(1, 128, 128, 32)
    o, tails = np.empty_like(q), np.empty((1, 1, 128, 16), np.float16)
    arrays = [q, k, v, control(1, 1, 128, 1.0), o, tails]
    limits = [a.nbytes for a in arrays]
    limits[array] -= 32
    with pytest.raises(emulate.TwinError, match="outside|past"):
        emulate.run(0, (1, 128, 128, 32), arrays, limits=limits)


def test_the_cube_bounds_or_nearly_bounds_heads_of_64():
    """At least 60 % of the cube's peak by the pipes' busy times, forward and backward, at the
    platform file's rates.
    """
    q, k, v, do = oracle.draw(1, 512, 2048, 64)
    o, logsum, report = emulate.forward(q, k, v, 0.125, cores=1, watch=False)
    products = 512 * 2048 * 64
    assert report.of_peak(2 * products) >= 0.6, report
    queries, keys = emulate.backward(q, k, v, o, logsum, do, 0.125, cores=1, watch=False).reports
    assert queries.of_peak(3 * products) >= 0.6, queries
    assert keys.of_peak(4 * products) >= 0.6, keys
