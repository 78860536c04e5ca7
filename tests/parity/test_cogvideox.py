"""CogVideoX's transformer against diffusers': outputs 1e-5, gradients 3e-4, names and shapes of the
published network, both namings (tools/golden/cogvideox.py).
"""

import hashlib
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from cogvideox_cases import drawn
from mindspore import Tensor, nn

from mindlong.networks.cogvideox import places
from mindlong.networks.cogvideox.cell import CogVideoX
from mindlong.networks.cogvideox.names import names, parameter_count
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.names import by_source, our_array, source_array
from mindlong.utils.errors import ConfigError

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = CogVideoXSpec(
    heads=2,
    head_dim=16,
    layers=2,
    in_channels=4,
    out_channels=4,
    time_dim=24,
    context_dim=20,
    tokens=7,
    sample=(3, 8, 12),
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "cogvideox_transformer.npz") as arrays:
        return dict(arrays)


def filled(cell, entries):
    """The cell with the golden weights."""
    parameters = {p.name: p for p in cell.get_parameters()}
    assert set(parameters) == {e.ours for e in entries}
    for entry in entries:
        weight = our_array(entry, drawn(entry.source, entry.source_shape))
        parameters[entry.ours].set_data(Tensor(weight))
    return cell


@pytest.fixture(scope="module")
def network():
    return filled(CogVideoX(SPEC), names(SPEC))


class Probed(nn.Cell):
    """The scalar whose gradients the golden arrays hold."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x, t, context, probe):
        return (self.net(x, t, context) * probe).sum()


def inputs(golden, case, *which):
    return [
        Tensor(np.ascontiguousarray(golden[f"{case}/{name}"].astype(np.float32))) for name in which
    ]


def close(ours, want, tolerance):
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-6))


@pytest.mark.parametrize(
    "case", ["sample", *(pytest.param(case, marks=pytest.mark.slow) for case in ("other", "one"))]
)
def test_outputs(network, golden, case):
    out = network(*inputs(golden, case, "x", "t", "context")).asnumpy()
    close(out, golden[f"{case}/out"], 1e-5)


def test_gradients_of_every_parameter_and_of_the_inputs(network, golden):
    parameters = network.trainable_params()
    arrays = inputs(golden, "sample", "x", "t", "context", "probe")
    (grad_x, grad_context), grads = ms.grad(Probed(network), (0, 2), parameters)(*arrays)
    close(grad_x.asnumpy(), golden["sample/grad_x"], 3e-4)
    close(grad_context.asnumpy(), golden["sample/grad_context"], 3e-4)
    ours = {p.name: g.asnumpy() for p, g in zip(parameters, grads, strict=True)}
    for entry in names(SPEC):
        want = our_array(entry, golden[f"sample/grad/{entry.source}"])
        if entry.ours.endswith(
            "norm_k.bias"
        ):  # what it adds to a query's scores is the same for all
            assert np.abs(ours[entry.ours]).max() < 1e-4
            continue
        close(ours[entry.ours], want, 3e-4)


@pytest.mark.slow
def test_half_precision_stays_near(golden):
    network = filled(CogVideoX(SPEC, "float16"), names(SPEC))
    out = network(*inputs(golden, "sample", "x", "t", "context")).asnumpy()
    assert out.dtype == np.float32
    close(out, golden["sample/out"], 1e-2)


def test_places_are_the_originals(golden):
    time, column, row = places.parts(CogVideoXSpec(), 13, 30, 45)
    spread = [
        np.broadcast_to(part, (13, 30, 45, part.shape[-1]))
        for part in (time[:, None, None], column[None, None], row[None, :, None])
    ]
    table = np.concatenate(spread, -1)[::6, ::7, ::11, ::5]
    np.testing.assert_allclose(table, golden["places"], rtol=0, atol=2e-6)


def test_names_and_shapes_are_the_published_ones():
    spec, said = CogVideoXSpec(), json.loads((GOLDEN / "cogvideox_keys.json").read_text())
    lines = sorted(f"{e.source} {e.source_shape}" for e in names(spec))
    assert len(lines) == said["transformer"]["count"] == 736
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == said["transformer"]["sha256"]
    assert parameter_count(spec) == 1_693_783_872
    inpainting = CogVideoXSpec(in_channels=33, places="resized")
    assert parameter_count(inpainting) == 1_693_914_432 and inpainting.hinted


@pytest.mark.parametrize("layout", ["diffusers", "sat"])
def test_both_namings_come_back_bit_for_bit(layout):
    entries = names(SPEC, layout)
    assert {e.ours: e.our_shape for e in entries} == {e.ours: e.our_shape for e in names(SPEC)}
    theirs = {e.source: drawn(e.source, e.source_shape) for e in entries}
    ours = {e.ours: our_array(e, theirs[e.source]) for e in entries}
    for source, group in by_source(entries).items():
        assert np.array_equal(source_array(group, ours), theirs[source])


def test_the_originals_chunks_of_a_modulation_go_to_their_norms():
    entries = {e.ours: e for e in names(SPEC, "sat")}
    width = SPEC.width
    whole = np.repeat(np.arange(12), width)
    first = our_array(entries["blocks.1.norm1.linear.bias"], whole)
    second = our_array(entries["blocks.1.norm2.linear.bias"], whole)
    assert list(first[::width]) == [0, 1, 2, 6, 7, 8]
    assert list(second[::width]) == [3, 4, 5, 9, 10, 11]


def test_sizes_that_lose_a_row_are_refused(network):
    with pytest.raises(ConfigError, match="30x45; both sides must be multiples of 2"):
        SPEC.check_size(30, 45)
    with pytest.raises(ConfigError, match="one prompt a video"):
        SPEC.check_inputs((1, 4, 3, 8, 12), (1,), (1, 3, 7, 20))
