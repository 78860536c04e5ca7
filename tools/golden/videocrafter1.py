"""Golden arrays of VideoCrafter1's image-to-video model (developers only: needs torch and einops).

    git clone https://github.com/AILab-CVC/VideoCrafter && git -C VideoCrafter checkout 11bcd76
    python tools/golden/videocrafter1.py VideoCrafter tests/golden

The original's UNetModel, Resampler and DDIMSampler run as they are on a CPU in float32, with the
stand-ins of tools/golden/dynamicrafter.py. Cases, inputs and weights are those of
tests/parity/dynamicrafter_cases.py. The names and shapes are those of both networks at full size,
on torch's meta device.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import dynamicrafter_cases as cases  # noqa: E402
import unet as unet_golden  # noqa: E402
from dynamicrafter import stand_ins  # noqa: E402
from lvdm_unet import USUAL, norms_of  # noqa: E402

FULL = {"model_channels": 320, "num_res_blocks": 2, "attention_resolutions": [4, 2, 1]}
FULL |= {"channel_mult": [1, 2, 4, 4], "num_head_channels": 64, "context_dim": 1024}
TINY = {"model_channels": 8, "num_res_blocks": 1, "attention_resolutions": [1]}
TINY |= {"channel_mult": [1, 2], "num_head_channels": 4, "context_dim": 24}


def unet(sizes: dict, groups: int) -> torch.nn.Module:
    """The original's network, as configs/inference_i2v_512_v1.0.yaml builds it but for the
    sizes.
    """
    from lvdm.modules.networks.openaimodel3d import UNetModel

    with norms_of(groups):
        return UNetModel(in_channels=4, use_image_attention=True, fps_cond=True, **USUAL, **sizes)


def resampler(spec) -> torch.nn.Module:
    """The original's projector of an image's tokens."""
    from lvdm.modules.encoders.ip_resampler import Resampler

    sizes = spec.width, spec.layers, spec.head_dim, spec.heads, spec.tokens, spec.reads, spec.gives
    return Resampler(*sizes, ff_mult=spec.hidden // spec.width)


def projected() -> dict[str, np.ndarray]:
    """Output and all gradients of the small projector."""
    spec = cases.FEW_QUERIES
    net = resampler(spec)
    weights = {k: torch.from_numpy(v.copy()) for k, v in cases.resampler_weights(spec).items()}
    net.load_state_dict(weights, strict=True)
    x, probe = (torch.from_numpy(a) for a in cases.resampler_inputs(spec))
    out = net(x)
    (out * probe).sum().backward()
    return {"out": out.detach().numpy()} | {n: p.grad.numpy() for n, p in net.named_parameters()}


def model_of(run: cases.Run, apply):
    """As much of the original's model as its sampler asks for."""
    from lvdm.models.ddpm3d import LatentDiffusion

    model = LatentDiffusion.__new__(LatentDiffusion)
    torch.nn.Module.__init__(model)
    model.parameterization, model.v_posterior, model.num_timesteps_cond = "eps", 0.0, 1
    model.given_betas, model.shorten_cond_schedule = None, False
    model.register_schedule(linear_start=0.00085, linear_end=0.012)
    model.use_scale = True
    scale = np.concatenate((np.linspace(1.0, run.base, 400), np.full(1000, run.base)))
    model.register_buffer("scale_arr", torch.tensor(scale, dtype=torch.float32))
    model.apply_model = apply
    return model


def sampled(run: cases.Run) -> np.ndarray:
    """The end of a run by the closed form, and the clean samples on the way: (steps + 1, ...)."""
    from lvdm.models.samplers import ddim

    words = list(cases.CONDITIONS)
    given = {word: torch.full((cases.SHAPE[0], 1), float(i)) for i, word in enumerate(words)}

    def apply(x, t, which, **_):
        word = words[int(which[0, 0])]
        a, b = (torch.tensor(n, dtype=torch.float32) for n in cases.CONDITIONS[word])
        return torch.tanh(a * x) + b * (t.float().reshape(-1, 1, 1, 1, 1) / 1000)

    sampler = ddim.DDIMSampler(model_of(run, apply))
    sampler.register_buffer = lambda name, value: setattr(sampler, name, value)
    noises = (torch.from_numpy(cases.tape(step)) for step in range(1000))
    ddim.noise_like = lambda *_: next(noises)
    found, x_T = [], cases.start()
    end, _ = sampler.sample(
        S=run.steps,
        batch_size=len(x_T),
        shape=x_T.shape[1:],
        conditioning=given["text and image"],
        unconditional_conditioning=given["nothing"],
        eta=run.eta,
        unconditional_guidance_scale=run.guidance,
        x_T=torch.from_numpy(x_T),
        verbose=False,
        img_callback=lambda x0, i: found.append(x0.numpy().copy()),
    )
    return np.stack([*found, end.numpy()])


def listed() -> dict[str, dict]:
    """Of both networks at full size: tensors, numbers, and the hash of "name shape" sorted."""
    from mindlong.networks.resampler.spec import ResamplerSpec

    with torch.device("meta"):
        nets = {"unet": unet(FULL, 32), "projector": resampler(ResamplerSpec(tokens=16))}
    return {name: _described(net) for name, net in nets.items()}


def _described(net: torch.nn.Module) -> dict:
    held = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in held.items())
    numbers = sum(int(np.prod(shape)) for shape in held.values())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"tensors": len(held), "numbers": numbers, "sha256": digest}


def make(checkout: Path, folder: Path) -> list[Path]:
    """Write unet_videocrafter1_i2v.npz, videocrafter1_*.npz and videocrafter1_listed.json."""
    sys.path.insert(0, str(checkout))
    stand_ins()
    case, folder = cases.IMAGE_TO_VIDEO, Path(folder)

    def run(net, x, t, context, fps):
        return net(x, t, context=context, fps=fps.long())

    arrays = {
        f"unet_{case.name}": unet_golden.record(case, unet(TINY, case.spec().groups), run),
        "videocrafter1_resampler": projected(),
        "videocrafter1_runs": {n: sampled(r) for n, r in cases.IMAGE_TO_VIDEO_RUNS.items()},
    }
    for name, held in arrays.items():
        np.savez_compressed(folder / f"{name}.npz", **held)
    (folder / "videocrafter1_listed.json").write_text(json.dumps(listed(), indent=1) + "\n")
    return [*(folder / f"{name}.npz" for name in arrays), folder / "videocrafter1_listed.json"]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
