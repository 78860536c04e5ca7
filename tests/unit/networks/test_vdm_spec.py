"""The spec of Unet3D and the names of its tensors, without MindSpore."""

from math import prod
from pathlib import Path

import numpy as np
import pytest

from mindlong.networks.unet3d.names import names, parameter_count
from mindlong.networks.unet3d.spec import Unet3DSpec

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = {"dim": 8, "dim_mults": (1, 2), "attn_heads": 2, "attn_dim_head": 16}
SPECS = {
    "default": Unet3DSpec(64),
    "conditional": Unet3DSpec(64, cond_dim=768),
    "no_sparse": Unet3DSpec(**SMALL, use_sparse_linear_attn=False),
    "other": Unet3DSpec(
        8, None, 2, (1, 3, 2), channels=1, attn_heads=2, attn_dim_head=48, init_kernel_size=3
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_names_and_shapes_are_exactly_the_originals(name):
    with np.load(GOLDEN / "vdm_keys.npz") as arrays:
        wanted = set(arrays[name].tolist())
    entries = names(SPECS[name])
    keys = [
        f"{key} {entry.source_shape}" for entry in entries for key in (entry.source, *entry.ties)
    ]
    assert len(keys) == len(set(keys))
    assert set(keys) == wanted


@pytest.mark.parametrize("name", SPECS)
def test_conversion_is_a_renaming_and_a_reshape_both_ways(name):
    entries = names(SPECS[name])
    assert len({e.ours for e in entries}) == len({e.source for e in entries}) == len(entries)
    for entry in entries:
        assert [n for n in entry.our_shape if n > 1] == [n for n in entry.source_shape if n > 1], (
            entry
        )
        assert prod(entry.our_shape) == prod(entry.source_shape)


def test_default_network_has_the_published_number_of_parameters():
    assert parameter_count(Unet3DSpec(64)) == 35_706_259


def test_frozen_frequencies_are_one_tensor_under_ten_keys():
    (entry,) = [e for e in names(Unet3DSpec(64)) if e.ours == "rotary.freqs"]
    assert len({entry.source, *entry.ties}) == 10 and entry.our_shape == (16,)


def test_another_first_width_sizes_the_last_block():
    shapes = {e.ours: e.our_shape for e in names(Unet3DSpec(**SMALL, init_dim=12))}
    assert shapes["final.res.conv1.weight"] == (8, 24, 3, 3)
    assert shapes["ups.1.res1.conv1.weight"] == (12, 16, 3, 3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dim": 7}, "dim is 7; it must be even"),
        ({"dim": 2}, "dim is 2; it must be even and at least 4"),
        ({"dim": 8, "init_kernel_size": 4}, "init_kernel_size is 4; it must be odd"),
        ({"dim": 8, "attn_dim_head": 5}, "attn_dim_head is 5; it must be even"),
        ({"dim": 8, "dim_mults": ()}, "dim_mults is empty"),
        ({"dim": 8, "block_norm": "batch"}, "block_norm is 'batch'"),
        ({"dim": 12, "block_norm": "group"}, "multiple of 8 channels"),
        ({"dim": 8, "long_skip": "never"}, "long_skip is 'never'"),
    ],
)
def test_impossible_field_is_named(fields, said):
    with pytest.raises(ValueError, match=said):
        Unet3DSpec(**fields)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 3, 4, 8), r"got the shape \(1, 3, 4, 8\)"),
        ((1, 1, 4, 8, 8), "1 channels; the network takes 3"),
        ((1, 3, 4, 8, 10), "8 x 10 pixels; height and width must be multiples of 8"),
    ],
)
def test_video_that_does_not_fit_is_told_why(shape, said):
    with pytest.raises(ValueError, match=said):
        Unet3DSpec(64).check_video(shape)


def test_any_number_of_frames_fits():
    for frames in (1, 2, 17, 33):
        Unet3DSpec(64).check_video((1, 3, frames, 8, 16))
