"""The report on compiled graphs: what it reads from MindSpore's text, and that it sees the
operators of a real network.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from graph.chips import computes, type_lines  # noqa: E402
from graph.ir import HOSTILE, kind_of, operators  # noqa: E402
from graph.origin import Origin, by_origin  # noqa: E402

TEXT = """
subgraph @a() {
  %0(CNode_1) = Load(%para2_d.weight, UMonad[U]) cnode_attrs: {checkpoint: Bool(1)}
      : (<Ref[Tensor[Float32]], (16, 8), ref_key=d.weight, is_parameter>, <UMonad, NoShape>) -> (<Tensor[Float32], (16, 8)>)
  %1(x) = PrimFunc_MatMul(%para1_x, %0, Bool(0), Bool(1)) {instance name: matmul}
      : (<Tensor[Float32], (6, 8)>, <Tensor[Float32], (16, 8)>, <Bool, NoShape>, <Bool, NoShape>) -> (<Tensor[Float32], (6, 16)>)
      # Fullname with scope: (Default/network-UNet/down-CellList/0-Layer/proj-Linear/MatMul-op0)
      # In file /a/b/mindlong/networks/unet/blocks.py:136~146, 4~31/    def construct(self, x):/
      # In file /a/b/mindlong/networks/unet/blocks.py:142, 17~98/        tokens = self.proj_in(tokens)/
      # In file /a/b/mindlong/ops/linear.py:40~55, 4~31/    def construct(self, x):/
      # In file /a/b/mindlong/ops/linear.py:59, 34~60/        return self.product(rows, weight)/
      # In file /a/site-packages/mindspore/ops/auto_generate/gen_ops_def.py:9204, 11~36/    return x/
  %2(CNode_3) = PrimFunc_Reshape(%1, (I64(2), I64(48)))
      : (<Tensor[Float32], (6, 16)>, <Tuple[Int64*2], TupleShape(NoShape, NoShape)>) -> (<Tensor[Float32], (2, 48)>)
  %3(CNode_4) = PrimFunc_Transpose(%2, (I64(1), I64(0)))
      : (<Tensor[Float32], (2, 48)>, <Tuple[Int64*2], TupleShape(NoShape, NoShape)>) -> (<Tensor[Float32], (48, 2)>)
      # Fullname with scope: (Gradients/Default/network-UNet/Grad_Transpose/Transpose-op3)
      # In file /a/b/mindlong/ops/norm.py:103, 12~75/        y = y.transpose((1, 0))/
      # In file /a/b/mindlong/ops/precision.py:51~58, 4~31/    def answer(self, x, y):/
  %4(CNode_5) = PrimFunc_Cast(%3, Tensor(shape=[2, 1], dtype=Int64, value=
[[42],
 [42]])) cnode_attrs: {}
      : (<Tensor[Float32], (48, 2)>, <Int64, NoShape>) -> (<Tensor[Float16], (48, 2)>)
  %5(CNode_6) = PrimFunc_Split(%4, I64(0), I64(2))
      : (<Tensor[Float16], (48, 2)>, <Int64, NoShape>) -> (<Tuple[Tensor[Float16]*2], TupleShape((24, 2), (24, 2))>)
  Return(%4)
}
"""


def test_operators_kinds_and_bytes():
    found = operators(TEXT)
    assert [(op.name, op.kind, op.moved) for op in found[:3]] == [
        ("MatMul", "matmul", 4 * (48 + 128 + 96)),
        ("Transpose", "transpose", 2 * 4 * 96),
        ("Cast", "cast", 96 * 6),
    ]
    assert found[3].moved == 2 * 96 * 2  # a tuple of tensors counts too
    assert found[1].shape in ((2, 48), (48, 2))


def test_where_operators_come_from():
    found = operators(TEXT)
    assert found[0].origin == Origin("down/Layer/proj-Linear", "ops/linear.py:59", False)
    assert found[1].origin == Origin("Grad_Transpose", "ops/norm.py:103", True)
    assert found[2].origin == Origin()  # nothing is noted behind it
    assert by_origin(found[1:3], "line")[2:] == [
        "| ops/norm.py:103 | backward | Transpose | 1 | 0.00 | 57% |",
        "| ? | forward | Cast | 1 | 0.00 | 43% |",
    ]
    assert by_origin(found[:1], "scope")[2:] == [
        "| down/Layer/proj-Linear | forward | MatMul | 1 | 0.00 | 100% |"
    ]


def test_types_and_what_each_chip_makes_of_them():
    found = operators(TEXT)
    assert [op.dtype for op in found] == ["float32", "float32", "float32", "float16"]
    assert computes("matmul", "float32", "910A").startswith("float16")
    assert computes("convolution", "float16", "910B") == "float16, sums float32"
    assert (
        computes("matmul", "bfloat16", "910A")
        == "refused"
        == computes("reduction", "bfloat16", "910A")
    )
    assert computes("reduction", "float32", "910A") == "float32"
    assert type_lines(found)[2:] == [
        "| matmul | float32 | 1 | float16, sums float32 (allow_fp32_to_fp16) | "
        "float32 (HF32 with env.hf32) |"
    ]


def test_kinds():
    kinds = {
        "Conv2DBackpropInput": "convolution",
        "StridedSlice": "strided slice",
        "BroadcastTo": "copy",
        "Mul": "elementwise",
        "FlashAttentionScore": "attention",
        "BatchMatMul": "matmul",
        "ReduceSum": "reduction",
        "SoftmaxBackward": "softmax",
    }
    assert {name: kind_of(name) for name in kinds} == kinds


def moved_for_nothing(kinds):
    """The share of the bytes that transposes, casts, slices and copies move."""
    moved = {kind: counted["bytes"] for kind, counted in kinds.items()}
    return sum(moved.get(kind, 0) for kind in HOSTILE) / sum(moved.values())


@pytest.mark.slow
def test_the_report_of_a_configuration(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "tools" / "graph_report.py"),
        str(ROOT / "configs" / "model" / "vdm_tiny.yaml"),
        "--work",
        "forward",
        "--shape",
        "2",
        "8",
        "8",
        "--by",
        "line",
        "--roofline",
        "910a",
        "--json",
        str(tmp_path / "out.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kinds = json.loads((tmp_path / "out.json").read_text())
    assert kinds["convolution"]["operators"] >= 5 and kinds["matmul"]["bytes"] > 0
    assert "move and compute nothing" in done.stdout
    assert moved_for_nothing(kinds) <= 0.13  # 28 % before projections were split by their weights
    assert "| convolution | float32 |" in done.stdout
    assert "| networks/unet3d/cell.py:" in done.stdout
    assert "The three largest costs: " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("work", ["forward", "train"])
@pytest.mark.parametrize("name", ["modelscope_tiny", "tune_a_video_sd15_tiny"])
def test_little_is_moved_for_nothing(tmp_path, name, work):
    command = [
        sys.executable,
        str(ROOT / "tools" / "graph_report.py"),
        str(ROOT / "configs" / "model" / f"{name}.yaml"),
        *("--work", work, "--bare", "--json", str(tmp_path / "out.json")),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert moved_for_nothing(json.loads((tmp_path / "out.json").read_text())) <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("dtype, chip", [("float16", "910a"), ("bfloat16", "910b")])
def test_products_in_16_bits_are_counted_as_such(dtype, chip):
    command = [
        sys.executable,
        str(ROOT / "tools" / "graph_report.py"),
        str(ROOT / "configs" / "model" / "vdm_tiny.yaml"),
        *("--work", "forward", "--shape", "2", "8", "8", "--dtype", dtype, "--chip", chip),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"| convolution | {dtype} |" in done.stdout
    assert "| convolution | float32 |" not in done.stdout


def test_a_model_without_a_graph_is_refused(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "tools" / "graph_report.py"),
        str(ROOT / "configs" / "model" / "clip_tiny.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "clip_text" in done.stderr


def test_a_pattern_of_no_parameter_is_refused():
    command = [
        sys.executable,
        str(ROOT / "tools" / "graph_report.py"),
        str(ROOT / "configs" / "model" / "vdm_tiny.yaml"),
        *("--only", "unet.*"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--only: the pattern 'unet.*'" in done.stderr
