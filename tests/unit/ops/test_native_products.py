"""Linear layers and tiled convolutions in C++ equal float64, with the same bits for any number of
threads.
"""

import numpy as np
import pytest
from native_calls import call, library

from mindlong.utils.rng import normal


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return [library(folder, threads) for threads in (1, 2, 4)]


def arrays(*shapes):
    return [normal(shape, 5, "products", i) for i, shape in enumerate(shapes)]


def int64(values):
    return np.array(values, np.int64)


def run(lib, name, inputs, cfg, grad):
    """Output and gradients of an operator with a weight and a bias."""
    x, w, b = inputs
    more = [] if cfg is None else [cfg]
    out, grads = np.empty_like(grad), [np.empty_like(a) for a in inputs]
    assert call(lib, name, x, w, b, *more, out) == 0
    assert call(lib, name + "_bwd", x, w, grad, *more, *grads) == 0
    return [out, *grads]


def check(libraries, name, inputs, cfg, grad, expected):
    """Every number of threads gives the same bits, and they equal `expected` to `1e-5` of the
    largest value.
    """
    first, *others = [run(lib, name, inputs, cfg, grad) for lib in libraries]
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    for i, (a, b) in enumerate(zip(first, expected, strict=True)):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), f"array {i}"


@pytest.mark.parametrize(
    "rows, cin, cout", [(1, 16, 16), (77, 48, 208), (900, 160, 32), (1500, 16, 400)]
)
def test_linear_equals_float64(libraries, rows, cin, cout):
    inputs, (grad,) = arrays((rows, cin), (cout, cin), (cout,)), arrays((rows, cout))
    x, w, b, g = (a.astype(np.float64) for a in (*inputs, grad))
    check(libraries, "nk_linear", inputs, None, grad, [x @ w.T + b, g @ w, g.T @ x, g.sum(0)])


def convolved(x, w, b, g):
    """A 3 x k convolution with zeros around, of (R, C, H, W), and its gradients, in float64."""
    x, w, b, g = (a.astype(np.float64) for a in (x, w, b, g))
    side = w.shape[3] // 2
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (side, side)))
    out, dw, dpad = np.zeros(g.shape) + b[:, None, None], np.zeros(w.shape), np.zeros(padded.shape)
    for i in range(3):
        for j in range(w.shape[3]):
            part = np.s_[:, :, i : i + height, j : j + width]
            out += np.einsum("oc,rchw->rohw", w[:, :, i, j], padded[part])
            dw[:, :, i, j] = np.einsum("rohw,rchw->oc", g, padded[part])
            dpad[part] += np.einsum("oc,rohw->rchw", w[:, :, i, j], g)
    return [out, dpad[:, :, 1 : 1 + height, side : side + width], dw, g.sum((0, 2, 3))]


@pytest.mark.parametrize("height, width", [(2, 2), (5, 7), (8, 12), (12, 3), (3, 101), (17, 16)])
@pytest.mark.parametrize("taps", [3, 1])
def test_tiled_convolution_equals_float64(libraries, height, width, taps):
    inputs, (grad,) = (
        arrays((3, 16, height, width), (32, 16, 3, taps), (32,)),
        arrays((3, 32, height, width)),
    )
    pad = [1, taps // 2]
    check(libraries, "nk_conv", inputs, int64([1, 1, *pad, *pad]), grad, convolved(*inputs, grad))


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_convolution_over_folded_frames_equals_float64(libraries, frames):
    inputs, (grad,) = (
        arrays((2 * frames, 16, 3, 5), (16, 16, 3), (16,)),
        arrays((2 * frames, 16, 3, 5)),
    )
    x, w, b = inputs

    def unfolded(a):
        return a.reshape(2, frames, 16, 15).transpose(0, 2, 1, 3)

    def folded(a):
        return a.transpose(0, 2, 1, 3).reshape(2 * frames, 16, 3, 5)

    out, dx, dw, db = convolved(unfolded(x), w[..., None], b, unfolded(grad))
    check(
        libraries,
        "nk_frames_conv",
        inputs,
        int64([frames]),
        grad,
        [folded(out), folded(dx), dw[..., 0], db],
    )


def test_edges_of_length_zero_and_widths_that_do_not_fit_are_refused(libraries):
    for rows, cin, cout in ((0, 16, 16), (4, 0, 16), (4, 16, 0), (4, 7, 16)):
        x, w, b, y = (
            np.zeros(s, np.float32) for s in ((rows, cin), (cout, cin), (cout,), (rows, cout))
        )
        assert call(libraries[0], "nk_linear", x, w, b, y) != 0
    x, w, b = (np.zeros(s, np.float32) for s in ((6, 16, 3, 3), (16, 16, 3), (16,)))
    for frames in (0, 4, -1):
        assert call(libraries[0], "nk_frames_conv", x, w, b, int64([frames]), x.copy()) != 0
