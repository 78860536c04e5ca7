"""Text encoder against transformers' CLIPTextModel and open_clip's layout: forward 1e-4, gradients
1e-3, graph mode.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.text_names import names, parameter_count
from mindlong.networks.clip.text_spec import (
    VIT_H,
    VIT_H_ALL_LAYERS,
    VIT_L,
    ClipTextSpec,
)
from mindlong.networks.init import initialise
from mindlong.networks.names import by_source, our_array, source_array
from mindlong.utils.errors import ConfigError

FOLDER = Path(__file__).parents[1] / "golden"
SIZES = {"vocabulary": 97, "width": 24, "heads": 4, "hidden": 40, "length": 11}


def golden(name):
    with np.load(FOLDER / f"text_{name}.npz") as arrays:
        return dict(arrays)


def encoder(spec, arrays, layout="transformers"):
    cell, entries = TextEncoder(spec), names(spec, layout)
    parameters = {p.name: p for p in cell.get_parameters()}
    assert set(parameters) == {e.ours for e in entries}
    for entry in entries:
        parameters[entry.ours].set_data(
            ms.Tensor(our_array(entry, arrays[f"weight/{entry.source}"]))
        )
    return cell, entries


def run(cell, arrays):
    return cell(ms.Tensor(arrays["ids"].astype(np.int32))).asnumpy()


def close(ours, want, tolerance=1e-4):
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * np.abs(want).max())


class Probed(nn.Cell):
    """The scalar whose gradients the golden arrays hold."""

    def __init__(self, cell):
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, ids, probe):
        return (self.cell(ids) * probe).sum()


@pytest.mark.parametrize("activation, layers", [("quick_gelu", 2), ("gelu", 3)])
def test_hidden_states_and_gradients_equal_transformers(activation, layers):
    arrays = golden(activation)
    cell, entries = encoder(ClipTextSpec(**SIZES, layers=layers, activation=activation), arrays)
    close(run(cell, arrays), arrays["last"])
    parameters = cell.trainable_params()
    ids, probe = ms.Tensor(arrays["ids"].astype(np.int32)), ms.Tensor(arrays["probe"])
    grads = ms.grad(Probed(cell), None, parameters)(ids, probe)
    ours = {p.name: g.asnumpy() for p, g in zip(parameters, grads, strict=True)}
    scale = max(np.abs(array).max() for name, array in arrays.items() if name.startswith("grad/"))
    for entry in entries:
        want = our_array(entry, arrays[f"grad/{entry.source}"])
        tolerance = 1e-3 * max(
            np.abs(want).max(), 1e-3 * scale
        )  # a key's bias has no gradient in exact arithmetic
        np.testing.assert_allclose(
            ours[entry.ours], want, rtol=0, atol=tolerance, err_msg=entry.ours
        )


def test_penultimate_state_of_all_layers_and_of_one_layer_less_are_the_same():
    arrays = golden("gelu")
    whole, _ = encoder(ClipTextSpec(**SIZES, layers=3, skip_last=1, activation="gelu"), arrays)
    short, _ = encoder(ClipTextSpec(**SIZES, layers=2, activation="gelu"), arrays)
    close(run(whole, arrays), arrays["penultimate"])
    np.testing.assert_array_equal(run(whole, arrays), run(short, arrays))


def test_open_clips_fused_projections():
    arrays = golden("open_clip")
    cell, _ = encoder(
        ClipTextSpec(**SIZES, layers=4, skip_last=1, activation="gelu"), arrays, "open_clip"
    )
    close(run(cell, arrays), arrays["penultimate"])


def test_fused_projections_come_back_bit_equal():
    arrays = golden("open_clip")
    entries = names(ClipTextSpec(**SIZES, layers=4, activation="gelu"), "open_clip")
    ours = {e.ours: our_array(e, arrays[f"weight/{e.source}"]) for e in entries}
    back = {source: source_array(group, ours) for source, group in by_source(entries).items()}
    assert {f"weight/{name}" for name in back} == {
        name for name in arrays if name.startswith("weight/")
    }
    for name, array in back.items():
        np.testing.assert_array_equal(array, arrays[f"weight/{name}"], err_msg=name)


def test_a_token_never_sees_what_comes_after_it():
    arrays = golden("quick_gelu")
    cell, _ = encoder(ClipTextSpec(**SIZES, layers=2), arrays)
    before = run(cell, arrays)
    arrays["ids"][:, 6] = (arrays["ids"][:, 6] + 1) % 97
    after = run(cell, arrays)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any(-1).all()


def test_full_sizes():
    assert parameter_count(VIT_L) == 123_060_480
    assert parameter_count(VIT_H) == 340_387_840
    assert parameter_count(VIT_H_ALL_LAYERS) - parameter_count(VIT_H) == 12_596_224


def test_an_impossible_tower_is_refused():
    for options in ({"heads": 7}, {"activation": "gelu_new"}, {"skip_last": 12}):
        with pytest.raises(ConfigError):
            ClipTextSpec(**options)
    with pytest.raises(ConfigError, match="open_clip"):
        names(VIT_L, "openclip")


def test_every_parameter_gets_a_first_value():
    cell = initialise(TextEncoder(ClipTextSpec(**SIZES, layers=1)), 1)
    assert [
        p.name for p in cell.get_parameters() if not np.any(p.asnumpy()) and "norm" not in p.name
    ] == []
