"""A whole UNet on simulated ranks: however a video is split, the prediction is that of one
process.
"""

import numpy as np
import pytest
from clip_toys import FRAMES, SIZES, eager, fill, inputs, layout, run, tiny_unet  # noqa: F401
from mindspore import Tensor

from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import family
from mindlong.networks.unet.sharded_cell import ShardedUNet, check_shardable
from mindlong.networks.unet.traffic import kept_bytes, sites
from mindlong.parallel import halo
from mindlong.parallel.sync import Traffic
from mindlong.parallel.volume import rank_bytes
from mindlong.plans.clip_layout import video_infinity_layout
from mindlong.plans.dual_scope import Phase, Tuning
from mindlong.utils.errors import ConfigError

pytestmark = [pytest.mark.usefixtures("eager"), pytest.mark.slow]  # a network compiled for each
SPLITS = [
    ([6, 6], 2),
    ([4, 4, 4], 3),
    ([3, 3, 3, 3], 4),
    ([2] * 6, 6),
    ([5, 3, 4], 3),
    ([1, 7, 1, 3], 2),
    ([1] * 12, 5),
]


@pytest.fixture(scope="module")
def unet():
    return tiny_unet()


@pytest.fixture(scope="module")
def network(unet):
    return ShardedUNet(unet)


def spread(a, b, want):
    return np.abs(a - b).max() / want.std()


@pytest.fixture(scope="module")
def whole(network):
    """One clip, for each of the two tables."""
    import mindspore as ms

    ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
    return {
        name: run(network, layout([FRAMES], *name), 1, *inputs())
        for name in (("all", ""), ("window:5", "spread:4"))
    }


def test_one_clip_that_reads_everything_is_the_network_itself(unet, whole):
    x, t, context, fps = map(Tensor, inputs())
    want = unet(x, t, context, fps).asnumpy()
    assert want.std() > 0.1 and spread(whole["all", ""], want, want) < 1e-5


def test_the_same_table_in_the_networks_own_attention_gives_the_same(whole):
    spec = (
        family("videocrafter2").spec(**SIZES).reading("time", "window:5,spread:4")
    )  # its doubles count twice
    alike = UNet(spec)
    fill(alike)
    doubled = alike(*map(Tensor, inputs())).asnumpy()
    assert spread(whole["window:5", "spread:4"], doubled, doubled) > 1e-3
    once = UNet(family("videocrafter2").spec(**SIZES).reading("time", "window:5"))
    fill(once)
    want = once(*map(Tensor, inputs())).asnumpy()
    assert (
        spread(run(ShardedUNet(once), layout([5, 7], "window:5", ""), 2, *inputs()), want, want)
        < 1e-5
    )


@pytest.mark.parametrize(("lengths", "ranks"), SPLITS)
def test_any_split_gives_what_one_process_gives(network, whole, lengths, ranks):
    table = ("window:5", "spread:4")
    out = run(network, layout(lengths, *table), ranks, *inputs())
    assert spread(out, whole[table], whole[table]) < 1e-5


def test_reading_everything_survives_a_split_to_the_last_bit(network, whole):
    assert np.array_equal(
        run(network, layout([5, 3, 4], "all", ""), 3, *inputs()), whole["all", ""]
    )


def test_how_clips_are_dealt_to_ranks_changes_no_bit(network):
    clips = layout([3, 3, 3, 3])
    outs = [run(network, clips, ranks, *inputs()) for ranks in (1, 2, 4)]
    assert np.array_equal(outs[0], outs[1]) and np.array_equal(outs[0], outs[2])


def test_features_parked_in_host_memory_change_no_bit(network):
    clips, parked = layout([5, 7]), []

    def park(x):
        parked.append(x.asnumpy())
        return parked[-1]

    assert np.array_equal(
        run(network, clips, 1, *inputs()), run(network, clips, 1, *inputs(), park=park)
    )
    assert sum(x.nbytes for x in parked) == 12 * kept_bytes(network.unet.spec, (4, 6))


def test_phases_guidance_batches_and_odd_sizes(network):
    tuning = Tuning(Phase(800, 0, 10), Phase(800, 10, 0), 0.9, True)
    x, _, context, fps = inputs(7, 2, (5, 3))
    for t in (799, 800):
        t_B = np.full(2, t, np.int32)
        one, three = (
            run(network, layout(parts, tuning=tuning), len(parts), x, t_B, context, fps)
            for parts in ([7], [3, 1, 3])
        )
        assert spread(one, three, one) < 1e-5
        plain = run(network, layout([7]), 1, x, t_B, context, fps)
        assert spread(one, plain, one) > 1e-3


def test_a_prompt_for_each_frame(network):
    x, t, context, fps = inputs(6)
    every = np.repeat(context[:, None], 6, 1)
    every[:, 3:] *= -1
    one, two = (
        run(network, layout(lengths), n, x, t, every, fps) for lengths, n in (([6], 1), ([3, 3], 2))
    )
    assert spread(one, two, one) < 1e-5
    assert spread(one, run(network, layout([6]), 1, x, t, context, fps), one) > 1e-3


def test_bytes_sent_are_those_of_the_plan(network):
    clips, traffic = layout([5, 3, 4]), [Traffic() for _ in range(3)]
    run(network, clips, 3, *inputs(), traffic=traffic)
    spec = network.unet.spec
    want = [rank_bytes(sites(spec, (4, 6)), clips, halo.deal(3, 3), rank) for rank in range(3)]
    assert [t.bytes for t in traffic] == want and min(want) > 0


def test_the_shipped_original_depends_on_the_ranks_and_ours_does_not(unet):
    old = ShardedUNet(unet, exact=False, context=4)
    outs = {}
    for ranks in (1, 2, 3):
        clips = video_infinity_layout(halo.split_frames(FRAMES, ranks), 2, 0)
        outs[ranks] = run(old, clips, ranks, *inputs())
        assert np.isfinite(outs[ranks]).all()
    assert spread(outs[1], outs[2], outs[1]) > 1e-3 and spread(outs[1], outs[3], outs[1]) > 1e-3


@pytest.mark.parametrize("name", ["tune_a_video", "pseudo3d"])
def test_other_families_are_refused(name):
    with pytest.raises(ConfigError, match="modelscope or videocrafter2"):
        check_shardable(family(name).spec())


@pytest.mark.parametrize("name", ["modelscope", "videocrafter2", "stable_diffusion"])
def test_these_families_can_be_run(name):
    check_shardable(family(name).spec())


def test_inputs_that_do_not_fit_are_refused(network):
    x, t, context, fps = inputs(6)
    with pytest.raises(ConfigError, match="frame rate"):
        run(network, layout([3, 3]), 2, x, t, context, None)
