"""The scheduler_config.json of a package says the noising process that the training had."""

import numpy as np
import pytest

from mindlong.checkpoints.package import _scheduler
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.scheduler_config import read_file


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("zero", [False, True])
def test_the_noise_levels_are_those_of_the_training(tmp_path, shift, zero):
    config = TrainConfig()
    options = config.diffusion
    options.schedule, options.prediction = "scaled_linear", "v"
    options.beta_start, options.beta_end = 0.00085, 0.012
    options.snr_shift, options.zero_terminal_snr = shift, zero
    _scheduler(config, tmp_path)
    found = read_file(tmp_path / "scheduler/scheduler_config.json")
    want = of_options(options).schedule.alphas_cumprod
    np.testing.assert_allclose(found.schedule.alphas_cumprod, want, rtol=1e-12, atol=1e-15)
