"""Train diffusers' CogVideoX transformer and transformers' CLIP text encoder, both small, on the
shapes world, in the latents of the shipped image autoencoder, for a given time.

  PYTHONPATH=. python3 tools/gpu/train_cogvideox.py --seconds 480 --out FOLDER

The process is that of configs/train/cogvideox_shapes.yaml. FOLDER becomes a folder of diffusers
(transformer, vae, text_encoder, tokenizer, scheduler), which `infer.py weights=FOLDER` and
`tools/convert_checkpoint.py --src FOLDER` read. No MindSpore is needed.

Legend: N clips, B clips of a step, C channels, F frames, h w latent pixels, S tokens, D numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, CogVideoXTransformer3DModel
from safetensors.numpy import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from mindlong.data.shapes import Clip, ShapesWorld
from mindlong.diffusion.schedules import scaled_linear, snr_shifted, zero_terminal_snr
from mindlong.networks.clip import text_names
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.clip.tokenizer import load_tokenizer
from mindlong.networks.cogvideox.network import hub_config
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.names import by_source, source_array
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae import network as vae_network
from mindlong.networks.vae.spec import VaeSpec
from tools.gpu.clips import batches, pixels
from tools.gpu.clock import Average, Clock, optimizer, save
from tools.schedulers import COGVIDEOX

SHIPPED = Path(__file__).parents[2] / "mindlong/weights/latent_shapes"
WORLD = ShapesWorld((48, 48), 16)
SPEC = CogVideoXSpec(
    heads=6,
    head_dim=16,
    layers=6,
    in_channels=4,
    out_channels=4,
    time_dim=32,
    context_dim=64,
    tokens=16,
    sample=(16, 12, 12),
    spatial_scale=1.0,
)
VAE = VaeSpec(block_channels=(16, 32, 64), layers=1, groups=8, scaling=1.085)
TEXT = ClipTextSpec(
    vocabulary=582, width=64, layers=2, heads=4, hidden=128, length=16, activation="gelu", pad_id=0
)
DROPPED = 0.1  # captions: diffusion.cond_drop
SHIFT = 3.0  # of the timesteps: diffusion.shift
TERMINAL = 0.3  # of the samples, at the last timestep: diffusion.terminal_mean
CLIP_NORM = 1.0
DRAWN = 16  # clips that a worker draws at a time
MOST = 16384  # clips
FILLING = 0.07  # of the time
ENDING = 8.0  # seconds


def shipped(part: str, entries) -> dict[str, torch.Tensor]:
    """Weights of the shipped package under the original's names."""
    held = load_file(SHIPPED / f"{part}.safetensors")
    ours = {name.split(".", 1)[1]: array.astype(np.float32) for name, array in held.items()}
    return {k: torch.from_numpy(source_array(v, ours)) for k, v in by_source(entries).items()}


def autoencoder() -> AutoencoderKL:
    """The shipped autoencoder as diffusers'."""
    vae = AutoencoderKL.from_config(vae_network.hub_config(VAE))
    vae.load_state_dict(shipped("vae", vae_names.names(VAE)))
    return vae.eval().requires_grad_(False)


def text_encoder() -> CLIPTextModel:
    """The shipped text encoder as transformers'; it goes on learning."""
    config = CLIPTextConfig(
        vocab_size=TEXT.vocabulary,
        hidden_size=TEXT.width,
        num_hidden_layers=TEXT.layers,
        num_attention_heads=TEXT.heads,
        intermediate_size=TEXT.hidden,
        max_position_embeddings=TEXT.length,
        hidden_act=TEXT.activation,
        pad_token_id=0,
        bos_token_id=TEXT.vocabulary - 2,
        eos_token_id=TEXT.vocabulary - 1,
    )
    model = CLIPTextModel(config)
    state = shipped("text_encoder", text_names.names(TEXT))
    bare = not any(key.startswith("text_model.") for key in model.state_dict())
    start = len("text_model.") if bare else 0
    model.load_state_dict({key[start:]: value for key, value in state.items()})
    return model


def transformer() -> CogVideoXTransformer3DModel:
    """The network, its modulations at zero: every block starts as the identity."""
    table = {k: v for k, v in hub_config(SPEC).items() if not k.startswith("_")}
    model = CogVideoXTransformer3DModel(**table)
    norms = [norm for block in model.transformer_blocks for norm in (block.norm1, block.norm2)]
    for norm in [*norms, model.norm_out]:
        torch.nn.init.zeros_(norm.linear.weight)
        torch.nn.init.zeros_(norm.linear.bias)
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    return model


def drawn(number: int) -> list[Clip]:
    """Clips of the training world, a pure function of the number."""
    return [WORLD.clip(number * DRAWN + i) for i in range(DRAWN)]


class Latents:
    """Scaled latents of clips on the device, their captions, and the mean latent of each.

    Attributes:
        mean_NCFhw, deviation_NCFhw: of the posterior. caption_N: places in `captions`; the last
            one is the empty caption. mean_of_caption: (captions, C, F, h, w).
    """

    def __init__(self, vae: AutoencoderKL, device: str, most: int, until: float, workers: int):
        self.captions = [*WORLD.captions(), ""]
        places = {caption: i for i, caption in enumerate(self.captions)}
        means, deviations, captions = [], [], []
        for frames, said in batches(drawn, workers):
            mean, deviation = self._encoded(vae, pixels(frames, device))
            means.append(mean)
            deviations.append(deviation)
            captions.extend(places[caption] for caption in said)
            if len(captions) >= most or time.monotonic() > until:
                break
        self.mean_NCFhw, self.deviation_NCFhw = torch.cat(means), torch.cat(deviations)
        self.caption_N = torch.tensor(captions, device=device)
        self.mean_of_caption = self._averaged()

    @staticmethod
    @torch.no_grad()
    def _encoded(vae: AutoencoderKL, x_BCFHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch, _, frames, height, width = x_BCFHW.shape
        rows = x_BCFHW.transpose(1, 2).reshape(-1, 3, height, width)
        posterior = vae.encode(rows).latent_dist
        both = [part * VAE.scaling for part in (posterior.mean, posterior.std)]
        shaped = [p.reshape(batch, frames, *p.shape[1:]).transpose(1, 2).half() for p in both]
        return shaped[0], shaped[1]

    def _averaged(self) -> torch.Tensor:
        shape = self.mean_NCFhw.shape[1:]
        sums = torch.zeros(len(self.captions), *shape, device=self.caption_N.device)
        sums.index_add_(0, self.caption_N, self.mean_NCFhw.float())
        counts = torch.bincount(self.caption_N, minlength=len(self.captions)).clamp(min=1)
        sums[-1] = self.mean_NCFhw.float().mean(0)
        counts[-1] = 1
        return sums / counts[:, None, None, None, None]

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x0 (B, C, F, h, w) float32 and places of captions (B,)."""
        rows = torch.randint(len(self.caption_N), (size,), device=self.caption_N.device)
        mean = self.mean_NCFhw[rows].float()
        return mean + self.deviation_NCFhw[rows] * torch.randn_like(mean), self.caption_N[rows]


class Training:
    """The networks, the noising process and what a step needs."""

    def __init__(self, latents: Latents, device: str):
        self.latents, self.device = latents, device
        self.transformer, self.text = transformer().to(device), text_encoder().to(device)
        process = zero_terminal_snr(snr_shifted(scaled_linear(), COGVIDEOX["snr_shift_scale"]))
        alphas = torch.from_numpy(process.alphas_cumprod).float().to(device)
        self.alpha, self.sigma = alphas.sqrt(), (1 - alphas).sqrt()
        tokenizer = load_tokenizer(SHIPPED / "tokenizer", TEXT.length, TEXT.pad_id)
        self.ids = torch.from_numpy(tokenizer(latents.captions).astype(np.int64)).to(device)

    def predicted(self, x: torch.Tensor, t: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """v (B, C, F, h, w) of noisy latents (B, C, F, h, w), (B,), (B,)."""
        states_SD = self.text(self.ids).last_hidden_state
        out = self.transformer(x.transpose(1, 2), states_SD[captions], t, return_dict=False)[0]
        return out.transpose(1, 2)

    def drawn(self, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x0, timesteps and captions of a step."""
        x0, captions = self.latents.batch(size)
        u = torch.rand(size, device=self.device)
        t = (SHIFT * u / (1 + (SHIFT - 1) * u) * len(self.alpha)).long()
        last = torch.rand(size, device=self.device) < TERMINAL
        x0 = torch.where(
            last[:, None, None, None, None], self.latents.mean_of_caption[captions], x0
        )
        t = torch.where(last, len(self.alpha) - 1, t)
        dropped = torch.rand(size, device=self.device) < DROPPED
        return x0, t, torch.where(dropped, len(self.latents.captions) - 1, captions)

    def loss(self, size: int) -> torch.Tensor:
        """Mean squared error of v."""
        x0, t, captions = self.drawn(size)
        noise = torch.randn_like(x0)
        alpha, sigma = (k[t][:, None, None, None, None] for k in (self.alpha, self.sigma))
        out = self.predicted(alpha * x0 + sigma * noise, t, captions)
        return torch.nn.functional.mse_loss(out.float(), alpha * noise - sigma * x0)

    @torch.no_grad()
    def at_pure_noise(self) -> dict[str, float]:
        """How much of what captions differ in the network says at pure noise, as the share of the
        variance of the means over captions of one kind: 1 is all, 0 nothing.
        """
        count = len(self.latents.captions) - 1
        every = torch.arange(count, device=self.device)
        t = torch.full((count,), len(self.alpha) - 1, device=self.device)
        want = self.latents.mean_of_caption[:count]
        made = -self.predicted(torch.randn_like(want[:1]).expand_as(want), t, every).float()
        return {"all": _explained(made, want), "directions": _directions(made, want)}


def _explained(made: torch.Tensor, want: torch.Tensor) -> float:
    """1 - error / variance over the first axis."""
    variance = (want - want.mean(0)).square().mean()
    return float(1 - (made - want).square().mean() / variance)


def _directions(made: torch.Tensor, want: torch.Tensor) -> float:
    """`_explained` of what differs between the directions of one shape and colour."""
    groups = [x.reshape(-1, len(WORLD.motions), *x.shape[1:]) for x in (made, want)]
    return _explained(*((g - g.mean(1, keepdim=True)).flatten(0, 1) for g in groups))


def write(average: Average, vae: AutoencoderKL, folder: Path, dtype: torch.dtype) -> None:
    """The averages as a folder of diffusers."""
    parts = {"transformer": hub_config(SPEC), "vae": vae_network.hub_config(VAE)}
    parts["text_encoder"] = json.loads(text_encoder().config.to_json_string())
    for part, table in (*parts.items(), ("scheduler", COGVIDEOX)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / name).write_text(json.dumps(table, indent=2))
    saved = {"transformer": average.state("transformer"), "vae": vae.state_dict()}
    for part, state in saved.items():
        save(state, folder / part / "diffusion_pytorch_model.safetensors", dtype)
    save(average.state("text_encoder"), folder / "text_encoder/model.safetensors", dtype)
    shutil.copytree(SHIPPED / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "CogVideoXPipeline"}))


def trained(training: Training, clock: Clock, batch: int, keep) -> Average:
    """Steps until the clock has run out; `keep(average)` at 60 and 80 % of the time."""
    networks = {"transformer": training.transformer, "text_encoder": training.text}
    parameters = [p for network in networks.values() for p in network.parameters()]
    steps, average = optimizer(parameters, clock.lr, training.device), Average(networks)
    due = [0.6, 0.8]
    while clock.begin(steps):
        half = training.device == "cuda" and clock.share < 0.7
        with torch.autocast(training.device, torch.bfloat16, enabled=half):
            loss = training.loss(batch)
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        steps.step()
        average.update(clock.step)
        clock.end(loss)
        if due and clock.share > due[0]:
            due.pop(0)
            keep(average)
    return average


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--most", type=int, default=MOST, help="clips")
    parser.add_argument("--float32", action="store_true", help="write single precision")
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Encode clips, train, write."""
    begun, args = time.monotonic(), arguments(argv)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if args.float32 else torch.float16
    vae = autoencoder().to(device)
    until = time.monotonic() + FILLING * args.seconds
    latents = Latents(vae, device, args.most, until, args.workers)
    print(
        f"{len(latents.caption_N)} clips, deviation {float(latents.mean_NCFhw.float().std()):.3f}"
    )
    training = Training(latents, device)
    seconds = args.seconds - (time.monotonic() - begun) - ENDING
    clock = Clock(seconds, args.lr, args.out, warmup=200)

    def keep(average: Average) -> None:
        write(average, vae, args.out, dtype)
        print("at pure noise", training.at_pure_noise(), flush=True)

    keep(trained(training, clock, args.batch, keep))
    print(f"{clock.step} steps in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
