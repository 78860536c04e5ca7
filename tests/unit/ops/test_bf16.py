"""With env.bf16 the C++ operators multiply rounded factors on AMX, sums in float32; without it, or
without AMX, nothing changes.
"""

import ctypes
import json

import numpy as np
import pytest
from native_calls import call, library

import mindlong
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.ops import device
from mindlong.ops.native import build
from mindlong.pipelines.session import Session
from mindlong.utils.rng import normal


@pytest.fixture(autouse=True)
def _automatic_operators():
    yield
    device.configure("auto")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    made = [library(folder, threads) for threads in (1, 2, 4)]
    if not made[0].nk_bf16(0):
        pytest.skip("this processor has no AMX, or its kernel does not lend it")
    return made


@pytest.fixture(autouse=True)
def _exact_again(request):
    yield
    for lib in request.node.funcargs.get("libraries", []):
        lib.nk_bf16(0)


def arrays(*shapes):
    return [normal(shape, 9, "bf16", i) for i, shape in enumerate(shapes)]


def rounded(x):
    """To the nearest bfloat16, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def run(lib, name, inputs, shape, *more, on=True):
    out = np.full(shape, np.nan, np.float32)
    lib.nk_bf16(int(on))
    assert call(lib, name, *inputs, *more, out) == 0
    return out


def check(libraries, name, inputs, shape, expected, *more):
    """`expected` of rounded factors in float64, the same bits for every number of threads, and
    other numbers than without rounding.
    """
    first, *others = [run(lib, name, inputs, shape, *more) for lib in libraries]
    assert all(np.array_equal(first, other) for other in others)
    assert np.abs(first - expected).max() <= 1e-5 * np.abs(expected).max()
    assert not np.array_equal(first, run(libraries[0], name, inputs, shape, *more, on=False))


@pytest.mark.parametrize(
    "rows, cin, cout", [(1, 16, 16), (77, 48, 208), (333, 48, 208), (1500, 400, 80)]
)
def test_linear_multiplies_rounded_factors(libraries, rows, cin, cout):
    x, w, b = arrays((rows, cin), (cout, cin), (cout,))
    expected = rounded(x).astype(np.float64) @ rounded(w).T.astype(np.float64) + b
    check(libraries, "nk_linear", [x, w, b], (rows, cout), expected)


def test_a_row_does_not_depend_on_how_many_there_are(libraries):
    """As a video must not on the size of a batch."""
    x, w, b = arrays((400, 64), (32, 64), (32,))
    whole = run(libraries[0], "nk_linear", [x, w, b], (400, 32))
    for rows in (1, 77, 130):
        part = run(libraries[0], "nk_linear", [x[:rows], w, b], (rows, 32))
        assert np.array_equal(part, whole[:rows])


def convolved(x, w, b):
    """A 3 x k convolution of rounded factors with zeros around, in float64."""
    x, w = rounded(x).astype(np.float64), rounded(w).astype(np.float64)
    side = w.shape[3] // 2
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (side, side)))
    out = np.zeros((len(x), len(w), height, width)) + b[:, None, None]
    for i in range(3):
        for j in range(w.shape[3]):
            part = padded[:, :, i : i + height, j : j + width]
            out += np.einsum("oc,rchw->rohw", w[:, :, i, j], part)
    return out


@pytest.mark.parametrize("height, width", [(2, 2), (5, 7), (24, 24), (40, 3), (3, 101), (17, 64)])
@pytest.mark.parametrize("channels", [(32, 16), (48, 96), (112, 48)])
@pytest.mark.parametrize("taps", [3, 1])
def test_a_convolution_multiplies_rounded_factors(libraries, height, width, channels, taps):
    cin, cout = channels
    x, w, b = arrays((2, cin, height, width), (cout, cin, 3, taps), (cout,))
    cfg = np.array([1, 1, 1, taps // 2, 1, taps // 2], np.int64)
    shape = (2, cout, height, width)
    check(libraries, "nk_conv", [x, w, b], shape, convolved(x, w, b), cfg)


def test_a_convolution_over_frames_multiplies_rounded_factors(libraries):
    x, w, b = arrays((2 * 5, 48, 4, 9), (32, 48, 3), (32,))
    tall = x.reshape(2, 5, 48, 36).transpose(0, 2, 1, 3)
    expected = convolved(tall, w[..., None], b).transpose(0, 2, 1, 3).reshape(10, 32, 4, 9)
    frames = np.array([5], np.int64)
    check(libraries, "nk_frames_conv", [x, w, b], (10, 32, 4, 9), expected, frames)


def attended(lib, q, k, v, window=(0, 0, 0), on=True):
    cfg = np.array([0, q.shape[1], 0, *window], np.int64)
    scale = np.array([q.shape[3] ** -0.5], np.float32)
    sums = np.empty(q.shape[:3], np.float32)
    out = np.full(q.shape, np.nan, np.float32)
    lib.nk_bf16(int(on))
    assert call(lib, "nk_flash", q, k, v, np.zeros((1, 1), np.int32), scale, cfg, out, sums) == 0
    return out


@pytest.mark.parametrize("queries, keys, width", [(64, 77, 40), (130, 300, 64), (600, 520, 24)])
def test_attention_is_as_exact_as_its_factors(libraries, queries, keys, width):
    q, k, v = arrays((1, 3, queries, width), (1, 3, keys, width), (1, 3, keys, width))
    exact = attended(libraries[0], q, k, v, on=False)
    first, *others = [attended(lib, q, k, v) for lib in libraries]
    assert all(np.array_equal(first, other) for other in others)
    assert 0 < np.abs(first - exact).max() <= 2e-2 * np.abs(exact).max()


def test_a_window_hides_what_it_hid(libraries):
    q, k, v = arrays((1, 2, 128, 32), (1, 2, 128, 32), (1, 2, 128, 32))
    seen = attended(libraries[0], q, k, v, (1, 0, 16))
    v[:, :, 112:] = 1e6  # the last block of 16 is seen by its own queries alone
    again = attended(libraries[0], q, k, v, (1, 0, 16))
    assert np.array_equal(seen[:, :, :112], again[:, :, :112])
    assert np.abs(again[:, :, 112:]).max() > 1e4


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_hidden(libraries, odd):
    x, w, b = arrays((128, 32), (16, 32), (16,))
    x[5, 7] = odd
    out = run(libraries[0], "nk_linear", [x, w, b], (128, 16))
    assert not np.isfinite(out[5]).any()
    assert np.isfinite(np.delete(out, 5, 0)).all()


def test_gradients_stay_exact(libraries):
    x, w, b, g = arrays((256, 32), (48, 32), (48,), (256, 48))
    grads = []
    for on in (0, 1):
        libraries[0].nk_bf16(on)
        grads.append([np.empty_like(a) for a in (x, w, b)])
        assert call(libraries[0], "nk_linear_bwd", x, w, g, *grads[-1]) == 0
    assert all(np.array_equal(a, b) for a, b in zip(*grads, strict=True))


def rounds():
    """Whether the library that cells use rounds now."""
    x, w, b = arrays((128, 32), (16, 32), (16,))
    out = np.empty((128, 16), np.float32)
    lib = ctypes.CDLL(build.library(device.threads()))
    assert call(lib, "nk_linear", x, w, b, out) == 0
    exact = x.astype(np.float64) @ w.T + b
    return np.abs(out - exact).max() > 1e-4


def test_it_ends_however_the_next_run_is_set_up(libraries):
    device.setup("CPU", bf16=True)
    assert rounds()
    device.configure("off")
    assert device.settings()["bf16"] is False
    assert not rounds()
    device.configure("auto", bf16=True)
    assert rounds()
    device.exact()
    assert device.settings()["bf16"] is False
    assert not rounds()


def test_a_model_rounds_while_a_call_runs(libraries):
    """Trainings of the same process are exact, and so is another model."""
    seen = []
    model = mindlong.load("shipped:vdm_shapes", quiet=True, env__bf16=True, env__mode="pynative")
    keys = {"frames": 2, "size": [16, 16], "sample__steps": 1, "sample__sampler": "ddim"}
    video = model("a red circle", callback=lambda step: seen.append(rounds()), **keys)
    assert seen == [True]
    assert not rounds()
    assert json.loads(video.recipe)["bf16"] is True
    plain = mindlong.load("shipped:vdm_shapes", quiet=True, env__mode="pynative")
    assert "bf16" not in json.loads(plain("a red circle", **keys).recipe)


def test_where_it_cannot_be_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setattr(build, "round_factors", lambda threads: False)
    with caplog.at_level("WARNING"):
        device.setup("CPU", bf16=True)
    assert "env.bf16" in caplog.text
    assert "float32" in caplog.text
    assert device.settings()["bf16"] is False


def test_work_that_was_rounded_is_not_gone_on_with_unrounded(monkeypatch, tmp_path):
    loaded = load(None, ["weights=shipped:vdm_shapes", "prompt=a"], InferConfig)
    session = Session(loaded, tmp_path, None, False, None, inputs={})
    exact = session.identity({"": ("env",)})
    monkeypatch.setitem(device._state, "bf16", True)
    assert session.identity({"": ("env",)}) != exact


def test_graphs_are_kept_apart(libraries):
    device.setup("CPU", bf16=True)
    assert device.settings()["bf16"] is True
    device.setup("CPU")
    assert device.settings()["bf16"] is False
