"""`model.animate` makes what infer.py pipeline=animate makes, to the last bit."""

import latent_toys
import mindspore as ms
import numpy as np
import pytest
from PIL import Image

import mindlong
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.infer import main
from mindlong.media.read import read_video
from mindlong.networks.unet import names as unet_names
from mindlong.ops import device
from mindlong.utils.errors import ConfigError

EAGER = {"env__mode": "pynative", "env__native": "off"}
KEYS = {"size": [8, 8], "sample__steps": 1, "seed": 7, "frames": 3, "sample__guidance": 2.0}


@pytest.fixture(autouse=True)
def _in_order():
    yield
    ms.set_context(mode=ms.GRAPH_MODE, pynative_synchronize=False)
    device.configure()


@pytest.mark.slow
def test_an_image_or_several_become_what_the_command_makes(tmp_path):
    weights = latent_toys.folder(tmp_path / "weights", "videocrafter1_i2v")
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    model = mindlong.load(weights, quiet=True, **EAGER)
    video = model.animate(image, "a boat", **KEYS)
    pairs = [f"{k.replace('__', '.')}={v}" for k, v in {**KEYS, **EAGER}.items()]
    pairs += ["pipeline=animate", f"weights={weights}", f"image={tmp_path}/a.png", "prompt=a boat"]
    assert main([*pairs, f"output={tmp_path}/out", "formats=[frames]"]) == 0
    frames, fps = read_video(tmp_path / "out/0001/video")
    assert np.array_equal(video.frames, frames) and video.fps == fps
    two = model.animate([tmp_path / "a.png", 255 - image], "a boat", **KEYS)
    assert np.array_equal(two[0].frames, video.frames)
    assert not np.array_equal(two[1].frames, video.frames)
    with pytest.raises(ConfigError, match="makes video from one image"):
        model.animate(image, last=image, **KEYS)


def test_a_file_that_may_be_of_several_networks_is_loaded_as_the_one_that_is_said(tmp_path):
    spec = latent_toys.parts_of("dynamicrafter_interp")["unet"][1]
    state = {
        f"model.diffusion_model.{e.source}": np.ones(e.source_shape, np.float32)
        for e in unet_names.names(spec, "lvdm")
    }
    write_torch(tmp_path / "model.ckpt", {"state_dict": state})
    with pytest.raises(ConfigError, match=r"say it with latent\.family"):
        mindlong.load(tmp_path / "model.ckpt", **EAGER)
    said = {"latent__family": "dynamicrafter_interp", **EAGER}
    assert mindlong.load(tmp_path / "model.ckpt", **said).space == "latent"
