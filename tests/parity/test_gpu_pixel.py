"""The pixel model's PyTorch side (tools/gpu) computes what ours does, from the files that it
writes, and its flat convolutions what the original's do.
"""

import copy

import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.load import load_into
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.networks.caption.spec import caption_ids
from mindlong.networks.unet3d.conditioned import of_model

pytestmark = pytest.mark.torch
SMALL = ["model.dim=8", "model.dim_mults=[1,2]", "model.attn_heads=1", "model.cond_dim=8"]
CAPTIONS = ("a red circle moving up", "a zebra", "")


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.manual_seed(0)
    return torch


@pytest.fixture(scope="module", params=["", "time"], ids=["plain", "shifted"])
def small(request):
    shift = f"model.token_shift={request.param}"
    return load("configs/train/vdm_shapes_directions.yaml", [*SMALL, shift], TrainConfig).values


@pytest.fixture(scope="module")
def learner(torch, small):
    from tools.gpu.train_pixel import Pixel

    model = Pixel(small)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return model


def inputs():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((3, 3, 4, 8, 8), dtype=np.float32)
    ids = np.stack([caption_ids(text, 12) for text in CAPTIONS])
    return x, np.array([999, 400, 3], np.int32), ids


def test_what_it_writes_is_our_network(torch, small, learner, tmp_path):
    from tools.gpu.clock import Average
    from tools.gpu.package_pixel import arrays
    from tools.gpu.train_pixel import write

    write(tmp_path, Average({"model": learner}))
    ours = of_model(small.model)
    load_into(ours, arrays(tmp_path))
    x, t, ids = inputs()
    dropped = np.array([False, False, True])
    got = ours(*map(Tensor, (x, t, ids, dropped))).asnumpy()
    with torch.no_grad():
        rows = [
            learner(
                *(torch.from_numpy(a[i : i + 1]) for a in (x, t)),
                torch.tensor(ids[i : i + 1]),
                drop,
            )
            for i, drop in enumerate((0.0, 0.0, 1.0))
        ]
    wanted = torch.cat(rows).numpy()
    assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_flat_convolutions_and_norms_are_the_originals(torch, learner):
    from tools.gpu import pixel_networks as flat

    module, whole = flat.original(), copy.deepcopy(learner)
    theirs = {
        flat.FlatConv: torch.nn.Conv3d,
        flat.FlatConvTranspose: torch.nn.ConvTranspose3d,
        flat.FlatRms: module.RMSNorm,
        flat.FlatLayer: module.LayerNorm,
    }
    for part in whole.modules():
        part.__class__ = theirs.get(type(part), type(part))
    assert not any(isinstance(part, tuple(theirs)) for part in whole.modules())
    x, t, ids = map(torch.from_numpy, inputs())
    with torch.no_grad():
        got, wanted = learner(x, t, ids.long()), whole(x, t, ids.long())
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_targets_are_those_of_the_configuration(torch, small):
    from mindlong.data.build import build_source
    from tools.gpu.train_pixel import Target, draw

    small = copy.deepcopy(small)
    small.diffusion.terminal_mean, small.diffusion.terminal_clips = 0.5, 60
    world = build_source(small.data, 0)
    target, clips = Target(small, world, "cpu"), draw(world, 16, 0)
    frames = torch.from_numpy(np.stack([clip.frames_FHWC for clip in clips]))
    x, t, _, v = target.of(frames, [clip.caption for clip in clips])
    alpha, sigma = (table[t].view(-1, 1, 1, 1, 1) for table in (target.alpha, target.sigma))
    x0 = alpha * x - sigma * v
    numbers = [target.number[clip.caption] for clip in clips]
    end = t == 999
    assert 0 < end.sum() < 16
    assert torch.allclose(x0[end], target.means[numbers][end], atol=1e-5)
    shown = frames.permute(0, 4, 1, 2, 3) / 127.5 - 1
    assert torch.allclose(x0[~end], shown[~end], atol=1e-5)
