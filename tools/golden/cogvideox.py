"""Golden arrays of CogVideoX's networks from diffusers and transformers (developers only).

python tools/make_golden.py cogvideox
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/parity"))
import bert_cases
import cogvideox_cases as cases


def filled(net: torch.nn.Module) -> torch.nn.Module:
    """The network with the weights of `cogvideox_cases.drawn`."""
    for name, p in net.named_parameters():
        p.data = torch.from_numpy(cases.drawn(name, tuple(p.shape)))
    return net.eval()


def shapes(net: torch.nn.Module) -> dict[str, object]:
    """How many tensors there are, and a digest of their names and shapes."""
    lines = sorted(f"{k} {tuple(v.shape)}" for k, v in net.state_dict().items())
    return {"count": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def transformer() -> torch.nn.Module:
    """The tiny transformer."""
    from diffusers import CogVideoXTransformer3DModel

    return filled(CogVideoXTransformer3DModel(**cases.TRANSFORMER))


def forward(net: torch.nn.Module, size: tuple[int, int, int], name: str) -> dict[str, np.ndarray]:
    """Inputs, outputs and, at the sample size, gradients of sum(out * probe)."""
    generator = torch.manual_seed(7)
    frames, height, width = size
    x = torch.randn(2, frames, 4, height, width, generator=generator, requires_grad=True)
    text = torch.randn(2, 7, 20, generator=generator, requires_grad=True)
    t = torch.tensor([999, 19])
    out = net(hidden_states=x, encoder_hidden_states=text, timestep=t, return_dict=False)[0]
    found = {"x": x.transpose(1, 2), "context": text, "t": t, "out": out.transpose(1, 2)}
    if name == "sample":
        probe = torch.randn(out.shape, generator=generator)
        (out * probe).sum().backward()
        found |= {"probe": probe.transpose(1, 2), "grad_x": x.grad.transpose(1, 2)}
        found["grad_context"] = text.grad
        found |= {f"grad/{key}": p.grad for key, p in net.named_parameters()}
    return {f"{name}/{key}": tensor.detach().numpy() for key, tensor in found.items()}


def make_transformer(folder: Path) -> list[Path]:
    """The transformer on three sizes, and its table of places."""
    from diffusers.models.embeddings import get_3d_sincos_pos_embed

    net, arrays = transformer(), {}
    for name, size in cases.CASES.items():
        arrays |= forward(net, size, name)
    whole = get_3d_sincos_pos_embed(1920, (45, 30), 13, 1.875, 1.0, output_type="pt")
    some = whole.reshape(13, 30, 45, 1920)[::6, ::7, ::11, ::5]
    arrays["places"] = some.float().numpy()
    path = folder / "cogvideox_transformer.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def make_vae(folder: Path) -> list[Path]:
    """The autoencoder on several lengths, and once whole, which is another result."""
    from diffusers import AutoencoderKLCogVideoX

    net, arrays = filled(AutoencoderKLCogVideoX(**cases.VAE)), {}
    height, width = cases.VAE_SIZE
    with torch.no_grad():
        for frames in cases.ENCODED:
            x = torch.from_numpy(cases.unequal(frames, 3, (height, width), frames))
            arrays[f"encode/{frames}"] = rows(net.encode(video(x)).latent_dist.parameters)
        for latents in cases.DECODED:
            z = torch.from_numpy(cases.unequal(latents, 4, (height // 4, width // 4), latents))
            arrays[f"decode/{latents}"] = rows(net.decode(video(z)).sample)
        z = torch.from_numpy(cases.unequal(7, 4, (height // 4, width // 4), 7))
        arrays["whole/7"] = rows(net.decoder(video(z))[0])
    path = folder / "cogvideox_vae.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def video(x: torch.Tensor) -> torch.Tensor:
    """(F, C, H, W) -> (1, C, F, H, W)."""
    return x.transpose(0, 1)[None]


def rows(x: torch.Tensor) -> np.ndarray:
    """The way back."""
    return x[0].transpose(0, 1).numpy()


def make_t5(folder: Path) -> list[Path]:
    """The text encoder: states, and gradients of sum(states * probe) that some tensors get."""
    from transformers import T5Config, T5EncoderModel

    net = filled(T5EncoderModel(T5Config(**cases.T5)))
    generator = torch.manual_seed(5)
    ids = torch.randint(1, cases.T5["vocab_size"], (2, cases.T5_LENGTH), generator=generator)
    ids[1, 9:] = 0
    states = net(input_ids=ids).last_hidden_state
    probe = torch.randn(states.shape, generator=generator)
    (states * probe).sum().backward()
    grads = {f"grad/{key}": p.grad for key, p in net.named_parameters() if "shared" not in key}
    found = {"ids": ids, "states": states, "probe": probe, **grads}
    path = folder / "cogvideox_t5.npz"
    np.savez_compressed(path, **{key: value.detach().numpy() for key, value in found.items()})
    return [path]


def make_tokenizer(folder: Path) -> list[Path]:
    """A small SentencePiece model in T5's form, and the ids that transformers gives with it."""
    import sentencepiece

    with tempfile.TemporaryDirectory() as room:
        text, model = Path(room) / "text.txt", Path(room) / "spiece"
        kept = [p.replace("\0", " ") for p in bert_cases.prompts() if p.strip()]
        text.write_text("\n".join(kept))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text),
            model_prefix=str(model),
            vocab_size=260,
            character_coverage=0.98,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
        )
        data = model.with_suffix(".model").read_bytes()
        file = Path(room) / "spiece.model"
        file.write_bytes(data)
        digest = ids_digest(Path(room))
    packed, said = folder / "cogvideox_spiece.model.xz", folder / "cogvideox_ids.json"
    packed.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    said.write_text(json.dumps({"sha256": digest}) + "\n")
    return [packed, said]


def ids_digest(folder: Path) -> str:
    """SHA-256 of the ids that transformers' T5Tokenizer gives 1,000 prompts, at most 226 each."""
    from transformers import T5TokenizerFast

    tokenizer = T5TokenizerFast.from_pretrained(folder)
    ids = [
        tokenizer(p, max_length=226, truncation=True, padding="max_length")["input_ids"]
        for p in bert_cases.prompts()
    ]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def make_samplers(folder: Path) -> list[Path]:
    """The schedule, and both samplers on a tape of draws, of which the solver throws some away."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    arrays = {}
    for steps in cases.STEPS:
        for word, kind in (("ddim", CogVideoXDDIMScheduler), ("dpm", CogVideoXDPMScheduler)):
            arrays |= walked(kind(**cases.SCHEDULER), steps, f"{word}{steps}")
    arrays["alphas"] = CogVideoXDDIMScheduler(**cases.SCHEDULER).alphas_cumprod.numpy()
    path = folder / "cogvideox_samplers.npz"
    np.savez_compressed(path, **arrays)
    return [path]


def walked(scheduler: object, steps: int, name: str) -> dict[str, np.ndarray]:
    """Where a scheduler leads, the timesteps, and how many noises were drawn before each step."""
    module = sys.modules[type(scheduler).__module__]
    drawn = []

    def draw(shape: tuple[int, ...], **_: object) -> torch.Tensor:
        drawn.append(cases.noise(1 + len(drawn)))
        return torch.from_numpy(drawn[-1])

    module.randn_tensor = draw
    scheduler.set_timesteps(steps)
    times, x, old, used = scheduler.timesteps, torch.from_numpy(cases.noise(0)), None, []
    for i, t in enumerate(times):
        out = torch.from_numpy(cases.toy(x.numpy(), float(t)))
        if "DPM" in type(scheduler).__name__:
            back = times[i - 1] if i else None
            x, old = scheduler.step(out, old, t, back, x, return_dict=False)
        else:
            x = scheduler.step(out, t, x, return_dict=False)[0]
        used.append(len(drawn))
    return {
        f"{name}/out": x.numpy(),
        f"{name}/times": times.numpy(),
        f"{name}/used": np.array(used),
    }


def make_keys(folder: Path) -> list[Path]:
    """Names and shapes of the published networks."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    levels = 4
    vae = {
        "down_block_types": ("CogVideoXDownBlock3D",) * levels,
        "up_block_types": ("CogVideoXUpBlock3D",) * levels,
        "block_out_channels": (128, 256, 256, 512),
    }
    sizes = {"num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30}
    with torch.device("meta"):
        found = {"transformer": shapes(CogVideoXTransformer3DModel(**sizes))}
        found["vae"] = shapes(AutoencoderKLCogVideoX(**vae))
        xxl = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
        found["t5"] = shapes(T5EncoderModel(T5Config(**{**cases.T5, **xxl, "vocab_size": 32128})))
    path = folder / "cogvideox_keys.json"
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    return [path]


def make(folder: Path) -> list[Path]:
    """Write everything; returns the files."""
    makers = make_transformer, make_vae, make_t5, make_tokenizer, make_samplers, make_keys
    return [path for maker in makers for path in maker(folder)]
