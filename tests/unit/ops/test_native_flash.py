"""Flash attention on the CPU equals float64, forward and backward, whatever the shape, the mask and
the number of threads.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from native_calls import call, library
from weighted import Weighted

from mindlong.ops import attention, device
from mindlong.ops.attention import Attention, FrameAttention, TokenAttention
from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError
from mindlong.utils.rng import normal


@pytest.fixture(autouse=True)
def _automatic_operators():
    device.setup("CPU", "graph")
    yield
    device.configure("auto")
    attention.use("auto")


def arrays(*shapes):
    return [normal(shape, 3, "flash", i) for i, shape in enumerate(shapes)]


def dense(q, k, v, scale, mask, g):
    """Output and gradients in float64."""
    q, k, v, g = (a.astype(np.float64) for a in (q, k, v, g))
    scores = q @ k.swapaxes(-1, -2) * scale + mask
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = g @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    return p @ v, ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def close(found, expected, bound=5e-6):
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert np.abs(a - b).max() <= bound * max(np.abs(b).max(), 0.1), (
            f"array {i}: {np.abs(a - b).max()}"
        )


def band(back, ahead, unit, queries, keys):
    """The mask of a window of whole frames."""
    f, g = np.arange(queries)[:, None] // unit, np.arange(keys)[None] // unit
    return np.where((g >= f - back) & (g <= f + ahead), 0.0, -np.inf)


def run(lib, inputs, window=(0, 0, 0), bias=None):
    """Output and gradients by the operator itself."""
    q, k, v, g = inputs
    head = [
        q,
        k,
        v,
        np.zeros((1, 1), np.int32),
        np.array([q.shape[3] ** -0.5], np.float32),
        np.array([0, q.shape[1], 0, *window], np.int64),
    ]
    head, name = (head, "nk_flash") if bias is None else ([*head, bias], "nk_flash_bias")
    out, sums, grads = (
        np.empty_like(q),
        np.empty(q.shape[:3], np.float32),
        [np.empty_like(a) for a in (q, k, v)],
    )
    assert call(lib, name, *head, out, sums) == 0
    assert call(lib, name + "_bwd", *head, out, sums, g, *grads) == 0
    return [out, *grads]


def case(batch, heads, queries, keys, width):
    return arrays(
        (batch, heads, queries, width),
        (batch, heads, keys, width),
        (batch, heads, keys, width),
        (batch, heads, queries, width),
    )


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return [library(folder, threads) for threads in (1, 2, 3, 4)]


SHAPES = [
    (1, 2, 5, 5, 8),
    (2, 3, 100, 77, 40),
    (1, 1, 49, 257, 160),
    (3, 1, 1, 1, 16),
    (1, 2, 300, 17, 17),
    (2, 1, 47, 530, 80),
    (1, 5, 64, 64, 64),
    (1, 1, 97, 129, 33),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_float64_at_every_width_and_length(libraries, shape):
    inputs = case(*shape)
    close(run(libraries[1], inputs), dense(*inputs[:3], shape[4] ** -0.5, 0.0, inputs[3]))


@pytest.mark.parametrize("window", [(2, 1, 10), (1 << 20, 0, 1), (0, 0, 7), (1, 1, 100)])
def test_a_window_equals_the_mask_it_stands_for(libraries, window):
    inputs = case(1, 2, 330, 330, 24)
    expected = dense(*inputs[:3], 24**-0.5, band(*window, 330, 330), inputs[3])
    close(run(libraries[1], inputs, window), expected)


@pytest.mark.parametrize("form", [(1, 1, 1, 130), (2, 3, 70, 130), (1, 3, 1, 130), (2, 1, 70, 130)])
def test_a_bias_is_added_to_the_scores(libraries, form):
    inputs, (bias,) = case(2, 3, 70, 130, 20), arrays(form)
    bias[..., 60:90] = -6e4
    close(
        run(libraries[1], inputs, bias=bias),
        dense(*inputs[:3], 20**-0.5, bias.astype(np.float64), inputs[3]),
    )


def test_any_number_of_threads_gives_the_same_bits(libraries):
    for shape, window in (
        ((1, 1, 700, 900, 40), (0, 0, 0)),
        ((3, 7, 33, 50, 24), (0, 0, 0)),
        ((1, 2, 400, 400, 64), (3, 0, 20)),
    ):
        inputs = case(*shape)
        first, *others = [run(lib, inputs, window) for lib in libraries]
        for other in others:
            assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def by_pixel(lib, tensors, heads, window, moved, index=None):
    """Output, sums and gradients of tensors (B, F, P, C) over frames; `moved`: pixel by pixel, on
    tensors (B*P, F, C), as an attention of single frames sees them.
    """
    q, k, v, g = tensors
    videos, frames, pixels, channels = q.shape
    if moved:
        q, k, v, g = (
            np.ascontiguousarray(a.transpose(0, 2, 1, 3)).reshape(-1, a.shape[1], channels)
            for a in (q, k, v, g)
        )
    scale = np.array([(channels // heads) ** -0.5], np.float32)
    read = np.zeros((1, 1), np.int32) if index is None else index
    if index is None and not moved:
        read = np.arange(k.shape[1], dtype=np.int32)[None]
    cfg = np.array([1 if moved else 3, heads, index is not None, *window], np.int64)
    out, sums = np.empty_like(q), np.empty((*q.shape[:-1], heads), np.float32)
    grads = [np.full_like(a, 7) for a in (q, k, v)]
    assert call(lib, "nk_flash", q, k, v, read, scale, cfg, out, sums) == 0
    assert call(lib, "nk_flash_bwd", q, k, v, read, scale, cfg, out, sums, g, *grads) == 0
    found = [out, sums, *grads]
    if moved:
        found = [a.reshape(videos, pixels, a.shape[1], -1).transpose(0, 2, 1, 3) for a in found]
    return found


# the last is more than is brought near: its tokens are read where they lie
@pytest.mark.parametrize("pixels", [(2, 16, 37, 3, 24), (1, 5, 40, 2, 17), (1, 300, 8, 2, 300)])
@pytest.mark.parametrize("window", [(0, 0, 0), (2, 1, 1)])
def test_pixels_over_frames_have_the_bits_of_each_pixel_alone(libraries, pixels, window):
    videos, frames, places, heads, width = pixels
    tensors = arrays(*[(videos, frames, places, heads * width)] * 4)
    expected = by_pixel(libraries[0], tensors, heads, window, True)
    for lib in libraries[:3]:
        found = by_pixel(lib, tensors, heads, window, False)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_frames_that_several_read_get_the_sum_of_their_gradients(libraries):
    tensors = arrays(*[(2, 6, 19, 48)] * 4)
    first_and_last = np.array([[0, max(0, f - 1)] for f in range(6)], np.int32)
    found = by_pixel(libraries[0], tensors, 2, (0, 0, 0), False, first_and_last)
    read = [a[:, first_and_last].reshape(2, 12, 19, 48) for a in tensors[1:3]]
    alone = [
        by_pixel(
            libraries[0],
            [tensors[0][:, [f]], *(a[:, 2 * f : 2 * f + 2] for a in read), tensors[3][:, [f]]],
            2,
            (0, 0, 0),
            True,
        )
        for f in range(6)
    ]
    assert np.array_equal(found[0], np.concatenate([a[0] for a in alone], 1))
    for which in (3, 4):
        expected = np.zeros_like(tensors[0])
        for f, one in enumerate(alone):
            for j, g in enumerate(first_and_last[f]):
                expected[:, g] += one[which][:, j]
        close([found[which]], [expected], 1e-6)
        assert not found[which][:, 5].any()  # nothing reads the last frame


def test_huge_scores_stay_finite_and_nan_is_not_hidden(libraries):
    q, k, v, g = case(1, 1, 40, 60, 16)
    for a in run(libraries[0], (q * 1e4, k * 1e4, v, g)):
        assert np.isfinite(a).all()
    q[0, 0, 3, 2] = np.nan
    assert np.isnan(run(libraries[0], (q, k, v, g))[0][0, 0, 3]).all()


def test_a_row_that_sees_nothing_gets_zeros(libraries):
    inputs, bias = case(1, 1, 4, 20, 8), np.zeros((1, 1, 4, 20), np.float32)
    bias[0, 0, 1] = -np.inf
    found = run(libraries[0], inputs, bias=bias)
    assert (
        (found[0][0, 0, 1] == 0).all()
        and (found[1][0, 0, 1] == 0).all()
        and all(np.isfinite(a).all() for a in found)
    )


def test_queries_whose_window_lies_behind_all_keys_get_zeros(libraries):
    """Whatever the operator's memory held before."""
    before = case(1, 1, 512, 256, 32)
    before[0][:] = np.nan
    run(libraries[0], before)
    found = run(libraries[0], case(1, 1, 512, 256, 32), (0, 0, 1))
    assert all(np.isfinite(a).all() for a in found)
    assert (found[0][:, :, 256:] == 0).all()
    assert (found[1][:, :, 256:] == 0).all()


@pytest.mark.parametrize("hole", ["queries", "keys", "width"])
def test_edges_of_length_zero_and_wrong_shapes_are_refused(libraries, hole):
    sizes = {"queries": (1, 1, 0, 4, 8), "keys": (1, 1, 4, 0, 8), "width": (1, 1, 4, 4, 0)}[hole]
    q, k, v, _ = (
        np.zeros((max(1, a.size),), np.float32)[: a.size].reshape(a.shape) for a in case(*sizes)
    )
    head = [
        q,
        k,
        v,
        np.zeros((1, 1), np.int32),
        np.ones(1, np.float32),
        np.array([0, 1, 0, 0, 0, 0], np.int64),
    ]
    assert call(libraries[0], "nk_flash", *head, q, np.zeros(4, np.float32)) != 0


def by_cell(make, inputs, mode):
    """Output and gradients of q, k, v by the cell built with the operators of `mode`."""
    device.configure(mode)
    q, k, v, g = inputs
    net = Weighted(make())
    (_, out), grads = ms.value_and_grad(net, (1, 2, 3), None, has_aux=True)(
        Tensor(g), Tensor(q), Tensor(k), Tensor(v)
    )
    return [out.asnumpy(), *[a.asnumpy() for a in grads]]


def merged(x):
    """(B, N, S, D) -> (B, S, N*D)."""
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(x.shape[0], x.shape[2], -1)


@pytest.mark.parametrize("mode", ["on", "off"])
def test_heads_first_and_heads_side_by_side_equal_float64(mode):
    inputs = case(2, 3, 50, 19, 12)
    expected = dense(*inputs[:3], 0.3, 0.0, inputs[3])
    close(by_cell(lambda: Attention(3, 0.3), inputs, mode), expected)
    flat = [merged(a) for a in inputs]
    close(by_cell(lambda: TokenAttention(3, 0.3), flat, mode), [merged(a) for a in expected])


def by_table(inputs, heads, policy, in_time):
    """Attention between frames in float64, a dense one with the policy as its mask."""
    batch, frames, pixels, width = inputs[0].shape
    logs = kv_policy.log_counts(kv_policy.table(policy, frames)).astype(np.float64)
    logs[logs < -1e3] = -np.inf
    if in_time:

        def there(x):
            return x.reshape(batch, frames, pixels, heads, -1).transpose(0, 2, 3, 1, 4)

        found = dense(*[there(a) for a in inputs[:3]], 0.4, logs, there(inputs[3]))
        return [a.transpose(0, 3, 1, 2, 4).reshape(inputs[0].shape) for a in found]
    q, k, v, g = (
        a.reshape(batch, frames * pixels, heads, -1).transpose(0, 2, 1, 3) for a in inputs
    )
    found = dense(q, k, v, 0.4, np.kron(logs, np.ones((pixels, pixels))), g)
    return [a.transpose(0, 2, 1, 3).reshape(inputs[0].shape) for a in found]


@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize(
    "policy, in_time",
    [
        ("frame", False),
        ("sparse_causal", False),
        ("window:3", False),
        ("all", True),
        ("window:3:causal", True),
        ("dual_scope:1:2", True),
        ("first,last", False),
    ],
)
def test_frames_are_read_as_the_policy_says(policy, in_time, mode):
    inputs = arrays(*[(2, 6, 5, 16)] * 4)
    close(
        by_cell(lambda: FrameAttention(2, 0.4, policy, in_time), inputs, mode),
        by_table(inputs, 2, policy, in_time),
    )


def test_a_backend_can_be_forced_and_says_why_it_cannot():
    inputs = case(1, 2, 9, 9, 8)
    attention.use("math")
    a = by_cell(lambda: Attention(2, 0.3), inputs, "on")
    attention.use("native")
    b = by_cell(lambda: Attention(2, 0.3), inputs, "on")
    close(a, b)
    assert not all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    attention.use("flash_910b")
    with pytest.raises(ConfigError, match="910b, and this is cpu"):
        by_cell(lambda: Attention(2, 0.3), inputs, "on")
    with pytest.raises(ConfigError, match="math"):
        attention.use("mth")
