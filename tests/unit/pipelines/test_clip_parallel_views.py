"""FreeNoise over clips and processes: however a video is split, the prediction is that of one
process.
"""

import numpy as np
import pytest
from clip_toys import SIZES, eager, fill, run  # noqa: F401
from mindspore import Tensor

from mindlong.networks.unet import motion
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.sharded_cell import ShardedUNet, check_shardable
from mindlong.networks.unet.traffic import sites
from mindlong.networks.unet.views import Views
from mindlong.parallel import halo
from mindlong.parallel.sync import Traffic
from mindlong.parallel.volume import rank_bytes
from mindlong.plans.clip_layout import views_layout
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError

MODE = "pynative"

pytestmark = pytest.mark.usefixtures("eager")
FRAMES, VIEWS = 10, Views(4, 2)
TINY = {k: v for k, v in SIZES.items() if k != "entry_heads"}


def spec_of(version="v2", **more):
    return family("animatediff").spec(**TINY | motion.fields(version, **more) | {"heads": None})


def layout(lengths):
    total = sum(lengths)
    starts = VIEWS.starts(total) if total > VIEWS.window else [0]
    window = min(VIEWS.window, total)
    return views_layout(halo.split_by(lengths), [range(s, s + window) for s in starts])


def inputs(frames=FRAMES):
    x = rng.normal((1, 4, frames, 4, 6), 0, "x")
    context = rng.normal((1, frames, 5, 12), 0, "context")
    return x, np.full(1, 700, np.int32), context, None


@pytest.fixture(scope="module")
def unet():
    net = UNet(spec_of().viewed(VIEWS)).set_train(False)
    fill(net)
    return net


@pytest.fixture(scope="module")
def network(unet):
    return ShardedUNet(unet)


@pytest.fixture(scope="module")
def whole(network):
    return run(network, layout([FRAMES]), 1, *inputs())


def test_one_clip_is_the_network_itself(unet, whole):
    x, t, context, _ = inputs()
    want = unet(Tensor(x), Tensor(t), Tensor(context)).asnumpy()
    assert want.std() > 0.1 and np.abs(whole - want).max() < 1e-5 * want.std()


@pytest.mark.parametrize(
    ("lengths", "ranks"),
    [
        ([5, 5], 2),
        pytest.param([4, 3, 3], 3, marks=pytest.mark.slow),
        pytest.param([2] * 5, 5, marks=pytest.mark.slow),
        pytest.param([1, 6, 3], 2, marks=pytest.mark.slow),
    ],
)
def test_any_split_gives_what_one_process_gives(network, whole, lengths, ranks):
    """However many processes, to the last bit; however many clips, but for rounding, as layers that
    see single frames are run on other numbers of them.
    """
    traffic = [Traffic() for _ in range(ranks)]
    out = run(network, layout(lengths), ranks, *inputs(), traffic=traffic)
    assert np.array_equal(out, run(network, layout(lengths), 1, *inputs()))
    assert np.abs(out - whole).max() < 1e-5 * whole.std()
    clips, held = layout(lengths), halo.deal(len(lengths), ranks)
    places = list(sites(network.unet.spec, (4, 6)))
    assert len(places) == 7  # one a motion module
    for rank, sent in enumerate(traffic):
        assert sent.bytes == rank_bytes(places, clips, held, rank)


@pytest.mark.slow
def test_a_video_of_one_view_is_read_at_once(network, unet):
    x, t, context, _ = inputs(4)
    want = unet(Tensor(x), Tensor(t), Tensor(context)).asnumpy()
    out = run(network, layout([2, 2]), 2, *inputs(4))
    assert np.abs(out - want).max() < 1e-5 * want.std()


def test_a_clip_needs_the_frames_of_every_view_that_touches_it():
    clips = layout([5, 5])
    assert clips.wanted("attention", 0) == (5, 6, 7)
    assert clips.wanted("attention", 1) == (2, 3, 4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (spec_of(), "clip_parallel.strategy=views"),
        (spec_of("v1").viewed(VIEWS), "AnimateDiff v1"),
        (spec_of(compat="diffusers").viewed(VIEWS), "compat"),
        (family("modelscope").spec().viewed(VIEWS), "norms frame by frame"),
        (family("modelscope").spec().viewed(Views(4, 2, around="attention")), "frame by frame"),
    ],
)
def test_what_cannot_run_so_is_a_sentence(spec, words):
    with pytest.raises(ConfigError, match=words):
        check_shardable(spec)
