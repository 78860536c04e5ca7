"""The host side of the 910A operators, compiled against stand-ins for CANN's headers; how they are
built and verified.
"""

import ctypes
import functools
import os

import numpy as np
import pytest
import vendor_attention

from mindlong.ops import device
from mindlong.ops.ascendc import build as build_command
from mindlong.ops.ascendc import emulate, layout, verify
from mindlong.ops.attention import flash_910a, flash_910b
from mindlong.utils.errors import UserError

MODE = "pynative"


@functools.lru_cache(None)
def host():
    return ctypes.CDLL(str(emulate.compile_twin(emulate.HERE / "twin" / "host.cpp")))


def launch(op, *shapes):
    numbers = np.array([tuple(s) + (1,) * (4 - len(s)) for s in shapes], np.int64)
    steer, outputs = (ctypes.c_int64 * 6)(), (ctypes.c_int64 * 12)()
    done = host().host_launch(
        op.encode(), len(shapes), numbers.ctypes.data_as(ctypes.c_void_p), steer, outputs
    )
    return done, list(steer), [tuple(outputs[i : i + 4]) for i in range(0, 12, 4)]


Q, K, TAILS = (2, 3, 300, 64), (2, 3, 500, 64), (6, 3, 128, 16)
CONTROL = (10,)


@pytest.mark.parametrize("op", layout.OPERATORS)
def test_mindspore_and_cann_are_told_the_same_ports(op):
    text = ctypes.create_string_buffer(1000)
    host().host_describe(op.encode(), text, 1000)
    inputs, outputs, chips = (part.split() for part in text.value.decode().split("|"))
    told = flash_910a._registration(op)
    assert told["op_name"] == op and chips == ["ascend910"]
    assert [p.split(":")[0] for p in inputs] == [p["name"] for p in told["inputs"]]
    assert [p.split(":")[0] for p in outputs] == [p["name"] for p in told["outputs"]]
    types = [t[0] for t in told["dtype_format"][0]]
    assert [p.split(":")[1] for p in inputs + outputs] == types


def test_the_forward_launch_and_its_shapes():
    done, steer, outputs = launch(layout.FORWARD, Q, K, K, CONTROL)
    assert done == 0 and steer == [
        12,
        6,
        300,
        500,
        64,
        0,
    ]  # 6 rows of 3 tiles, two at a time: 12 tasks
    assert outputs[:2] == [Q, TAILS] and layout.tails(6, 300) == TAILS


def test_the_backward_launches_and_their_shapes():
    done, steer, outputs = launch(layout.BACKWARD_QUERIES, Q, K, K, CONTROL, Q, TAILS, Q)
    assert done == 0 and steer[1:5] == [6, 300, 500, 64] and outputs == [TAILS, Q, Q]
    done, steer, outputs = launch(layout.BACKWARD_KEYS, K, K, CONTROL, TAILS, Q, TAILS, Q)
    assert done == 0 and steer == [12, 6, 300, 500, 64, 0] and outputs[:2] == [K, K]


def test_no_more_cores_than_the_chip_has():
    assert (
        launch(layout.FORWARD, (8, 8, 300, 64), (8, 8, 300, 64), (8, 8, 300, 64), CONTROL)[1][0]
        == 32
    )


@pytest.mark.parametrize(
    ("q", "k"),
    [
        ((2, 3, 300, 40), (2, 3, 500, 40)),
        ((2, 3, 300, 176), (2, 3, 500, 176)),
        ((2, 3, 300, 64), (2, 3, 500, 32)),
        ((2, 3, 300, 64), (2, 2, 500, 64)),
    ],
)
def test_a_shape_that_the_kernel_does_not_take_is_refused_on_the_host(q, k):
    assert launch(layout.FORWARD, q, k, k, CONTROL)[0] == 1


def test_the_build_hands_sources_and_chip_to_mindspores_compiler(tmp_path, monkeypatch, capsys):
    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "setup.py").write_text(
        "import os, sys, json\na = sys.argv\no = a[a.index('-o') + 1]\nk = a[a.index('-k') + 1]\n"
        "open(os.path.join(a[a.index('--install_path') + 1], 'seen'), 'w').write(json.dumps("
        "[a[1:], sorted(os.listdir(o)), sorted(os.listdir(k))]))\n"
    )
    folder = build_command.build(tmp_path, tool, tmp_path / "opp")
    seen = (tmp_path / "opp" / "seen").read_text()
    assert folder == tmp_path / "opp" / "vendors" / "mindlong"
    for word in (
        '"--soc_version", "ascend910"',
        "mindlong_attention_backward_keys.cpp",
        "mindlong_attention_tiles.h",
        "mindlong_attention_tiling.h",
        '"--vendor_name", "mindlong"',
    ):
        assert word in seen
    (tool / "setup.py").write_text("import sys; sys.exit('no bisheng')")
    with pytest.raises(UserError, match="no bisheng"):
        build_command.build(tmp_path, tool, tmp_path / "opp")
    assert build_command.main(["--cann", str(tmp_path / "nothing")]) == 1
    assert "CANN is not here" in capsys.readouterr().err


def test_the_compiler_of_the_installed_mindspore_is_found():
    assert (build_command.find_compiler() / "setup.py").exists()


def test_built_operators_are_found_by_the_header_that_cann_generates(tmp_path, monkeypatch):
    monkeypatch.delenv("ASCEND_OPP_PATH", raising=False)
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", f"{tmp_path}/other:{tmp_path}/mindlong")
    assert "build" in flash_910a.missing()
    header = tmp_path / "mindlong" / "op_api" / "include" / "aclnn_mindlong_attention_forward.h"
    os.makedirs(header.parent)
    header.touch()
    assert flash_910a.missing() is None


def test_verify_says_plainly_that_there_is_no_device(capsys):
    assert verify.main([]) == 1
    assert "no 910A or 910B is here" in capsys.readouterr().err


def test_verify_compares_on_the_twin(capsys, monkeypatch):
    monkeypatch.setattr(verify, "CASES", verify.CASES[:3])
    assert verify.main(["--twin"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok ") == 3 and "3 of 3 within" in out and "of the cube" in out


def test_verify_fails_where_numbers_differ(capsys, monkeypatch):
    monkeypatch.setattr(verify, "CASES", verify.CASES[:1])
    monkeypatch.setattr(verify, "plain", lambda case, arrays: [np.ones((1, 1, 128, 64))] * 4)
    assert verify.main(["--twin"]) == 1
    assert "WRONG" in capsys.readouterr().out


ALL_910B = verify.CASES_910B  # before on_910b leaves a few


@pytest.fixture
def on_910b(monkeypatch):
    """verify as on a 910B, with a stand-in for the vendor's operator, and few cases."""
    monkeypatch.setattr(flash_910b, "vendor_operator", vendor_attention.make())
    monkeypatch.setattr(device, "setup", lambda **given: None)
    monkeypatch.setattr(device, "chip", lambda: "910b")
    few = ("width 160", "text", "keys that count")
    monkeypatch.setattr(verify, "CASES_910B", [c for c in verify.CASES_910B if c.name in few])
    monkeypatch.setattr(verify, "LARGE", ())
    monkeypatch.setattr(verify, "ROUNDS", 1)
    monkeypatch.setattr(verify, "UNTIMED", 0)


def test_verify_compares_the_operator_of_a_910b(capsys, on_910b):
    assert verify.main([]) == 0
    out = capsys.readouterr().out
    assert out.count("ok ") == 3 and "width 160" in out and "with backward" in out


@pytest.mark.slow
def test_verify_notices_a_width_at_which_the_operator_gives_noise(capsys, on_910b, monkeypatch):
    few = ("width 40", "width 160", "window on wide heads")
    monkeypatch.setattr(verify, "CASES_910B", [c for c in ALL_910B if c.name in few])
    right = flash_910b.vendor_operator

    def noise(q, k, v, heads, **given):
        out = right(q, k, v, heads, **given)
        return out * 1.01 if q.shape[3] == 160 else out

    monkeypatch.setattr(flash_910b, "vendor_operator", noise)
    assert verify.main([]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert [line.split()[1] for line in wrong] == ["width", "window"] and "160" in wrong[0]


def test_every_width_of_the_networks_is_verified_on_a_910b():
    widths = {case.width for case in verify.CASES_910B}
    assert {16, 32, 40, 64, 80, 96, 128, 160, 512} <= widths


def test_wide_heads_take_a_tile_of_keys_at_a_time():
    """The gradients of two tiles fit the accumulator up to a width of 96."""
    for width, tasks in ((96, 12), (112, 24)):
        q, k = (2, 3, 300, width), (2, 3, 500, width)
        done, steer, _ = launch(layout.BACKWARD_KEYS, k, k, CONTROL, TAILS, q, TAILS, q)
        assert done == 0 and steer[0] == tasks
