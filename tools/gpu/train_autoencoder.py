"""Train the autoencoder of the base on the shapes world, with diffusers' AutoencoderKL:

    python tools/gpu/train_autoencoder.py --seconds 90 --out runs/autoencoder

`autoencoder.safetensors` in FOLDER has diffusers' names; tools/convert_checkpoint.py and infer.py
read it. `--start` goes on from such a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from mindlong.data.shapes import Clip, ShapesWorld
from tools.gpu.clips import batches, pixels
from tools.gpu.clock import Average, Clock, optimizer, save

KL = 1e-5


def autoencoder() -> torch.nn.Module:
    """The shipped autoencoder's sizes: an image to a quarter of its height and width, 4 numbers."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
    )


class Images:
    """Draws `count` images of the world `seed` as clips of one frame."""

    def __init__(self, side: int, count: int, seed: int):
        self.world, self.count = ShapesWorld(size=(side, side), frames=1, seed=seed), count

    def __call__(self, number: int) -> list[Clip]:
        return [self.world.clip(number * self.count + i) for i in range(self.count)]


def loss_of(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Mean squared error, and KL times the mean divergence of a latent number from N(0, 1)."""
    posterior = model.encode(images).latent_dist
    error = (model.decode(posterior.sample()).sample.float() - images).square().mean()
    log = posterior.logvar.float()
    divergence = 0.5 * (posterior.mean.float().square() + log.exp() - 1 - log).mean()
    return error + KL * divergence


@torch.no_grad()
def psnr(model: torch.nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """(dB of the mean squared error over held-out images, standard deviation of their latents)."""
    means = model.encode(images).latent_dist.mode()
    made = model.decode(means).sample.clamp(-1, 1)
    error = ((made - images) / 2).square().mean()
    return float(-10 * torch.log10(error)), float(means.std())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--start", type=Path)
    arguments.add_argument("--side", type=int, default=64)
    arguments.add_argument("--batch", type=int, default=256)
    arguments.add_argument("--workers", type=int, default=3)
    options = arguments.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    model = autoencoder().to(device)
    if options.start:
        model.load_state_dict({k: v.float() for k, v in load_file(str(options.start)).items()})
    average = Average({"vae": model}, 0.998)
    learner = optimizer(model.parameters(), 2e-3, device)
    source = batches(Images(options.side, options.batch, 1), options.workers)
    next(source)
    clock = Clock(options.seconds, 2e-3, options.out)
    while clock.begin(learner):
        images = pixels(next(source)[0], device)[:, :, 0]
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda" and clock.share < 0.6):
            loss = loss_of(model, images)
        learner.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        learner.step()
        average.update(clock.step)
        clock.end(loss)
    model.load_state_dict(average.state("vae"))
    save(model.state_dict(), options.out / "autoencoder.safetensors", torch.float32)
    held = torch.cat([pixels(next(batches(Images(options.side, 512, 2), 0))[0], device)[:, :, 0]])
    error, deviation = psnr(model, held)
    print(f"held-out images: {error:.2f} dB, latents' deviation {deviation:.4f}", flush=True)


if __name__ == "__main__":
    main()
