"""A UNet that tells every frame its place in the video."""

import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.convert import to_ours
from mindlong.checkpoints.description import metadata
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.recognise import recognise
from mindlong.networks.init import initialise
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.names import names

MODE = "pynative"

SIZES = {
    "channels": (8,),
    "layers": 1,
    "attends": (False,),
    "head_dim": 4,
    "entry_heads": 1,
    "context_dim": 4,
    "groups": 2,
}
PLAIN = family("modelscope").spec(**SIZES, zero=())
PLACED = family("modelscope").spec(**SIZES, zero=("frame",), conditions=("time", "frame"))
RNG = np.random.default_rng(0)
ARRAYS = RNG.standard_normal((1, 4, 3, 4, 4)), np.array([5.0]), RNG.standard_normal((1, 2, 4))
INPUTS = [Tensor(a.astype(np.float32)) for a in ARRAYS]


def test_fresh_places_change_nothing_and_learnt_ones_tell_frames_apart():
    plain, placed = initialise(UNet(PLAIN), 0), initialise(UNet(PLACED), 0)
    before = plain(*INPUTS).asnumpy()
    assert np.allclose(placed(*INPUTS).asnumpy(), before, atol=1e-6)
    placed.frame_embedding.fc2.weight.set_data(
        Tensor(RNG.standard_normal((32, 32)).astype(np.float32))
    )
    moved = np.abs(placed(*INPUTS).asnumpy() - before).max((0, 1, 3, 4))
    assert (moved > 1e-3).all() and len(set(np.round(moved, 6))) == 3


def test_a_clip_of_a_longer_video_is_told_its_own_places():
    placed = initialise(
        UNet(family("modelscope").spec(**SIZES, zero=(), conditions=("time", "frame"))), 0
    )
    whole, part = (
        placed.embedding((INPUTS[1],), 5).asnumpy(),
        placed.embedding((INPUTS[1],), 2, None, 3).asnumpy(),
    )
    assert np.allclose(whole[3:], part, atol=1e-6) and not np.allclose(whole[:2], part, atol=1e-3)


@pytest.mark.parametrize("conditions", [("time", "frame"), ("time", "fps", "frame")])
def test_places_survive_the_way_to_other_names_and_back(tmp_path, conditions):
    spec = family("modelscope").spec(**SIZES, conditions=conditions)
    for layout in ("diffusers", "modelscope"):
        entries = names(spec, layout)
        arrays = {e.source: RNG.standard_normal(e.source_shape).astype(np.float32) for e in entries}
        assert any(name.startswith("frame_embedding.") for name in arrays)
        write_safetensors(tmp_path / f"{layout}.safetensors", arrays)
        weights = open_weights(tmp_path / f"{layout}.safetensors")
        plan = to_ours(
            weights, recognise(weights, family="modelscope")[0], overrides={"head_dim": 4}
        )
        assert plan.report.fits and plan.spec.conditions == conditions
        assert set(plan.arrays) == {e.ours for e in entries}


def test_a_file_of_ours_is_of_the_family_that_it_says(tmp_path):
    # with the frame rate ModelScope's UNet has all names of VideoCrafter2's
    spec = family("modelscope").spec(**SIZES, conditions=("time", "fps"))
    said = {"family": "modelscope", **SIZES, "conditions": ["time", "fps"]}
    arrays = {f"unet.{e.ours}": np.zeros(e.our_shape, np.float32) for e in names(spec, "diffusers")}
    for told, found in ((metadata(said, {}), "modelscope"), ({}, "videocrafter2")):
        path = tmp_path / f"{found}.safetensors"
        write_safetensors(path, arrays, told)
        assert recognise(open_weights(path))[0].network.family == found
