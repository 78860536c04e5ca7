"""Train the base for length on the shapes world, with diffusers' UNet3DConditionModel:

    python tools/gpu/train_base.py --seconds 540 --out runs/base --text_encoder FOLDER \\
        --autoencoder runs/autoencoder/autoencoder.safetensors \\
        --tokenizer mindlong/weights/latent_shapes/tokenizer

Clips of 16 to 128 frames at many speeds, the frame rate told, the frames numbered from any number
on. `unet.safetensors` and `text_encoder.safetensors` in FOLDER have the names of diffusers and
transformers; tools/convert_checkpoint.py brings them over. `--text_encoder` is a folder as
transformers saves one (tools/convert_checkpoint.py writes it from shipped:latent_shapes).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from mindlong.data.shapes import Clip, ShapesWorld
from mindlong.diffusion.schedules import scaled_linear, zero_terminal_snr
from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.utils.rng import generator
from tools.gpu.clips import batches, pixels
from tools.gpu.clock import Average, Clock, optimizer, save
from tools.gpu.embedded import embedded_unet
from tools.gpu.train_autoencoder import Images, autoencoder

LENGTHS, SHARES = (16, 32, 64, 128), (0.6, 0.15, 0.15, 0.1)
FRAMES = 512  # of a batch
SHIFT = 6.0


@dataclass(frozen=True)
class Films:
    """Batch `number`: clips of one length, each at a frame rate of its own."""

    side: int
    frames: int
    seed: int

    def rates(self, number: int) -> tuple[int, np.ndarray]:
        """(frames of a clip, frames per second of each): a third so few that the object crosses
        the image, the others up to slow motion in which it all but stands.
        """
        draw = generator(self.seed, "films", number)
        length = int(draw.choice(LENGTHS, p=SHARES))
        count = max(1, self.frames // length)
        fast = draw.uniform(size=count) < 0.35
        low, high = np.where(fast, 1.0, 8.0), np.where(fast, 10.0, 480.0)
        spread = draw.uniform(size=count)
        crossing = length / 16  # as many times as many frames for the same way
        return length, np.exp(np.log(low) + spread * np.log(high / low)) * crossing

    def __call__(self, number: int) -> list[Clip]:
        length, rates = self.rates(number)
        return [
            ShapesWorld(
                size=(self.side, self.side),
                frames=length,
                seed=self.seed,
                speed=(0.03 * 8 / rate, 0.08 * 8 / rate),
            ).clip(number * 64 + i)
            for i, rate in enumerate(rates)
        ]


class Noise:
    """Noisy latents and what is to be predicted: v, the last timestep pure noise."""

    def __init__(self, device: str):
        schedule = zero_terminal_snr(scaled_linear())
        signal = torch.tensor(schedule.alphas_cumprod, dtype=torch.float64, device=device)
        self.alpha, self.sigma = signal.sqrt().float(), (1 - signal).sqrt().float()

    def times(self, count: int, device: str) -> torch.Tensor:
        """An eighth at pure noise, half shifted to the noisy ones, the rest anywhere."""
        u, kind = torch.rand(2, count, device=device)
        shifted = SHIFT * u / (1 + (SHIFT - 1) * u)
        times = torch.where(kind < 0.5, shifted, u) * 1000
        return torch.where(kind > 0.875, torch.full_like(times, 999), times).long().clamp(0, 999)

    def mix(self, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(noisy, v, timesteps) of latents (B, C, F, h, w)."""
        times = self.times(len(clean), clean.device.type)
        alpha, sigma = (part[times].view(-1, 1, 1, 1, 1) for part in (self.alpha, self.sigma))
        noise = torch.randn_like(clean)
        return alpha * clean + sigma * noise, alpha * noise - sigma * clean, times


class Words:
    """Token ids of captions; a tenth of them are dropped."""

    def __init__(self, folder: Path, device: str):
        self.read, self.device = load_tokenizer(folder, length=16), device
        self.known: dict[str, np.ndarray] = {}

    def ids(self, captions: list[str], dropped: np.ndarray) -> torch.Tensor:
        """(B, 16) int64."""
        texts = ["" if drop else text for text, drop in zip(captions, dropped, strict=True)]
        for text in set(texts) - set(self.known):
            self.known[text] = np.asarray(self.read([text]))[0]
        rows = np.stack([self.known[text] for text in texts]).astype(np.int64)
        return torch.from_numpy(rows).to(self.device, non_blocking=True)


@torch.no_grad()
def latents(vae: torch.nn.Module, video: torch.Tensor, scaling: float) -> torch.Tensor:
    """(B, 3, F, H, W) in [-1, 1] to (B, 4, F, h, w), the means of their posteriors."""
    batch, frames = video.shape[0], video.shape[2]
    images = video.transpose(1, 2).flatten(0, 1)
    means = vae.encode(images).latent_dist.mode() * scaling
    return means.unflatten(0, (batch, frames)).transpose(1, 2).contiguous()


def scaling_of(vae: torch.nn.Module, side: int, device: str) -> float:
    """1 over the standard deviation of the latents of 256 images."""
    images = pixels(next(batches(Images(side, 256, 1), 0))[0], device)[:, :, 0]
    with torch.no_grad():
        return 1 / float(vae.encode(images).latent_dist.mode().std())


def options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--autoencoder", type=Path, required=True)
    arguments.add_argument("--text_encoder", type=Path, required=True)
    arguments.add_argument("--tokenizer", type=Path, required=True)
    arguments.add_argument("--channels", type=int, nargs=2, default=(48, 80))
    arguments.add_argument("--side", type=int, default=64)
    arguments.add_argument("--frames", type=int, default=FRAMES, help="of a batch")
    arguments.add_argument("--lr", type=float, default=1.5e-3)
    arguments.add_argument("--workers", type=int, default=4)
    arguments.add_argument("--compile", action="store_true", help="for clips of 16 frames")
    arguments.add_argument("--time", action="store_true", help="say how long a step takes")
    arguments.add_argument("--start", type=Path, help="a folder of an earlier run")
    return arguments.parse_args()


class Training:
    """The networks of a run, what they learn from, and one step."""

    def __init__(self, chosen: argparse.Namespace):
        from transformers import CLIPTextModel

        self.chosen, self.device = chosen, "cuda" if torch.cuda.is_available() else "cpu"
        self.vae = autoencoder().to(self.device).eval()
        self.vae.load_state_dict(load_file(str(chosen.autoencoder)))
        self.text = CLIPTextModel.from_pretrained(chosen.text_encoder).float().to(self.device)
        self.unet = embedded_unet(tuple(chosen.channels)).to(self.device)
        if chosen.start:
            for module, name in ((self.unet, "unet"), (self.text, "text_encoder")):
                state = load_file(str(chosen.start / f"{name}.safetensors"))
                module.load_state_dict({k: v.float() for k, v in state.items()})
        self.usual = torch.compile(self.unet, dynamic=False) if chosen.compile else self.unet
        self.noise, self.words = Noise(self.device), Words(chosen.tokenizer, self.device)
        self.films = Films(chosen.side, chosen.frames, 11)
        self.scaling = scaling_of(self.vae, chosen.side, self.device)
        self.average = Average({"unet": self.unet, "text_encoder": self.text})
        self.times: dict[int, list[float]] = {}
        self.last = time.monotonic()
        self.parts = [*self.unet.parameters(), *self.text.parameters()]

    def loss(self, number: int, batch: tuple[torch.Tensor, list[str]], half: bool) -> torch.Tensor:
        """The mean squared error of v on batch `number`."""
        frames, captions = batch
        length, rates = self.films.rates(number)
        draw = generator(0, "step", number)
        clean = latents(self.vae, pixels(frames, self.device), self.scaling)
        noisy, goal, times = self.noise.mix(clean)
        ids = self.words.ids(captions, draw.uniform(size=len(captions)) < 0.1)
        first = int(draw.integers(0, 256)) if draw.uniform() < 0.3 else 0
        places = torch.arange(first, first + length, device=self.device, dtype=torch.float32)
        rates_B = torch.from_numpy(rates.astype(np.float32)).to(self.device, non_blocking=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=half):
            context = self.text(ids).last_hidden_state
            unet = self.usual if length == LENGTHS[0] else self.unet
            made = unet(noisy, times, context, rates_B, places)
        return (made.float() - goal).square().mean()

    def noted(self, number: int, loss: torch.Tensor) -> None:
        """Wait for the step and keep its time under its length."""
        float(loss)  # which waits for the device
        now = time.monotonic()
        self.times.setdefault(self.films.rates(number)[0], []).append(now - self.last)
        self.last = now

    def write(self, folder: Path) -> None:
        """The averaged networks."""
        for name in ("unet", "text_encoder"):
            save(self.average.state(name), folder / f"{name}.safetensors", torch.float32)
        facts = {"scaling": self.scaling, "channels": list(self.chosen.channels)}
        (folder / "facts.json").write_text(json.dumps(facts))


def main() -> None:
    chosen = options()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    training = Training(chosen)
    source = batches(training.films, chosen.workers)
    learner = optimizer(training.parts, chosen.lr, training.device)
    clock, number = Clock(chosen.seconds, chosen.lr, chosen.out), 0
    written = [0.5, 0.75, 0.9]
    while clock.begin(learner):
        loss = training.loss(number, next(source), training.device == "cuda")
        learner.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.parts, 1.0)
        learner.step()
        training.average.update(clock.step)
        clock.end(loss)
        if chosen.time:
            training.noted(number, loss)
        number += 1
        if written and clock.share > written[0]:
            written.pop(0)
            training.write(chosen.out)
    training.write(chosen.out)
    for length, seconds in training.times.items():
        print(f"{length} frames: {len(seconds)} steps, median {np.median(seconds) * 1000:.0f} ms")
    with contextlib.suppress(RuntimeError):
        print(f"memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB", flush=True)
    print(f"scaling {training.scaling:.4f}, {math.ceil(number)} steps", flush=True)


if __name__ == "__main__":
    main()
