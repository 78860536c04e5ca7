"""NaN and infinity in weights are named by tensor wherever weights are read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mindlong.checkpoints import store
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.finite import NotFinite, check_arrays, counts
from mindlong.checkpoints.lazy import Lazy
from mindlong.cli.convert import command as convert
from mindlong.cli.inspect import command as inspect
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import InputFileError, UserError

SPEC = Unet3DSpec(dim=8, dim_mults=(1,))
BAD = "final_conv.1.weight"


def weights(value, dtype="float32"):
    """A bare Unet3D, one number of it `value`."""
    held = {e.source: np.full(e.source_shape, 0.5, dtype) for e in names(SPEC)}
    held[BAD].reshape(-1)[3] = value
    return held


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(
    ("value", "wanted"), [(np.nan, (1, 0)), (np.inf, (0, 1)), (-np.inf, (0, 1)), (6e4, (0, 0))]
)
def test_numbers_are_counted(dtype, value, wanted):
    array = np.zeros((3, 1 << 20), dtype)
    array[2, 5] = value
    assert counts(array) == wanted


@pytest.mark.parametrize(
    ("bits", "wanted"),
    [(0x7FC0, (1, 0)), (0xFF81, (1, 0)), (0x7F80, (0, 1)), (0xFF80, (0, 1)), (0x7F7F, (0, 0))],
)
def test_bfloat16_is_counted_by_its_bits(bits, wanted):
    assert counts(np.array([[0, bits]], np.uint16)) == wanted


def test_whole_numbers_are_always_finite():
    assert (
        counts(np.array([2**63 - 1])) == counts(np.array([True])) == counts(np.zeros(0)) == (0, 0)
    )


def test_all_tensors_are_named_in_one_sentence():
    with pytest.raises(
        NotFinite, match=r"it: not finite: 'a' \(1 NaN of 2 numbers\), 'b' \(1 NaN, 1 infinite of 3"
    ):
        check_arrays(
            {"a": np.array([1, np.nan]), "b": np.array([np.inf, np.nan, 0]), "c": np.ones(2)}, "it"
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_converter_refuses_and_leaves_nothing(tmp_path, capsys, value, dtype):
    write_torch(tmp_path / "a.pt", weights(value, dtype))
    for extra in ([], ["--dry_run"], ["--dtype", "bfloat16"]):
        assert (
            convert(
                [
                    "--src",
                    str(tmp_path / "a.pt"),
                    "--dst",
                    str(tmp_path / "out/b.safetensors"),
                    *extra,
                ]
            )
            == 3
        )
        error = capsys.readouterr().err
        assert "not finite" in error and f"'{BAD}'" in error and "Traceback" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_the_user_may_let_named_tensors_pass(tmp_path):
    write_torch(tmp_path / "a.pt", weights(np.nan))
    arguments = ["--src", str(tmp_path / "a.pt"), "--dst", str(tmp_path / "b.safetensors")]
    assert convert([*arguments, "--allow_nonfinite", "init_conv*"]) == 3
    assert convert([*arguments, "--allow_nonfinite", "final_conv.1.*"]) == 0
    back = ["--src", str(tmp_path / "b.safetensors"), "--dst", str(tmp_path / "c.pt")]
    assert convert(back) == 3 and not (tmp_path / "c.pt").exists()
    assert convert([*back, "--allow_nonfinite", "*"]) == 0


def test_the_inspector_names_the_tensor_and_its_code_says_so(tmp_path, capsys):
    write_torch(tmp_path / "a.pt", weights(np.nan))
    assert inspect([str(tmp_path / "a.pt")]) == 3
    assert f"NOT FINITE '{BAD}' (1 NaN of " in capsys.readouterr().out
    assert inspect([str(tmp_path / "a.pt"), "--quick"]) == 0


def test_a_mask_beside_a_text_encoder_may_be_infinite(tmp_path, capsys):
    held = {**weights(0.0), "optimizer.state": np.array([np.inf]), "betas": np.array([np.nan])}
    write_torch(tmp_path / "a.pt", held)
    assert inspect([str(tmp_path / "a.pt")]) == 0


def test_the_inspector_names_a_damaged_tensor(tmp_path, capsys):
    write_safetensors(tmp_path / "a.safetensors", weights(0.0))
    data = bytearray((tmp_path / "a.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    assert inspect([str(tmp_path / "a.safetensors")]) == 3
    assert "DAMAGED " in capsys.readouterr().out


def test_a_checkpoint_of_a_diverged_run_is_refused(tmp_path):
    arrays = {"w": np.array([1, np.nan], np.float32)}
    folder = store.save(tmp_path, 1, {"network": arrays, "optimizer": {"m.w": np.ones(2)}}, {})
    with pytest.raises(NotFinite, match=r"network.safetensors: not finite: 'w'"):
        store.load(folder)
    assert store.load(folder, ["optimizer"])


def test_a_network_does_not_take_them(tmp_path):
    from mindspore import nn

    from mindlong.checkpoints.load import load_into

    cell = nn.Dense(2, 2)
    good = {p.name: np.ones(p.shape, np.float32) for p in cell.get_parameters()}
    load_into(cell, good)
    bad = {**good, "bias": np.array([1, np.inf], np.float32)}
    with pytest.raises(NotFinite, match="not finite: 'bias'"):
        load_into(cell, bad, what="the weights of a toy")
    assert np.isfinite(cell.bias.asnumpy()).all()
    write_safetensors(tmp_path / "a.safetensors", bad)
    with pytest.raises(NotFinite, match="'bias'"):
        load_into(cell, open_weights(tmp_path / "a.safetensors"))


def test_a_copy_of_the_shipped_model_with_a_nan_is_refused_before_anything_is_made(
    tmp_path, capsys
):
    from mindlong.checkpoints.locate import SHIPPED
    from mindlong.cli.infer import command as infer

    shutil.copytree(SHIPPED / "vdm_shapes", tmp_path / "in")
    file = tmp_path / "in/model.safetensors"
    held = open_weights(file)
    first = next(n for n in held if held.dtype(n).startswith("float"))
    spoiled = Lazy(
        held.shape(first), "float32", lambda: np.full(held.shape(first), np.nan, np.float32)
    )
    write_safetensors(file, {**held.rows, first: spoiled})
    for extra in ([], ["--dry_run"]):
        assert infer([*extra, f"weights={file}", f"output={tmp_path / 'out'}"]) == 3
        error = capsys.readouterr().err
        assert first in error and "not finite" in error
    assert not list(Path(tmp_path / "out").rglob("*.mp4"))


def test_numbers_of_float64_that_float32_has_not_are_infinite(tmp_path, capsys):
    assert counts(np.array([1e39, -1e300, np.nan, 3e38])) == (1, 2)
    write_torch(tmp_path / "a.pt", weights(1e300, "float64"))
    arguments = ["--src", str(tmp_path / "a.pt"), "--dst", str(tmp_path / "b.safetensors")]
    assert convert(arguments) == 3
    error = capsys.readouterr().err
    assert "not finite" in error and BAD in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cast_of_what_the_format_has_not_is_refused(tmp_path, dtype):
    with pytest.raises(UserError, match=r"w holds values up to 1e\+300, beyond the range"):
        write_safetensors(tmp_path / "w.safetensors", {"w": np.array([1e300])}, dtype=dtype)


@pytest.mark.parametrize("dtype", ["int8", "int32", "bool"])
def test_whole_numbers_in_the_place_of_weights_are_refused(tmp_path, capsys, dtype):
    held = weights(0.5)
    write_torch(tmp_path / "a.pt", {**held, BAD: held[BAD].astype(dtype)})
    arguments = ["--src", tmp_path / "a.pt", "--dst", tmp_path / "b.safetensors"]
    assert convert([str(word) for word in arguments]) == 3
    assert f"'{BAD}' ({dtype}) hold whole numbers" in capsys.readouterr().err
    assert inspect([str(tmp_path / "a.pt")]) == 0
    assert f"({dtype}) hold whole numbers" in capsys.readouterr().out
    with pytest.raises(InputFileError, match="whole numbers where weights are needed"):
        find_trained(str(tmp_path / "a.pt"))
