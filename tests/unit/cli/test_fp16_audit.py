"""Overflows planted in every kind of layer are found, and kept layers mend them."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import yaml

from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.float32_file import read_float32, write_float32
from mindlong.checkpoints.parts import Part, read_part
from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.network import made
from mindlong.ops import attention, device
from mindlong.ops.precision import covers, operators
from mindlong.pipelines import fp16_audit
from mindlong.utils.rng import normal

ROOT = Path(__file__).parents[3]
SECTIONS = {
    "unet": {
        "family": "stable_diffusion",
        "channels": [16, 32],
        "layers": 1,
        "attends": [True, False],
        "groups": 4,
        "context_dim": 12,
        "heads": [2],
    },
    "video": {
        "family": "modelscope",
        "channels": [16, 32],
        "layers": 1,
        "attends": [True, False],
        "groups": 4,
        "context_dim": 12,
        "head_dim": 8,
        "entry_heads": 2,
    },
    "vae": {"family": "autoencoder_kl", "block_channels": [16, 32], "layers": 1, "groups": 4},
    "pixel": {"family": "vdm", "dim": 16, "dim_mults": [1, 2], "attn_heads": 2, "channels": 3},
}


@pytest.fixture(autouse=True)
def _operator_by_operator():
    device.setup("CPU", "pynative")
    attention.use("math")
    yield
    attention.use("auto")
    ms.set_context(mode=ms.GRAPH_MODE)


@dataclass
class Held:
    array: np.ndarray

    def read(self):
        return self.array


def random_part(name):
    """A small network with random weights, none of them zero."""
    from mindlong.config.section import spec_of

    section = SECTIONS[name]
    network, spec = table.get(section["family"]), spec_of(section)
    cell = made(network.build)(spec, "float32")
    initialise(cell, 0)
    arrays = {}
    for p in cell.get_parameters():
        value = p.asnumpy()
        if p.ndim > 1 and not value.any():
            value = normal(p.shape, 3, "w", p.name) / np.sqrt(np.prod(p.shape[1:]))
        arrays[p.name] = Held(np.array(value, np.float32))
    return Part(network, spec, arrays), cell


def audited(part, count=1):
    size = (2, 8, 8) if part.network.codec is None else (1, 4, 4)
    return fp16_audit.audit(part, fp16_audit.calls_of(part, size)[-count:])


def scaled(part, factors):
    """The part with tensors multiplied, by names."""
    arrays = dict(part.arrays)
    for name, factor in factors.items():
        arrays[name] = Held(arrays[name].array * np.float32(factor))
    return Part(part.network, part.spec, arrays)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "video" else ()) for n in SECTIONS],
)
def test_random_weights_have_nothing_to_keep(name):
    part, _ = random_part(name)
    found = audited(part, 2)
    assert not found.kept and found.after <= fp16_audit.ALLOWED


PLANTED = {  # network: cell whose result is planted, and what to multiply
    "linear": ("unet", "down.0.spatial.proj_in", {"weight": 3e5}),
    "convolution": ("unet", "down.0.res.conv1", {"weight": 3e5}),
    "first convolution": ("unet", "conv_in", {"weight": 1e6}),
    "group norm": ("unet", "mid.0.res.norm1", {"weight": 1e6}),
    "layer norm": ("unet", "down.0.spatial.block.norm3", {"weight": 3e4}),
    "output of an attention": ("unet", "down.0.spatial.block.attn1.to_v", {"weight": 3e6}),
    "time embedding": ("unet", "time_embedding.fc1", {"weight": 1e6}),
    "convolution over frames": ("video", "down.0.tconv.convs.1", {"weight": 1e6}),
    "norm over frames": ("video", "down.0.tconv.norms.1", {"weight": 1e6}),
    "autoencoder": ("vae", "decoder.mid.res1.conv1", {"weight": 1e6}),
    "encoder": ("vae", "encoder.conv_in", {"weight": 1e6}),
    "pixel convolution": ("pixel", "init_conv", {"weight": 1e6}),
    "channel norm": ("pixel", "init_temporal.norm", {"gamma": 1e6}),
    "rms norm": ("pixel", "downs.0.res1.norm2", {"gamma": 1e6}),
}


QUICK = {"linear", "convolution", "group norm"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in PLANTED],
)
def test_planted_overflows_are_found_and_mended(name):
    network, layer, factors = PLANTED[name]
    part, _ = random_part(network)
    part = scaled(part, {f"{layer}.{leaf}": factor for leaf, factor in factors.items()})
    count = 2 if network == "vae" else 1
    found = audited(part, count)
    assert any(covers(pattern, layer) for pattern in found.kept), found.kept
    assert found.before > found.after and found.after <= fp16_audit.ALLOWED, found


@pytest.mark.slow
def test_the_feed_forwards_product_is_found():
    part, _ = random_part("unet")
    layer = "down.0.spatial.block.ff"
    found = audited(scaled(part, {f"{layer}.proj_in.weight": 800.0}))
    assert any(covers(pattern, f"{layer}.act") for pattern in found.kept), found.kept
    assert found.after <= fp16_audit.ALLOWED


def large_scores(part, layer, norm):
    """The part with an attention whose queries and keys share a large constant: 10 and 8000 along
    one axis, so that scores are near 80000 while their differences stay small, as in Stable
    Diffusion 2.1.
    """
    arrays = {n: Held(h.array.copy()) for n, h in part.arrays.items()}
    arrays[f"{norm}.weight"].array[0] = 0.0
    arrays[f"{norm}.bias"].array[0] = 1.0
    arrays[f"{layer}.to_q.weight"].array[0, 0] = 10.0
    arrays[f"{layer}.to_k.weight"].array[0, 0] = 8000.0
    return Part(part.network, part.spec, arrays)


@pytest.mark.slow
def test_attention_scores_beyond_halves_are_found():
    """Stable Diffusion 2.1's fault: queries and keys are halves, their products are not."""
    part, _ = random_part("unet")
    layer = "down.0.spatial.block.attn1"
    found = audited(large_scores(part, layer, "down.0.spatial.block.norm1"))
    assert found.kept == {layer: found.kept[layer]}
    assert found.kept[layer].startswith("a score of")
    assert max(found.peaks[f"{layer}.{leaf}"].made for leaf in ("to_q", "to_k")) < 32000
    assert found.after <= fp16_audit.ALLOWED < found.before


@pytest.mark.slow
def test_a_sum_beyond_halves_is_found():
    part, _ = random_part("unet")
    arrays = dict(part.arrays)
    for leaf in ("conv2", "skip"):
        name = f"down.2.res.{leaf}.bias"
        arrays[name] = Held(np.full_like(arrays[name].array, 30000.0))
    found = audited(Part(part.network, part.spec, arrays))
    assert any(covers(pattern, "down.2.res.conv2") for pattern in found.kept), found.kept
    assert found.after <= fp16_audit.ALLOWED


@pytest.mark.slow
def test_what_is_kept_is_written_beside_the_weights_and_honoured(tmp_path):
    part, cell = random_part("unet")
    part = scaled(part, {"conv_in.weight": 1e6})
    weights = tmp_path / "model.safetensors"
    write_safetensors(weights, {n: a.array for n, a in part.arrays.items()})
    model = tmp_path / "model.yaml"
    model.write_text("# mine\n" + yaml.safe_dump(SECTIONS["unet"]))
    command = [sys.executable, str(ROOT / "tools" / "fp16_audit.py"), str(weights)]
    done = subprocess.run(
        [*command, "--size", "1", "8", "8"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keep conv_in in float32" in done.stdout and str(model) in done.stdout
    assert model.read_text().startswith("# mine\n")
    spec = read_part(open_weights(weights), "network").spec
    assert "conv_in" in spec.float32
    kept = [n for n, c in operators(made(part.network.build)(spec, "float16")) if c.kept]
    assert "conv_in" in kept


def test_originals_get_a_file_of_their_own(tmp_path):
    place = tmp_path / "sd.ckpt"
    place.write_bytes(b"")
    path = write_float32(place, "unet", ("down.0",))
    assert path.name == "sd.ckpt.mindlong.yaml"
    write_float32(place, "vae", ("decoder.conv_in",))
    assert read_float32(place, "unet") == ("down.0",)
    assert read_float32(place, "vae") == ("decoder.conv_in",)
    assert read_float32(tmp_path / "other.ckpt", "unet") == ()
