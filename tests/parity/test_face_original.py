"""The face's Trainer and GaussianDiffusion beside the original's, from one file of weights."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mindspore")
from mindspore import Tensor

from mindlong import GaussianDiffusion, Trainer, Unet3D
from mindlong.media.write import write_video

SIZES, SETTINGS = {"dim": 8, "dim_mults": (1, 2)}, {"image_size": 8, "num_frames": 3}
THEIRS = f"""
import sys
from unittest import mock
names = ("torchvision", "torchvision.transforms", "torchvision.utils")  # its trainer's, not needed
sys.modules.update({{name: mock.MagicMock() for name in names}})
import numpy as np, torch
from video_diffusion_pytorch import GaussianDiffusion, Unet3D
diffusion = GaussianDiffusion(Unet3D(**{SIZES}), **{SETTINGS}, timesteps=20)
diffusion.load_state_dict(torch.load(sys.argv[1], weights_only=True)["model"])
x, noise, t = (torch.from_numpy(a) for a in np.load(sys.argv[2]).values())
print(float(diffusion.p_losses(x, t.long(), noise=noise)))
"""


@pytest.mark.torch
def test_the_original_loads_our_file_and_gives_our_loss(tmp_path):
    for i in range(2):
        frames = np.random.default_rng(i).integers(0, 255, (3, 8, 8, 3), np.uint8)
        write_video(tmp_path / "data" / f"{i}.gif", frames, 8)
    ours = GaussianDiffusion(Unet3D(**SIZES, compat=True), **SETTINGS, timesteps=20)
    path = Trainer(ours, tmp_path / "data", results_folder=tmp_path).save(1)
    key, arrays = ours.step_inputs(np.random.default_rng(3).random((2, 3, 3, 8, 8), np.float32))
    np.savez(tmp_path / "step.npz", *arrays)
    command = [sys.executable, "-c", THEIRS, str(path), str(tmp_path / "step.npz")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    got = float(ours.loss_cell(*key)(*map(Tensor, arrays)).asnumpy())
    assert got == pytest.approx(float(told.stdout), rel=1e-5)
