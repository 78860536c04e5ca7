"""Loss and sampling of a conditional Unet3D against video-diffusion-pytorch 0.7.0, with given noise
and timesteps.
"""

import pytest
import vdm_measure as measure


@pytest.mark.parametrize(("kind", "mode"), [("l1", "pynative"), ("l2", "graph")])
def test_training_loss_and_its_gradients(kind, mode):
    with measure.running(mode, "on"):
        found = measure.loss_differences(kind)
    assert found.pop("out") < 1e-6
    assert len(found) > 8 and max(found.values()) < 1e-4, found


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_ten_guided_steps_replay_the_originals_noise(kind):
    with measure.running("graph", "on"):
        assert measure.sample_differences(kind)["out"] < 1e-3
