"""Train the pixel model of configs/train/vdm_shapes_directions.yaml in PyTorch, on a GPU.

  PYTHONPATH=. python3 tools/gpu/train_pixel.py --seconds 540 --out FOLDER

The network is video-diffusion-pytorch's own Unet3D; noise levels, timesteps, targets and clips are
those of the configuration. FOLDER gets unet.safetensors (the original's names), text.safetensors,
config.yaml and metrics.csv, which tools/gpu/package_pixel.py makes the folder to ship of, and
samples.npz, videos at several scales of guidance.
Pairs after `--` are put over the configuration: -- model.dim=16 data.size=[16,16].
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from functools import partial
from pathlib import Path
from unittest import mock

try:
    import PIL  # noqa: F401
except ImportError:  # the configuration's readers import it, and nothing here uses it
    for name in ("PIL", "PIL.Image", "PIL.ImageColor", "PIL.ImageDraw", "PIL.ImageFont"):
        sys.modules[name] = mock.MagicMock()

import numpy as np
import torch

from mindlong.config.load import Loaded, load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import build_source
from mindlong.data.caption_means import CaptionMeans
from mindlong.data.shapes import Clip, ShapesWorld
from mindlong.diffusion.schedules import of_options
from mindlong.networks.caption.spec import caption_ids
from tools.gpu.clips import batches, pixels
from tools.gpu.clock import Average, Clock, optimizer, save
from tools.gpu.pixel_networks import CaptionEncoder, NoFocus, unet
from tools.gpu.pixel_samples import compare

CONFIG = "configs/train/vdm_shapes_directions.yaml"
EXACT = 0.8  # share of the time after which bfloat16 is left
UNSEEN = 5000  # seed of the world whose captions the videos have
SAVED = (0.6, 0.8)  # shares of the time at which the weights are written, before its end
TRAINED = 0.95  # share of the time for the training; the rest is for videos by its weights


def draw(world: ShapesWorld, size: int, number: int) -> list[Clip]:
    """The clips of a batch."""
    return [world.clip(number * size + i) for i in range(size)]


class Target:
    """What a batch is trained on: noisy clips, timesteps, token ids, and the answers.

    Args:
        config: the training's; clips must show the shapes world.
        world: its source.
        device: of the tensors.
    """

    def __init__(self, config: TrainConfig, world: ShapesWorld, device: str) -> None:
        self.options, self.device = config.diffusion, device
        squared = of_options(self.options).alphas_cumprod
        self.alpha = torch.tensor(np.sqrt(squared), dtype=torch.float32, device=device)
        self.sigma = torch.tensor(np.sqrt(1 - squared), dtype=torch.float32, device=device)
        self.number = {caption: i for i, caption in enumerate(world.captions())}
        ids = [caption_ids(caption, config.model.text.length) for caption in self.number]
        self.ids = torch.from_numpy(np.stack(ids)).long().to(device)
        self.means = self._means(world)

    def _means(self, world: ShapesWorld) -> torch.Tensor:
        if not self.options.terminal_mean:
            return torch.zeros(len(self.number), 1, 1, 1, 1, device=self.device)
        means = CaptionMeans(world, self.options.terminal_clips)
        clips = [means.of(world.clip_of(caption, 0)) for caption in self.number]
        return pixels(torch.from_numpy(np.stack(clips)), self.device)

    def timesteps(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(timesteps (B,), which of them are the last for `terminal_mean`)."""
        last, shift = self.options.timesteps - 1, self.options.shift
        u = torch.rand(count, device=self.device)
        t = (shift * u / (1 + (shift - 1) * u) * (last + 1)).long().clamp(max=last)
        at_end = torch.rand(count, device=self.device) < self.options.terminal_mean
        return torch.where(at_end, last, t), at_end

    def of(self, frames: torch.Tensor, captions: list[str]) -> tuple[torch.Tensor, ...]:
        """(x_t, t, ids, v) of clips, uint8 (B, F, H, W, 3)."""
        numbers = torch.tensor([self.number[caption] for caption in captions])
        numbers = numbers.to(self.device, non_blocking=True)
        x0 = pixels(frames, self.device)
        t, at_end = self.timesteps(len(x0))
        if self.options.terminal_mean:
            x0 = torch.where(at_end.view(-1, 1, 1, 1, 1), self.means[numbers], x0)
        noise = torch.randn_like(x0)
        alpha, sigma = (table[t].view(-1, 1, 1, 1, 1) for table in (self.alpha, self.sigma))
        return alpha * x0 + sigma * noise, t, self.ids[numbers], alpha * noise - sigma * x0


class Pixel(torch.nn.Module):
    """Unet3D and its caption encoder."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        spec = config.model.spec()
        self.unet = unet(spec)
        self.text = CaptionEncoder(config.model.text.spec(), spec.cond_dim)

    def forward(self, x: torch.Tensor, t: torch.Tensor, ids: torch.Tensor, dropped: float = 0.0):
        """The prediction for videos (B, 3, F, H, W), the condition dropped of a share of them."""
        return self.unet(
            x, t, cond=self.text(ids), null_cond_prob=dropped, focus_present_mask=NoFocus()
        )


@torch.no_grad()
def obeyed(model: Pixel, target: Target, motions: int) -> tuple[float, float]:
    """How much of the captions, and of their directions alone, is in the prediction at pure noise:
    the slope of its differences over those of the true means; 1 is right, 0 does not ask.
    """
    count, shape = len(target.ids), target.means.shape[1:]
    noise = torch.randn(1, *shape, device=target.device).expand(count, *shape)
    last = torch.full((count,), target.options.timesteps - 1, device=target.device)
    got, true = -model(noise, last, target.ids).float(), target.means
    of_all = _slope(got - got.mean(0), true - true.mean(0))
    got, true = (videos.unflatten(0, (-1, motions)) for videos in (got, true))
    return of_all, _slope(got - got.mean(1, keepdim=True), true - true.mean(1, keepdim=True))


def _slope(got: torch.Tensor, true: torch.Tensor) -> float:
    return float((got * true).sum() / (true * true).sum())


def write(folder: Path, average: Average) -> None:
    """The averaged weights, each network's under its own names."""
    for name in ("unet", "text"):
        save(average.state(f"model.{name}"), folder / f"{name}.safetensors", torch.float32)


class Learner:
    """A network, its optimizer and its averages: one step at a time."""

    def __init__(self, config: TrainConfig, clock: Clock, device: str) -> None:
        self.drop, self.clip = config.diffusion.cond_drop, config.train.clip_norm
        self.model, self.clock = Pixel(config).to(device), clock
        self.optimizer = optimizer(self.model.parameters(), clock.lr, device)
        self.average, self.device = Average({"model": self.model}), device

    def step(self, x: torch.Tensor, t: torch.Tensor, ids: torch.Tensor, v: torch.Tensor) -> None:
        """Learn from a batch, in half precision for most of the time."""
        halves = self.device == "cuda" and self.clock.share < EXACT
        with torch.autocast("cuda", torch.bfloat16) if halves else contextlib.nullcontext():
            got = self.model(x, t, ids, self.drop)
        loss = torch.nn.functional.mse_loss(got.float(), v)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip, foreach=True)
        self.optimizer.step()
        self.average.update(self.clock.step)
        self.clock.end(loss)


def train(learner: Learner, target: Target, world: ShapesWorld, args: argparse.Namespace) -> None:
    """Until the time is over; the network has its averaged weights then."""
    clock, saved = learner.clock, list(SAVED)
    for frames, captions in batches(partial(draw, world, args.batch), args.workers):
        if not clock.begin(learner.optimizer):
            break
        learner.step(*target.of(frames, captions))
        if saved and clock.share >= saved[0]:
            write(args.out, learner.average)
            saved.pop(0)
    write(args.out, learner.average)
    learner.model.load_state_dict(learner.average.state("model"))


def described(args: argparse.Namespace, steps: int) -> Loaded:
    """The configuration, with what this training has of its own."""
    own = {"steps": steps, "batch_size": args.batch, "lr": args.lr, "lr_end": 0.02, "warmup": 100}
    pairs = [f"train.{key}={value}" for key, value in {**own, "ema_decay": 0.999}.items()]
    return load(CONFIG, [*pairs, *args.overrides], TrainConfig)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--seconds", type=float, required=True)
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--lr", type=float, default=1.5e-3)
    made.add_argument("overrides", nargs="*", help="pairs over the configuration, after --")
    return made


def main() -> None:
    """Train as the command line says."""
    args = parser().parse_args()
    clock = Clock(TRAINED * args.seconds, args.lr, args.out)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config = described(args, 1000).values
    torch.manual_seed(config.train.seed)
    world = build_source(config.data, config.train.seed)
    learner, target = Learner(config, clock, device), Target(config, world, device)
    train(learner, target, world, args)
    text = described(args, max(clock.step, 100)).text
    (args.out / "config.yaml").write_text(text, encoding="utf-8")
    captions, directions = obeyed(learner.model, target, len(world.motions))
    print(f"pixel, pure noise: {captions:.2f} of the captions, {directions:.2f} of the directions")
    others = dataclasses.replace(world, seed=UNSEEN)
    asked = [others.clip(i).caption for i in range(64)]
    compare(learner.model, config, asked, args.out, clock.started + args.seconds)


if __name__ == "__main__":
    main()
