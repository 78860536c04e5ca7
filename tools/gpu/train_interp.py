"""Train a tiny DynamiCrafter interp on the shapes world, with the original's own classes
(developers only: PyTorch, einops, a GPU or patience).

    git clone https://github.com/Doubiiu/DynamiCrafter && git -C DynamiCrafter checkout c453369
    python tools/convert_checkpoint.py --src mindlong/weights/latent_shapes/vae.safetensors \
      --dst first_stage.safetensors --layout ldm
    PYTHONPATH=. python tools/gpu/train_interp.py --original DynamiCrafter \
      --first_stage first_stage.safetensors --seconds 540 --out runs/interp

OUT/model.safetensors has the names of the published files (mindlong/weights/storyboard_shapes).
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import diffusers.models.autoencoders.autoencoder_kl  # noqa: F401  before there is an xformers
import numpy as np
import torch
from torch.nn import functional as F

from mindlong.networks.clip.tokenizer import load_tokenizer
from tools.gpu import interp_networks
from tools.gpu.clips import batches, pixels
from tools.gpu.clock import Average, Clock, optimizer, save
from tools.gpu.interp_clips import Clips
from tools.gpu.train_autoencoder import Images

ROOT = Path(__file__).resolve().parents[2]
DROP, CLIP, RATE = 0.15, 1.0, 0.0015
BASE, STEPS = 0.7, 1000  # the dynamic rescale, timesteps
TRAINED = ("model.diffusion_model", "cond_stage_model.model", "image_proj_model")
HALF, SAVED = 0.7, (0.6, 0.8)  # shares of the time: in bfloat16; when the weights are written
RESERVE = 10.0  # seconds for what comes behind the training
HELD_OUT = 5000  # first world seed of the clips that are never trained on


def schedule(device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(roots of the signal's share, of the noise's, the dynamic scale), each (1000,): Stable
    Diffusion's betas, rescaled so that the last timestep is pure noise.
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    scale = np.append(np.linspace(1, BASE, 400), np.full(STEPS - 400, BASE))
    tables = (root, np.sqrt(1 - root**2), scale)
    return tuple(torch.tensor(t, dtype=torch.float32, device=device) for t in tables)


class Pool:
    """The last clips that were drawn, as latents on the device; each is used several times."""

    def __init__(
        self, nets: dict, clips: Clips, workers: int, device: str, size: int, scaling: float
    ):
        self.scaling = scaling
        self.nets, self.clips, self.device, self.size = nets, clips, device, size
        self.source, self.number, self.filled, self.at = batches(clips, workers), 0, 0, 0
        self.tokenizer = load_tokenizer(ROOT / "mindlong/weights/latent_shapes/tokenizer", 77, 0)
        self.known: dict[str, np.ndarray] = {}
        self.rows: list[torch.Tensor] = []

    @torch.no_grad()
    def take(self) -> None:
        """Draw a batch and put it in the place of the oldest."""
        frames, captions = next(self.source)
        video = pixels(frames, self.device)
        batch, _, count = video.shape[:3]
        images = video.transpose(1, 2).flatten(0, 1)
        latents = self.scaling * self.nets["first_stage_model"](images)
        latents = latents.unflatten(0, (batch, count)).transpose(1, 2)
        tokens = self.nets["embedder.model"].visual(video[:, :, 0])
        ids = torch.from_numpy(np.stack([self.ids(c) for c in captions]).astype(np.int64))
        rates = torch.from_numpy(self.clips.rates(self.number))
        new = [latents, tokens, ids.to(self.device), rates.to(self.device)]
        if not self.rows:
            self.rows = [
                torch.empty((self.size, *n.shape[1:]), dtype=n.dtype, device=n.device) for n in new
            ]
        for rows, n in zip(self.rows, new, strict=True):
            rows[self.at : self.at + batch] = n
        self.number, self.filled = self.number + 1, min(self.filled + batch, self.size)
        self.at = (self.at + batch) % self.size

    def ids(self, caption: str) -> np.ndarray:
        """The caption's tokens."""
        if caption not in self.known:
            self.known[caption] = self.tokenizer([caption])[0]
        return self.known[caption]

    def draw(self, count: int) -> list[torch.Tensor]:
        """Latents, the image encoder's tokens of the first frame, token ids, rates."""
        at = torch.randint(self.filled, (count,), device=self.device)
        return [rows[at] for rows in self.rows]


def beside(x0: torch.Tensor) -> torch.Tensor:
    """The given latents: both ends, zeros between."""
    given = torch.zeros_like(x0)
    given[:, :, [0, -1]] = x0[:, :, [0, -1]]
    return given


class Loss:
    """The training's loss of a batch, as the original has it: v of the scaled clean latents."""

    def __init__(self, nets: dict, empty: torch.Tensor, device: str, side: int):
        self.nets, self.tables = nets, schedule(device)
        grey = torch.zeros((1, 3, side, side), device=device)
        with torch.no_grad():
            self.grey, self.empty = nets["embedder.model"].visual(grey), empty

    def predicted(self, x, t, x0, image, ids, rates) -> torch.Tensor:
        """What the network says of noisy latents `x`."""
        text = self.nets["cond_stage_model.model"](ids)
        context = torch.cat([text, self.nets["image_proj_model"](image)], 1)
        both = torch.cat([x, beside(x0)], 1)
        return self.nets["model.diffusion_model"](both, t, context=context, fs=rates)

    def dropped(self, image: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A third of the share loses its caption, a third its image, a third both."""
        lot = torch.rand(len(ids), device=ids.device) * 3 / DROP
        text, picture = (lot < 1) | ((lot >= 2) & (lot < 3)), (lot >= 1) & (lot < 3)
        return (
            torch.where(picture[:, None, None], self.grey, image),
            torch.where(text[:, None], self.empty, ids),
        )

    def __call__(self, x0, image, ids, rates, t=None) -> torch.Tensor:
        """The mean of the squared errors; without `t`, timesteps and drops are drawn."""
        if t is None:
            image, ids = self.dropped(image, ids)
            t = torch.randint(STEPS, (len(x0),), device=x0.device)
        signal, noise, scale = (table[t][:, None, None, None, None] for table in self.tables)
        n, clean = torch.randn_like(x0), scale * x0
        found = self.predicted(signal * clean + noise * n, t, x0, image, ids, rates)
        return F.mse_loss(found.float(), signal * n - noise * clean)


@torch.no_grad()
def scaling_of(first_stage: torch.nn.Module, side: int, device: str) -> float:
    """1 over the standard deviation of the latents of 256 images."""
    images = pixels(next(batches(Images(side, 256, 1), 0))[0], device)[:, :, 0]
    return 1 / float(first_stage(images).std())


def written(nets: dict, average: Average, folder: Path) -> None:
    """model.safetensors with the averages, in the names of the published files."""
    state = {}
    for prefix, network in nets.items():
        own = average.state(prefix) if prefix in TRAINED else network.state_dict()
        state |= {f"{prefix}.{name}": value for name, value in own.items()}
    scale = np.append(np.linspace(1, BASE, 400), np.full(1000, BASE))
    state["scale_arr"] = torch.tensor(scale, dtype=torch.float32)
    save(state, folder / "model.safetensors", torch.float32)


@torch.no_grad()
def held_out(
    nets: dict, average: Average, loss: Loss, device: str, batch: int, args: argparse.Namespace
) -> list[str]:
    """The averaged weights' loss at ten timesteps on clips that were never trained on."""
    for prefix in TRAINED:
        nets[prefix].load_state_dict(average.state(prefix))
    pool = Pool(nets, Clips(batch, HELD_OUT, args.side), 0, device, batch, args.scaling)
    pool.take()
    torch.manual_seed(1)
    rows = ["timestep,loss"]
    for t in range(99, STEPS, 100):
        place = torch.full((batch,), t, device=device)
        rows.append(f"{t},{float(loss(*pool.rows, t=place)):.6f}")
    return rows


def train(args: argparse.Namespace) -> None:
    """The whole training."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    interp_networks.use(args.original)
    nets = interp_networks.networks(args.first_stage, args.side)
    for prefix, network in nets.items():
        network.to(device).requires_grad_(prefix in TRAINED)
    learnt = {prefix: nets[prefix] for prefix in TRAINED}
    parameters = [p for network in learnt.values() for p in network.parameters()]
    print(sum(p.numel() for p in parameters), "parameters", flush=True)
    average, steps = Average(learnt), optimizer(parameters, RATE, device)
    scaling = args.scaling or scaling_of(nets["first_stage_model"], args.side, device)
    args.scaling = scaling
    clips = Clips(args.batch, side=args.side)
    pool = Pool(nets, clips, args.workers, device, args.batch * args.pool, scaling)
    empty = torch.from_numpy(pool.ids("").astype(np.int64)).to(device)
    loss = Loss(nets, empty, device, args.side)
    clock = Clock(args.seconds - RESERVE, RATE, args.out)
    saved = list(SAVED)
    while clock.begin(steps):
        if clock.step % args.every == 0:
            pool.take()
        half = device == "cuda" and clock.share < HALF
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            found = loss(*pool.draw(args.batch))
        steps.zero_grad(set_to_none=True)
        found.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        steps.step()
        average.update(clock.step)
        clock.end(found)
        if saved and clock.share > saved[0]:
            saved.pop(0)
            written(nets, average, args.out)
    written(nets, average, args.out)
    rows = held_out(nets, average, loss, device, min(4 * args.batch, 256), args)
    print(f"scaling {scaling:.4f}", flush=True)
    (args.out / "held_out.csv").write_text("\n".join(rows) + "\n")
    print("done:", clock.step, "steps", *rows[1:], flush=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--original", type=Path, default=Path(".gpu/interp/original"))
    parser.add_argument(
        "--first_stage", type=Path, default=Path(".gpu/interp/first_stage.safetensors")
    )
    parser.add_argument("--side", type=int, default=48, help="of the frames, pixels")
    parser.add_argument(
        "--scaling", type=float, default=1.085, help="of the latents; 0: as they are found"
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pool", type=int, default=128, help="batches that are kept")
    parser.add_argument("--every", type=int, default=2, help="steps of a new batch")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
