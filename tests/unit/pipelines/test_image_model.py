"""A network that is conditioned on images, with numbers in its place: what stands beside the noise,
what its context holds, at which rates; runs do not depend on batches, processes or stops.
"""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from rank_threads import on_ranks

from mindlong.config.sample import SampleOptions
from mindlong.diffusion import schedules
from mindlong.diffusion.noising import Noising
from mindlong.networks.network import Images
from mindlong.pipelines.hierarchical.runs import Runs
from mindlong.pipelines.image_model import ImageModel, behind
from mindlong.pipelines.image_parts import check_same_latents
from mindlong.pipelines.interpolate.gaps import stretch_of
from mindlong.pipelines.jobs import run_plan
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.latents_on_disk import LatentFolder
from mindlong.pipelines.prompts import Prompts
from mindlong.plans.hierarchy import plan_given
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

ENDS, FIRST = Images("ends", (5, 30), 5, frames=4), Images("first", (15, 30), 24, frames=4)
SHAPE = (2, 3, 3)
SCALED = schedules.videocrafter_scale()
NOISING = Noising(
    schedules.zero_terminal_snr(schedules.scaled_linear()).with_signal_scale(SCALED), "v"
)


class Numbers:
    """A latent model whose every answer depends on all that it is given, row by row."""

    def __init__(self, images):
        self.denoises, self.family = SimpleNamespace(images=images), "numbers"
        self.asked = []

    def decode(self, latents):
        yield from np.clip(latents.transpose(1, 2, 3, 0) * 40 + 128, 0, 255).astype(np.uint8)

    def image_tokens(self, image):
        key = hashlib.sha256(image.tobytes()).digest()
        return (np.frombuffer(key[:24], np.uint8).reshape(8, 3) / 255).astype(np.float32)

    def null_tokens(self):
        return np.zeros((8, 3), np.float32)

    def predict(self, x, t, context, fps):
        self.asked.append(SimpleNamespace(x=x, context=context, fps=fps))
        told = context.reshape(len(x), -1).mean(1) + 0.01 * fps
        return 0.3 * x[:, :2] + 0.2 * x[:, 2:] + 0.1 * told[:, None, None, None, None]


def encode(prompts):
    return np.stack([np.full((5, 3), sum(map(ord, p)) % 7, np.float32) for p in prompts])


def made(folder, given, rows=1, comm=None, rank=0, images=ENDS, **more):
    """A storyboard of four pictures, filled by runs of four frames on two levels."""
    plan = plan_given((4, 4, 4), range(0, 28, 9))
    store = LatentFolder(folder, plan, {"toy": 1}, rank)
    if rank == 0:
        store.give(given)
    if comm is not None:
        comm.all_gather_text("")
        store.refresh()
    options = {"seed": 5, "fps": 24.0, "sample": SampleOptions(steps=3, eta=1.0, guidance=2.0)}
    options |= more
    network = Numbers(images)
    runs = Runs(
        ImageModel(network),
        encode,
        options.pop("sample"),
        NOISING,
        Prompts(plan, "a boat", {}, {"1/1": "a dog"}),
        options.pop("fps"),
        **options,
    )
    for _ in run_plan(plan, store, runs, SHAPE, rows, comm):
        pass
    return store, network


@pytest.fixture
def given():
    return rng.normal((4, *SHAPE), 0, "given")


def video(store):
    return store.frames(range(store.plan.frames))


@pytest.mark.parametrize("pin", ["each_step", "final"])
def test_a_storyboards_frames_stay_bit_for_bit(tmp_path, given, pin):
    store, network = made(tmp_path, given, pin=pin)
    film = video(store)
    np.testing.assert_array_equal(film[::9], given)
    assert len(film) == 28 and np.isfinite(film).all()
    first = network.asked[0]
    np.testing.assert_array_equal(first.x[0, 2:, 0], given[0])
    np.testing.assert_array_equal(first.x[0, 2:, -1], given[1])
    assert not first.x[0, 2:, 1:-1].any()


def test_the_unconditional_call_has_the_same_latents_and_a_grey_images_tokens(tmp_path, given):
    _, network = made(tmp_path, given, image_guidance=3.0)
    both, alone, neither = sorted(
        network.asked[:3],
        key=lambda call: (-call.context[0, 0, 0, 0], -call.context[0, 0, 5:].sum()),
    )
    np.testing.assert_array_equal(both.x, neither.x)
    assert not neither.context[:, :, 5:].any() and both.context[:, :, 5:].any()
    np.testing.assert_array_equal(both.context[:, :, 5:], alone.context[:, :, 5:])
    np.testing.assert_array_equal(alone.context[:, :, :5], neither.context[:, :, :5])


def test_levels_take_the_nearest_trained_rate_or_the_one_given(tmp_path, given):
    _, network = made(tmp_path / "a", given)
    assert {call.fps for call in network.asked} == {8, 24}  # 24 / 3 and 24
    _, network = made(tmp_path / "b", given, fps=4.0)
    assert {call.fps for call in network.asked} == {5}
    assert [Images("first", (1, 6), 3, stride=True).taken(fps) for fps in (24, 8, 2)] == [1, 3, 6]
    assert not ENDS.within(1.6) and ENDS.within(5.2)


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_batches_change_nothing(tmp_path, given, rows):
    one, many = made(tmp_path / "one", given)[0], made(tmp_path / "many", given, rows)[0]
    np.testing.assert_array_equal(video(one), video(many))


def test_two_processes_make_the_same_bits(tmp_path, given):
    Journal(tmp_path / "two", {"toy": 1})
    found = on_ranks(2, lambda rank, comm: made(tmp_path / "two", given, comm=comm, rank=rank))
    assert found == [None, None]
    both = LatentFolder(tmp_path / "two", plan_given((4, 4, 4), range(0, 28, 9)), {"toy": 1})
    np.testing.assert_array_equal(video(both), video(made(tmp_path / "one", given)[0]))


def test_tokens_stand_behind_the_prompts_apart_for_each_frame_or_shared():
    text, tokens = np.ones((2, 5, 3), np.float32), np.arange(48.0).reshape(2, 8, 3)
    by_frame = behind(text, tokens, 4, 4)
    assert by_frame.shape == (2, 4, 7, 3)
    np.testing.assert_array_equal(by_frame[:, 1, 5:], tokens[:, 2:4])
    assert behind(text, tokens, 3, 4).shape == (2, 13, 3)
    per_frame = np.ones((2, 3, 5, 3), np.float32)
    shared = behind(per_frame, tokens, 3, 4)
    assert shared.shape == (2, 3, 13, 3)
    np.testing.assert_array_equal(shared[:, 0, 5:], shared[:, 2, 5:])


@pytest.mark.parametrize(
    ("images", "known", "said"),
    [
        (ENDS, [True, False, False, False], "between two given frames"),
        (ENDS, [False, False, False, True], "from a given first one"),
        (FIRST, [False, False, False, True], "from a given first one"),
    ],
)
def test_a_run_must_know_what_its_network_is_conditioned_on(images, known, said):
    clean = np.zeros((1, 2, 4, 3, 3), np.float32)
    with pytest.raises(ConfigError, match=said):
        ImageModel(Numbers(images)).beside(clean, np.array([known]))


def test_a_first_image_stands_beside_every_frame():
    clean = rng.normal((1, 2, 4, 3, 3), 0, "clean")
    beside = ImageModel(Numbers(FIRST)).beside(clean, np.array([[True, False, False, False]]))
    for frame in range(4):
        np.testing.assert_array_equal(beside[:, :, frame], clean[:, :, 0])


def test_a_network_without_images_is_refused():
    with pytest.raises(ConfigError, match="reads no images"):
        ImageModel(Numbers(None))


@pytest.mark.parametrize(("factor", "kept"), [(15, 1), (5, 3), (3, 5)])
def test_factors_are_those_that_divide_a_run(factor, kept):
    assert stretch_of(factor, 16) == kept
    with pytest.raises(ConfigError, match="must be one of 15, 5, 3"):
        stretch_of(4, 16)


def test_latents_of_another_autoencoder_are_refused():
    def parts(scaling):
        spec = SimpleNamespace(factor=8, latent_channels=4, scaling=scaling)
        return SimpleNamespace(vae=SimpleNamespace(spec=spec))

    check_same_latents(parts(0.18215), parts(0.18215), "key")
    with pytest.raises(ConfigError, match=r"key has scaling 0\.13025 and that of weights 0\.18215"):
        check_same_latents(parts(0.13025), parts(0.18215), "key")
