"""tools/run_network.py on the latent families: each original's own file in, its names out."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import unet_cases as cases  # noqa: E402
import unet_measure as measure  # noqa: E402

from mindlong.checkpoints.torch_writer import write_torch  # noqa: E402
from mindlong.cli.run_network import command  # noqa: E402

TUNED = "family: tune_a_video\nchannels: [8, 16]\nlayers: 1\nattends: [true, false]\ngroups: 4\ncontext_dim: 12\nheads: [2]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("latent")
    case = cases.CASE["tuned_sd15"]
    write_torch(where / "tuned.bin", case.weights())
    np.savez(where / "in.npz", **case.inputs())
    (where / "model.yaml").write_text(TUNED)
    return where


def run(folder, *more, inputs="in.npz"):
    return command(
        [
            "--model",
            str(folder / "model.yaml"),
            "--weights",
            str(folder / "tuned.bin"),
            "--inputs",
            str(folder / inputs),
            "--out",
            str(folder / "out.npz"),
            "--mode",
            "pynative",
            *more,
        ]
    )


def test_gradients_have_the_names_of_the_file(folder):
    assert run(folder, "--grad") == 0
    case = cases.CASE["tuned_sd15"]
    want = measure.golden(case)
    with np.load(folder / "out.npz") as found:
        assert cases.relative(found["out"], want["out"]) <= 1e-4
        assert cases.relative(found["grad_x"], want["grad_x"]) <= 1e-3
        gradients = {
            k.removeprefix("grad/"): found[k] for k in found.files if k.startswith("grad/")
        }
    assert {k: v.shape for k, v in gradients.items()} == {
        e.source: e.source_shape for e in case.entries()
    }
    assert max(cases.gradient_error(gradients, want).values()) <= 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros((2, 3, 4, 5, 6))}, "The latents have 3 channels; the network takes 4"),
        ({"context": np.zeros((2, 5, 13))}, "it must be (2, tokens, 12)"),
        ({"context": np.zeros((2, 3, 5, 12))}, "(2, 4, tokens, 12) with a prompt for each frame"),
        ({"fps": np.zeros(2)}, "has no embedding of the frame rate"),
        ({"contxt": np.zeros(2)}, "Did you mean 'context'"),
    ],
)
def test_inputs_that_do_not_fit_are_one_sentence_and_exit_3(folder, capsys, change, sentence):
    np.savez(folder / "bad.npz", **{**cases.CASE["tuned_sd15"].inputs(), **change})
    assert run(folder, inputs="bad.npz") == 3
    assert sentence in capsys.readouterr().err
