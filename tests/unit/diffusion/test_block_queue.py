"""The queue of blocks of falling noise: the video of blocks that step together, bit for bit; kill
and rerun; what cannot be is refused.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from mindlong.diffusion.block_queue import Queue, blocks_of
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import sample
from mindlong.diffusion.samplers.loop import Keeper
from mindlong.diffusion.schedules import scaled_linear, zero_terminal_snr
from mindlong.pipelines.clip_parallel.plan import alone
from mindlong.utils.errors import ConfigError

LATENTS, WINDOW, OWN, STEPS = 11, 5, 3, 6
SHAPE = (1, 2, LATENTS, 3, 3)
NOISING = Noising(zero_terminal_snr(scaled_linear()), "v")


def options(sampler="ddim"):
    return SimpleNamespace(
        sampler=sampler,
        steps=STEPS,
        eta=0.0,
        flavour="",
        spacing="",
        original=0,
        dynamic_threshold=0,
    )


def network(x, t):
    """Every latent reads its neighbours and the timestep."""
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0)))
    return (np.tanh(wide[:, :, :-2] + 0.3 * wide[:, :, 2:]) - x * (t[0] / 2000)).astype(np.float32)


def noise(step, frames):
    draw = np.random.default_rng(step)
    return draw.standard_normal(SHAPE).astype(np.float32)[:, :, frames.start : frames.stop]


def queue(sampler="ddim", own=OWN):
    blocks, beside = blocks_of(LATENTS, WINDOW, own)
    return Queue(lambda frames: network, options(sampler), NOISING, blocks, beside, noise)


def together(x_T, sampler, own=OWN):
    """Blocks that take each step together."""
    blocks, beside = blocks_of(LATENTS, WINDOW, own)

    def model(x, t):
        parts = []
        for block in blocks:
            low, high = max(block.start - beside, 0), min(block.stop + beside, LATENTS)
            out = network(np.ascontiguousarray(x[:, :, low:high]), t)
            parts.append(out[:, :, block.start - low : block.stop - low])
        return np.concatenate(parts, 2)

    whole = range(LATENTS)
    return sample(options(sampler), model, x_T, NOISING, noise=lambda s: noise(s, whole))


@pytest.fixture
def x_T():
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize("sampler", ["ddim", "cogvideox_dpm", "dpm_solver", "unipc"])
def test_the_video_is_that_of_blocks_that_step_together(x_T, sampler):
    found = queue(sampler).sample(x_T)
    np.testing.assert_array_equal(found, together(x_T, sampler))
    assert np.abs(found - x_T).max() > 0.1


def test_one_block_is_the_plain_run(x_T):
    blocks = [range(LATENTS)]
    found = Queue(lambda frames: network, options(), NOISING, blocks, 1, noise).sample(x_T)
    want = sample(options(), network, x_T, NOISING, noise=None)
    np.testing.assert_array_equal(found, want)


def test_every_window_has_one_noise_level(x_T):
    """What the network is told is true of all latents that it is shown: x of a clean zero video is
    the level's deviation times the noise.
    """
    made = queue()
    seen = []

    def model_of(frames):
        def zero(x, t):  # v of a clean video of zeros
            level = made.rule.levels[list(made.rule.times).index(t[0])]
            expected = level.sigma * x_T[:, :, frames.start : frames.stop]
            seen.append(float(np.abs(x - expected).max()))
            return (level.alpha / max(level.sigma, 1e-9) * x).astype(np.float32)

        return zero

    made.model_of = model_of
    made.sample(x_T)
    assert len(seen) == STEPS * len(made.blocks) and max(seen) < 1e-4


class Stopped(Keeper):
    """Saves every round; the run is killed after one."""

    def __init__(self, at, found=None):
        self.at, self.found, self.kept = at, found, None

    def after(self, steps, total, x, memory):
        self.kept = (steps, x.copy(), memory.copy())
        if steps == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("sampler", ["ddim", "cogvideox_dpm", "unipc"])
def test_a_killed_run_goes_on_to_the_same_bits(x_T, sampler):
    want = queue(sampler).sample(x_T)
    first = Stopped(5)
    with pytest.raises(KeyboardInterrupt):
        queue(sampler).sample(x_T, first)
    again = Stopped(-1, first.kept)
    np.testing.assert_array_equal(queue(sampler).sample(np.zeros_like(x_T), again), want)


def test_blocks_and_what_they_see():
    blocks, beside = blocks_of(12, 13, 5)
    assert blocks == [range(0, 5), range(5, 10), range(10, 12)] and beside == 4
    for own in (13, 12, 3):
        with pytest.raises(ConfigError, match="takes 4 to 11"):
            blocks_of(12, 13, own)


def test_several_processes_are_refused():
    config = SimpleNamespace(clip_parallel=SimpleNamespace(strategy="queue"))
    alone(config, 1)
    with pytest.raises(ConfigError, match="take strategy exact or windows"):
        alone(config, 2)
