"""Each part of Unet3D alone against video-diffusion-pytorch 0.7.0: output, and the gradients of all
it holds.
"""

import pytest
import vdm_cases as cases
import vdm_measure as measure

TOLERANCE = 1e-5
slow = pytest.mark.slow
RUNS = [
    ("graph", "on"),
    ("pynative", "off"),
    pytest.param("graph", "off", marks=slow),
    pytest.param("pynative", "on", marks=slow),
]


@pytest.mark.parametrize(("mode", "native"), RUNS)
@pytest.mark.parametrize("case", cases.BLOCKS, ids=lambda case: case.name)
def test_block_equals_the_original(case, mode, native):
    with measure.running(mode, native):
        found = measure.block_differences(case)
    worst = max(found, key=found.get)
    assert found[worst] < TOLERANCE, (worst, found[worst])


@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_time_embedding_and_positions_equal_the_original(mode):
    with measure.running(mode, "on"):
        found = measure.piece_differences()
    assert all(found[f"bias {frames}"] == 0 for frames in cases.BIAS_FRAMES), found
    assert max(found.values()) < 1e-6, found
