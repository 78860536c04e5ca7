"""CogVideoX's autoencoder against diffusers': encoding and decoding as streams, in the published
chunks, 1e-5 of the largest value; names and shapes of the published one, both namings.
"""

import hashlib
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from cogvideox_cases import DECODED, ENCODED, VAE_SIZE, drawn, unequal
from mindspore import Tensor

from mindlong.networks.cogvideox_vae.cell import VideoVae
from mindlong.networks.cogvideox_vae.names import names, parameter_count
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec, chunks
from mindlong.networks.cogvideox_vae.streams_cell import CausalStream, CausalStreams
from mindlong.networks.names import by_source, our_array, source_array
from mindlong.networks.streams import through
from mindlong.utils.errors import ConfigError

MODE = "pynative"  # the slow tests are compiled
GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = VideoVaeSpec(latent_channels=4, block_channels=(8, 16, 16), layers=1, groups=4)
SMALL = (VAE_SIZE[0] // 4, VAE_SIZE[1] // 4)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "cogvideox_vae.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def streams():
    vae = VideoVae(SPEC)
    parameters = {p.name: p for p in vae.get_parameters()}
    assert set(parameters) == {e.ours for e in names(SPEC)}
    for entry in names(SPEC):
        weight = our_array(entry, drawn(entry.source, entry.source_shape))
        parameters[entry.ours].set_data(Tensor(weight))
    return CausalStreams(vae)


def close(ours, want, tolerance=1e-5):
    assert ours.shape == want.shape
    np.testing.assert_allclose(ours, want, rtol=0, atol=tolerance * np.abs(want).max())


def made(stream, rows, parts=3):
    """What a stream gives of rows that come in some parts."""
    return np.concatenate(list(through(stream, np.array_split(rows, parts))))


QUICK_IN, QUICK_OUT = (17,), (5,)  # both kinds of chunk: at the start, and behind another


def compiled_unless(quick):
    ms.set_context(mode=ms.PYNATIVE_MODE if quick else ms.GRAPH_MODE)


def slow_but(quick, every):
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in every]


@pytest.mark.parametrize("frames", slow_but(QUICK_IN, ENCODED))
def test_encoding(streams, golden, frames):
    compiled_unless(frames in QUICK_IN)
    moments = made(streams.encoding(frames), unequal(frames, 3, VAE_SIZE, frames))
    close(moments, golden[f"encode/{frames}"])


@pytest.mark.parametrize("latents", slow_but(QUICK_OUT, DECODED))
def test_decoding(streams, golden, latents):
    compiled_unless(latents in QUICK_OUT)
    images = made(streams.decoding(latents), unequal(latents, 4, SMALL, latents))
    close(images, golden[f"decode/{latents}"])


@pytest.mark.slow
def test_the_chunks_are_part_of_the_model(streams, golden):
    compiled_unless(False)
    z = unequal(7, 4, SMALL, 7)
    whole = made(CausalStream(streams.decoder, [7], False), z)
    close(whole, golden["whole/7"])
    assert np.abs(whole - golden["decode/7"]).max() > 1e-2


@pytest.mark.slow
def test_a_long_video_is_decoded_in_flat_memory(streams):
    compiled_unless(False)
    stream, z = streams.decoding(1001), unequal(1001, 4, SMALL, 5)
    held, count = set(), 0
    for images in through(stream, np.array_split(z, 91)):
        held.add(tuple(tensor.shape for tensor in stream.kept))
        count += len(images)
    assert count == SPEC.frames_of(1001) == 4001 and len(held) == 1


def test_lengths_and_chunks_as_published():
    assert [chunks(n, 2) for n in (1, 2, 3, 4, 5, 13)] == [
        [1],
        [2],
        [3],
        [2, 2],
        [3, 2],
        [3, 2, 2, 2, 2, 2],
    ]
    assert [chunks(n, 8) for n in (1, 9, 17, 12)] == [[1], [9], [9, 8], [12]]
    assert [SPEC.latents_of(n) for n in (1, 9, 49)] == [1, 3, 13]
    assert [SPEC.frames_of(n) for n in (1, 3, 13)] == [1, 9, 49]
    with pytest.raises(ConfigError, match=r"frames is 16; .* 8N \+ 1 .* nearest are 9 and 17"):
        SPEC.latents_of(16)
    with pytest.raises(ConfigError, match="4 latents are no video"):
        SPEC.frames_of(4)


def test_a_stream_that_lacks_rows_says_so(streams):
    stream = streams.decoding(3)
    assert list(stream.feed(unequal(2, 4, SMALL, 0))) == []
    with pytest.raises(ValueError, match="lacks 3 rows and has 2 more"):
        stream.close()


def test_names_and_shapes_are_the_published_ones():
    spec, said = VideoVaeSpec(), json.loads((GOLDEN / "cogvideox_keys.json").read_text())["vae"]
    lines = sorted(f"{e.source} {e.source_shape}" for e in names(spec))
    assert len(lines) == said["count"] == 436
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == said["sha256"]
    assert parameter_count(spec) == 215_583_907


@pytest.mark.parametrize("layout", ["diffusers", "sat"])
def test_both_namings_come_back_bit_for_bit(layout):
    entries = names(SPEC, layout)
    assert {e.ours: e.our_shape for e in entries} == {e.ours: e.our_shape for e in names(SPEC)}
    theirs = {e.source: drawn(e.source, e.source_shape) for e in entries}
    ours = {e.ours: our_array(e, theirs[e.source]) for e in entries}
    for source, group in by_source(entries).items():
        assert np.array_equal(source_array(group, ours), theirs[source])
