"""Files cross over between PyTorch and here in both directions, bit for bit (developers only: needs
torch).
"""

import sys
from collections import OrderedDict
from unittest import mock

import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights, write_torch
from mindlong.checkpoints.lazy import Lazy
from mindlong.cli.convert import command

pytestmark = pytest.mark.torch
KINDS = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)


@pytest.fixture(scope="module")
def torch():
    import torch

    return torch


def as_numpy(torch, tensor):
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def test_what_torch_saves_is_read(torch, tmp_path):
    torch.manual_seed(0)
    state = OrderedDict()
    for kind in KINDS:
        base = (torch.randn(6, 4, 5) * 30).to(getattr(torch, kind))
        state |= {
            f"{kind}.base": base,
            f"{kind}.turned": base.transpose(0, 2),
            f"{kind}.part": base[1:4, ::2, 2],
            f"{kind}.scalar": base[0, 0, 0],
            f"{kind}.none": base[:0],
        }
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save({"state": state, "module": module.state_dict(), "step": 3}, tmp_path / "a.pt")
    opened = open_weights(tmp_path / "a.pt")
    wanted = {f"state.{k}": v for k, v in state.items()} | {
        f"module.{k}": v for k, v in module.state_dict().items()
    }
    assert set(opened) == set(wanted)
    for name, tensor in wanted.items():
        array = as_numpy(torch, tensor)
        assert opened[name].dtype == array.dtype and opened[name].shape == array.shape
        assert opened[name].tobytes() == np.array(array, order="C").tobytes(), name


@pytest.mark.parametrize("mapped", [False, True])
def test_what_is_written_here_torch_loads_without_running_anything(torch, tmp_path, mapped):
    draw = np.random.default_rng(0)
    brain = (draw.integers(0, 65536, (40, 50)).astype(np.uint32) << 16).view(np.float32)
    arrays = {
        kind: (draw.standard_normal((3, 4)) * 9).astype(kind)
        for kind in KINDS
        if kind != "bfloat16"
    }
    arrays |= {
        "bfloat16": Lazy((40, 50), "bfloat16", lambda: brain),
        "scalar": np.float32(3),
        "none": np.zeros((0, 2)),
    }
    write_torch(
        tmp_path / "a.pt",
        {"step": 2**40, "rate": 0.1, "none": None, "model": {**arrays, "tie": arrays["int64"]}},
    )
    loaded = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
    assert (loaded["step"], loaded["rate"], loaded["none"]) == (2**40, 0.1, None)
    model = loaded["model"]
    assert model["tie"].data_ptr() == model["int64"].data_ptr()
    for name, array in arrays.items():
        wanted = brain if name == "bfloat16" else np.asarray(array)
        got = as_numpy(torch, model[name])
        assert (
            str(model[name].dtype)
            == f"torch.{'bfloat16' if name == 'bfloat16' else wanted.dtype.name}"
        )
        assert got.shape == wanted.shape and got.tobytes() == wanted.tobytes(), name


def test_the_original_loads_a_round_trip_of_its_own_trainers_file(torch, tmp_path):
    stubs = {
        name: mock.MagicMock()
        for name in ("torchvision", "torchvision.transforms", "torchvision.utils")
    }
    with mock.patch.dict(sys.modules, stubs):  # only the trainer needs it
        from video_diffusion_pytorch import GaussianDiffusion, Unet3D
    torch.manual_seed(0)
    network = Unet3D(
        dim=16, dim_mults=(1, 2, 4), cond_dim=12, attn_heads=4, attn_dim_head=16, channels=1
    )
    diffusion = GaussianDiffusion(network, image_size=16, num_frames=4, channels=1, timesteps=100)
    state = {
        k: torch.randn_like(v) if k.startswith("denoise_fn") and "freqs" not in k else v
        for k, v in diffusion.state_dict().items()
    }
    torch.save(
        {"step": 9, "model": diffusion.state_dict(), "ema": state, "scaler": {}},
        tmp_path / "model-1.pt",
    )
    assert (
        command(["--src", str(tmp_path / "model-1.pt"), "--dst", str(tmp_path / "a.safetensors")])
        == 0
    )
    assert (
        command(["--src", str(tmp_path / "a.safetensors"), "--dst", str(tmp_path / "model-2.pt")])
        == 0
    )
    back = torch.load(tmp_path / "model-2.pt", weights_only=True)
    assert back["step"] == 9 and back["scaler"] == {} and set(back["ema"]) == set(state)
    for key, tensor in state.items():
        assert torch.equal(back["ema"][key], tensor) and back["ema"][key].dtype == tensor.dtype, key
    diffusion.load_state_dict(back["model"])
