"""AutoencoderKL against diffusers': forward 1e-4, gradients 1e-3, every parameter
random; names in three layouts.
"""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindlong.networks.init import initialise
from mindlong.networks.names import our_array
from mindlong.networks.streams import decode_frames, encode_frames
from mindlong.networks.vae.cell import (
    AutoencoderKL,
    Decode,
    Encode,
    kl_divergence,
)
from mindlong.networks.vae.cost import decode_peak_bytes
from mindlong.networks.vae.names import WORDS, names, parameter_count
from mindlong.networks.vae.spec import VaeSpec
from mindlong.networks.vae.streams_cell import FrameStreams
from mindlong.ops.precision import set_types
from mindlong.utils.errors import ConfigError

MODE = "pynative"  # but the gradients, which are compiled
FOLDER = Path(__file__).parents[1] / "golden"
SPECS = {
    "tiny": VaeSpec(3, 3, (8, 8, 16), 1, groups=4),
    "deep_odd": VaeSpec(3, 4, (4, 8), 2, groups=2),
}


def load(name):
    with np.load(FOLDER / f"vae_{name}.npz") as arrays:
        golden = dict(arrays)
    vae, entries = AutoencoderKL(SPECS[name]), names(SPECS[name])
    parameters = {p.name: p for p in vae.get_parameters()}
    assert set(parameters) == {e.ours for e in entries}
    for entry in entries:
        parameters[entry.ours].set_data(
            ms.Tensor(our_array(entry, golden[f"weight/{entry.source}"]))
        )
    return golden, vae, entries


class Case:
    """A golden file, the autoencoder with its weights, and its two halves."""

    def __init__(self, name):
        self.golden, self.vae, self.entries = load(name)
        self.encode, self.decode = Encode(self.vae), Decode(self.vae)
        self.streams = FrameStreams(self.vae, chunk=2)
        self.sample = (
            self.golden["mean"] + np.exp(0.5 * self.golden["logvar"]) * self.golden["noise"]
        )


@pytest.fixture(scope="module", params=SPECS)
def case(request):
    return Case(request.param)


def close(ours, want, tolerance):
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-3))


class Probed(nn.Cell):
    """The scalar whose gradients the golden arrays hold."""

    def __init__(self, vae):
        super().__init__(auto_prefix=False)
        self.vae = vae

    def construct(self, x, noise, probe):
        decoded, _, logvar = self.vae(x, noise)
        return (decoded * probe).sum() + logvar.sum()


def test_encoding_and_decoding(case):
    mean, logvar = np.split(case.encode(ms.Tensor(case.golden["x"])).asnumpy(), 2, 1)
    close(mean, case.golden["mean"], 1e-4)
    close(logvar, case.golden["logvar"], 1e-4)
    close(case.decode(ms.Tensor(case.sample)).asnumpy(), case.golden["decoded"], 1e-4)


def test_half_precision_stays_near():
    golden, vae, _ = load("deep_odd")
    set_types(vae, "float16")
    mean = np.split(Encode(vae)(ms.Tensor(golden["x"])).asnumpy(), 2, 1)[0]
    close(mean, golden["mean"], 2e-2)
    assert mean.dtype == np.float32 and np.abs(mean - golden["mean"]).max() > 1e-5


def test_gradients_of_every_parameter_and_of_the_picture(case):
    ms.set_context(mode=ms.GRAPH_MODE)
    golden, vae, entries = case.golden, case.vae, case.entries
    arrays = [ms.Tensor(golden[name]) for name in ("x", "noise", "probe")]
    parameters = vae.trainable_params()
    grad_x, grads = ms.grad(Probed(vae), 0, parameters)(*arrays)
    close(grad_x.asnumpy(), golden["grad_x"], 1e-3)
    ours = {p.name: g.asnumpy() for p, g in zip(parameters, grads, strict=True)}
    scale = max(np.abs(golden[f"grad/{e.source}"]).max() for e in entries)
    for entry in entries:
        want = our_array(entry, golden[f"grad/{entry.source}"])
        # a key's bias has no gradient in exact arithmetic: softmax ignores what is added to a whole
        # row
        tolerance = 1e-3 * max(np.abs(want).max(), 1e-3 * scale)
        np.testing.assert_allclose(
            ours[entry.ours], want, rtol=0, atol=tolerance, err_msg=entry.ours
        )


def test_a_last_chunk_that_is_not_full_equals_the_whole_batch(case):
    order = [0, 1, 0]
    latents = encode_frames(case.streams, case.golden["x"][order], 0.18215)
    close(latents, case.golden["mean"][order] * 0.18215, 1e-4)
    pieces = list(decode_frames(case.streams, case.sample[order] * np.float32(0.18215), 0.18215))
    assert [len(p) for p in pieces] == [2, 1]
    close(np.concatenate(pieces), case.golden["decoded"][order], 1e-4)


def test_a_sampled_latent_uses_the_noise_given(case):
    close(
        encode_frames(case.streams, case.golden["x"], 0.18215, case.golden["noise"]),
        case.sample * 0.18215,
        1e-4,
    )
    with pytest.raises(ConfigError, match="chunk"):
        FrameStreams(case.vae, chunk=0)


def test_divergence_from_the_prior_is_the_textbooks():
    mean, logvar = ms.Tensor([[0.0, 0.0], [1.0, 0.0]]), ms.Tensor([[0.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        kl_divergence(mean, logvar).asnumpy(), [0.0, 0.5 + 0.5 * (np.e - 2)], rtol=1e-5
    )


def test_full_size_names_are_those_of_diffusers_converter():
    pairs = json.loads((FOLDER / "vae_names.json").read_text())
    spec = VaeSpec()
    sides = [
        {e.ours: e.source for e in names(spec, *layout)}
        for layout in (("ldm", "first_stage_model."), ("diffusers",))
    ]
    assert {sides[0][ours]: sides[1][ours] for ours in sides[0]} == pairs
    assert parameter_count(spec) == 83_653_863


@pytest.mark.parametrize("layout", WORDS)
def test_names_are_a_bijection_in_every_layout(layout):
    entries = names(VaeSpec(), layout)
    assert len({e.source for e in entries}) == len({e.ours for e in entries}) == len(entries) == 248
    assert all(np.prod(e.our_shape) == np.prod(e.source_shape) for e in entries)


def test_an_impossible_autoencoder_is_refused():
    with pytest.raises(ConfigError, match="groups"):
        VaeSpec(block_channels=(30,))
    with pytest.raises(ConfigError, match="ldm"):
        names(VaeSpec(), "lmd")


def test_every_parameter_gets_a_first_value():
    vae = initialise(AutoencoderKL(SPECS["tiny"]), 1)
    empty = [
        p.name for p in vae.get_parameters() if not np.any(p.asnumpy()) and "norm" not in p.name
    ]
    assert empty == []


def test_decoding_memory_is_stated_as_measured():
    for frames, measured in ((1, 378), (2, 701)):
        np.testing.assert_allclose(
            decode_peak_bytes(VaeSpec(), 256, 256, frames) / 2**20, measured, rtol=0.05
        )
    assert decode_peak_bytes(VaeSpec(), 512, 512) > 3 * decode_peak_bytes(VaeSpec(), 256, 256)
