"""The original's own program: README blocks of video-diffusion-pytorch with the import changed."""

import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("mindspore")
from mindspore import Tensor

from mindlong import GaussianDiffusion, Trainer, Unet3D, video_tensor_to_gif
from mindlong.media.read import read_video
from mindlong.media.write import write_video
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"

# The blocks of the original's README (0.7.0). What a test changes: the two import lines,
# `loss.backward()`, which becomes what MindSpore has, and the numbers, which are smaller.
IMPORTS = "from mindspore import ops as torch\nfrom mindlong import {}\n"
MODEL = "model = Unet3D(dim = 8, {} dim_mults = (1,))\n"
DIFFUSION = """
diffusion = GaussianDiffusion(
    model,
    image_size = 8,
    num_frames = 3,
    timesteps = 3,      # number of steps
    loss_type = 'l1'    # L1 or L2
)
"""
PLAIN = f"""
{IMPORTS.format("Unet3D, GaussianDiffusion")}
{MODEL.format("")}{DIFFUSION}
videos = torch.randn(1, 3, 3, 8, 8)
loss, grads = diffusion.loss_and_grads(videos)
sampled_videos = diffusion.sample(batch_size = 4)
assert sampled_videos.shape == (4, 3, 3, 8, 8)
"""
TEXT = f"""
{IMPORTS.format("Unet3D, GaussianDiffusion")}
{MODEL.format("cond_dim = 64,")}{DIFFUSION}
videos = torch.randn(2, 3, 3, 8, 8)
text = torch.randn(2, 64)
loss, grads = diffusion.loss_and_grads(videos, cond = text)
sampled_videos = diffusion.sample(cond = text)
assert sampled_videos.shape == (2, 3, 3, 8, 8)
loss, grads = diffusion.loss_and_grads(videos, cond = text, prob_focus_present = 0.5)
"""
TRAINING = f"""
{IMPORTS.format("Unet3D, GaussianDiffusion, Trainer")}
{MODEL.format("")}{DIFFUSION.rstrip()}.cuda()
trainer = Trainer(
    diffusion,
    './data',
    train_batch_size = 2,
    train_lr = 1e-4,
    save_and_sample_every = 1,
    train_num_steps = 2,
    gradient_accumulate_every = 2,
    ema_decay = 0.995,
    num_sample_rows = 2,
    amp = AMP
)
trainer.train()
"""
SAMPLING = f"""
{IMPORTS.format("Unet3D, GaussianDiffusion, Trainer, video_tensor_to_gif")}
batch_size = 1
{MODEL.format("cond_dim = 12,")}{DIFFUSION}
trainer = Trainer(diffusion, './data')
trainer.save(3)
trainer.load(-1)
input_condition = torch.randn(batch_size, 12)
output_Gif_Tensor = diffusion.sample(cond = input_condition, batch_size = batch_size)
video_tensor_to_gif(output_Gif_Tensor[0], './output.gif')
"""


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A folder with data/: three GIFs of 8 x 8 pixels and three frames; the working directory."""
    for i in range(3):
        frames = np.random.default_rng(i).integers(0, 255, (3, 8, 8, 3), np.uint8)
        write_video(tmp_path / "data" / f"{i}.gif", frames, 8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", [PLAIN, TEXT], ids=["plain", "text"])
def test_blocks_of_the_readme_run(block):
    exec(compile(block, "README", "exec"), {})


@pytest.mark.slow
def test_the_training_block_writes_what_the_original_does(clips):
    exec(compile(TRAINING.replace("AMP", "False"), "README", "exec"), {})
    assert sorted(p.name for p in (clips / "results").iterdir()) == ["1.gif", "model-1.pt"]
    assert read_video(clips / "results" / "1.gif")[0].shape == (3, 24, 24, 3)


def test_the_sampling_block_takes_up_the_newest_file(clips):
    exec(compile(SAMPLING, "README", "exec"), {})
    assert read_video(clips / "output.gif")[0].shape == (3, 8, 8, 3)


def small(**changed):
    """The smallest network: most of a test is compiling."""
    return Unet3D(dim=8, dim_mults=(1,), **changed)


def diffusion(model, **changed):
    return GaussianDiffusion(model, **{"image_size": 8, "num_frames": 3, "timesteps": 3} | changed)


def video(batch=2):
    return np.random.default_rng(0).random((batch, 3, 3, 8, 8), np.float32)


def test_a_call_and_its_gradients_have_one_loss_and_depend_on_the_seed_alone():
    model = small()
    one, two, three = (diffusion(model, seed=s) for s in (5, 5, 6))
    loss = float(one(video()).asnumpy())
    other, grads = two.loss_and_grads(video())
    assert loss == float(other.asnumpy()) != float(three(video()).asnumpy())
    assert [g.shape for g in grads] == [p.shape for p in one.trainable_params()]
    assert any(np.abs(g.asnumpy()).max() > 0 for g in grads)


def test_a_focused_video_is_denoised_frame_by_frame():
    model = small()
    model.set_train(False)
    made = diffusion(model)
    (key, arrays), clip = made.step_inputs(video(), focus_present_mask=np.array([True, False])), 1
    assert key == (False, True) and arrays[3].tolist() == [True, False]
    network = made.loss_cell(*key).network
    changed = arrays[0].copy()
    changed[:, :, clip] += 1.0
    t = Tensor(arrays[2])
    a, b = (network(Tensor(x), t, Tensor(arrays[3])).asnumpy() for x in (arrays[0], changed))
    moved = np.abs(a - b).max(axis=(1, 3, 4)) > 1e-6
    assert moved[0].tolist() == [False, True, False] and moved[1].all()


def test_training_goes_on_from_a_file(clips):
    model = small()
    trainer = Trainer(diffusion(model), "data", train_batch_size=1, train_num_steps=0)
    trainer.step = 7
    trainer.save(2)
    other = Trainer(diffusion(small(seed=1)), "data")
    before = other.model.trainable_params()[0].asnumpy().copy()
    other.load(2)
    assert other.step == 7
    for a, b in zip(trainer.model.trainable_params(), other.model.trainable_params(), strict=True):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    assert not np.array_equal(before, other.model.trainable_params()[0].asnumpy())


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: small(block_type="vit"), "only 'resnet'"),
        (lambda: diffusion(small(), loss_type="l3"), "l1 or l2"),
        (lambda: diffusion(small())(video()[:, :2]), "is needed"),
        (lambda: diffusion(small())(video(), cond=np.zeros((2, 4))), "takes none"),
        (lambda: diffusion(small(cond_dim=4))(video()), "is conditional"),
        (lambda: diffusion(small(cond_dim=4))(video(), cond=np.zeros((2, 5))), r"\(2, 4\)"),
        (lambda: diffusion(small())(video(), prob_focus_present=2), "between 0 and 1"),
    ],
)
def test_wrong_arguments_are_answered_with_a_sentence(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_a_missing_file_is_a_sentence(clips):
    with pytest.raises(InputFileError, match="no model-N.pt"):
        Trainer(diffusion(small()), "data").load(-1)


def test_importing_the_package_is_light():
    code = "import sys, mindlong; sys.exit('mindspore' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_names_are_offered_where_people_look():
    import mindlong

    assert {"Unet3D", "GaussianDiffusion", "Trainer"} <= set(dir(mindlong))
    assert mindlong.video_tensor_to_gif is video_tensor_to_gif
    with pytest.raises(AttributeError, match=re.escape("'nothing'")):
        mindlong.nothing  # noqa: B018
