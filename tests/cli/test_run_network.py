"""tools/run_network.py: a network once on named arrays, from anybody's weights, answered in the
original's names.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import vdm_cases as cases  # noqa: E402
import vdm_measure as measure  # noqa: E402

from mindlong.checkpoints.files import write_safetensors  # noqa: E402
from mindlong.checkpoints.torch_writer import write_torch  # noqa: E402
from mindlong.cli.run_network import command  # noqa: E402
from mindlong.networks.unet3d.names import names  # noqa: E402

MODEL = "family: vdm\ndim: 8\ndim_mults: [1, 2]\nattn_heads: 2\nattn_dim_head: 16\ncond_dim: 6\n"
CASE = cases.NET["guided_2"]


@pytest.fixture(autouse=True)
def back_to_graph_mode():
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model file, inputs, and one network's weights as a trainer's .pt, a bare safetensors, and
    ours.
    """
    where = tmp_path_factory.mktemp("network")
    (where / "model.yaml").write_text(MODEL)
    np.savez(where / "in.npz", **CASE.inputs(), cond_scale=np.float64(2.0))
    spec, values = CASE.spec(), cases.weights(CASE.spec())
    trainer = {f"denoise_fn.{key}": value for key, value in values.items()}
    write_torch(where / "model-1.pt", {"step": 1, "model": trainer, "ema": trainer, "scaler": {}})
    write_safetensors(where / "bare.safetensors", values)
    write_safetensors(
        where / "ours.safetensors",
        {e.ours: values[e.source].reshape(e.our_shape) for e in names(spec)},
    )
    return where


def run(folder, *more, weights="bare.safetensors", inputs="in.npz", mode="pynative"):
    """The exit code."""
    return command(
        [
            "--model",
            str(folder / "model.yaml"),
            "--weights",
            str(folder / weights),
            "--inputs",
            str(folder / inputs),
            "--out",
            str(folder / "out.npz"),
            "--mode",
            mode,
            *more,
        ]
    )


def check(folder, arrays):
    with np.load(folder / "out.npz") as found:
        assert set(found.files) == set(arrays)
        for name, wanted in arrays.items():
            assert measure.relative(found[name], wanted) < 1e-4, name


@pytest.mark.slow
def test_gradients_have_the_originals_names_and_shapes(folder):
    assert run(folder, "--grad", "compat=vdm", weights="model-1.pt", mode="graph") == 0
    check(folder, measure.golden("net_guided_2"))


@pytest.mark.parametrize("weights", ["model-1.pt", "bare.safetensors", "ours.safetensors"])
def test_anybodys_weights_give_the_same_output(folder, weights):
    assert run(folder, weights=weights) == 0
    check(folder, {"out": measure.golden("net_guided_2")["out"]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"focus_mask": np.zeros(2, bool)},
            "unknown array 'focus_mask'. Did you mean 'focus_present_mask'?",
        ),
        ({"x": None}, "the array 'x' is missing"),
        (
            {"cond": None},
            "the array 'cond' is missing; the model has cond_dim 6, so the condition is (2, 6)",
        ),
        ({"x": np.zeros((2, 3, 5, 8), np.float32)}, "got the shape (2, 3, 5, 8)"),
        ({"x": np.zeros((2, 1, 5, 8, 12), np.float32)}, "1 channels; the network takes 3"),
        ({"x": np.zeros((2, 3, 5, 8, 11), np.float32)}, "height and width must be multiples of 2"),
        ({"t": np.zeros(3, np.int64)}, "t has the shape (3,); its axis B must be 2"),
        ({"t": np.zeros((2, 1), np.int64)}, "t has the shape (2, 1); it must be (B)"),
        ({"t": np.zeros(2, np.float32)}, "t holds float32; it must be int"),
        ({"cond": np.zeros((2, 5), np.float32)}, "cond has the shape (2, 5); its axis D must be 6"),
        ({"cond_scale": np.ones(2)}, "cond_scale has the shape (2,); it must be one number"),
        (
            {"probe": np.ones((2, 3), np.float32)},
            "probe has the shape (2, 3); the output's is (2, 3, 5, 8, 12)",
        ),
        ({"probe": None}, "--grad needs an array 'probe'"),
    ],
)
def test_wrong_array_is_one_sentence(folder, capsys, change, said):
    arrays = {**CASE.inputs(), "cond_scale": np.float64(2.0)} | change
    np.savez(
        folder / "wrong.npz", **{name: value for name, value in arrays.items() if value is not None}
    )
    assert run(folder, "--grad", inputs="wrong.npz") == 3
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--network", "vae"], 2, "--network is 'vae'; the family vdm has unet"),
        (["dimm=8"], 2, "Did you mean 'dim'?"),
        (["--inputs", "nothing.npz"], 3, "no file at nothing.npz"),
        (["--weights", "nothing.pt"], 3, "nothing.pt"),
        (["dim=16"], 3, "does not fit the network"),
        (["--out", "out.txt"], 2, "it must end in .npz"),
    ],
)
def test_wrong_argument_is_told(folder, capsys, more, code, said):
    assert run(folder, *more) == code
    assert said in capsys.readouterr().err


def test_file_that_is_no_npz_is_told(folder, capsys):
    (folder / "text.npz").write_text("hello")
    assert run(folder, inputs="text.npz") == 3
    assert "is not an .npz of plain arrays" in capsys.readouterr().err
