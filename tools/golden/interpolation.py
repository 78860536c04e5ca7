"""Golden arrays of make-a-stable-diffusion-video (developers only: needs torch, diffusers, einops
and a checkout).

    python tools/golden/interpolation.py CHECKOUT tests/golden

CHECKOUT is lxj616/make-a-stable-diffusion-video at 17b23963. Its model files and its DDIM scheduler
run as they are, with diffusers' base classes as pip installs them and the explicit form of
attention where it would call flash_attn. Local attention is not in it; the recorder masks the same
attention with xformers' definition of the band. The training loss is that of the script the blog
belongs to: one shared timestep a sample, hints from the first frame, squared error on noise. Cases,
inputs and weights are those of tests/parity/interpolation_cases.py.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import interpolation_cases as cases  # noqa: E402
import unet_cases  # noqa: E402

Arrays = dict[str, np.ndarray]


def original(checkout: Path) -> Callable[[str], Any]:
    """An importer of the checkout's modules ("models.resnet_pseudo3d"), with the installed
    diffusers beneath them.
    """
    import diffusers.configuration_utils
    import diffusers.models.modeling_utils
    import diffusers.schedulers.scheduling_utils
    import diffusers.utils
    import diffusers.utils.import_utils

    root = checkout / "src" / "diffusers"
    for name, folder in (
        ("fork", root),
        ("fork.models", root / "models"),
        ("fork.schedulers", root / "schedulers"),
    ):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]
    utils = types.ModuleType("fork.utils")
    vars(utils).update({k: v for k, v in vars(diffusers.utils).items() if not k.startswith("__")})
    utils.deprecate = lambda *args, **kwargs: None
    utils._COMPATIBLE_STABLE_DIFFUSION_SCHEDULERS = []
    sys.modules |= {
        "fork.utils": utils,
        "fork.utils.import_utils": diffusers.utils.import_utils,
        "fork.configuration_utils": diffusers.configuration_utils,
        "fork.modeling_utils": diffusers.models.modeling_utils,
        "fork.schedulers.scheduling_utils": diffusers.schedulers.scheduling_utils,
    }
    return lambda name: importlib.import_module(f"fork.{name}")


def explicit(
    net: torch.nn.Module, band: Callable[[int], torch.Tensor] | None = None
) -> torch.nn.Module:
    """Give every attention the explicit form in place of flash_attn; `band` (length -> bool (S, S))
    masks those over time.
    """
    for name, module in net.named_modules():
        if hasattr(module, "flash"):
            module.flash = _flash(module.scale, band if name.endswith("attn_temporal") else None)
    return net


def _flash(scale: float, band: Callable[[int], torch.Tensor] | None) -> Callable:
    def run(qkv: torch.Tensor) -> tuple[torch.Tensor, None]:
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        scores = q @ k.transpose(-1, -2) * scale
        if band is not None:
            scores = scores.masked_fill(~band(scores.shape[-1]), float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2), None

    return run


def xformers_band(policy: str) -> Callable[[int], torch.Tensor] | None:
    """xformers' LocalAttention mask: |i - j| <= w // 2; causal: 0 <= i - j <= w (its window is
    widened to 2 w + 1).
    """
    if not policy:
        return None
    size, causal = int(policy.split(":")[1]), policy.endswith("causal")

    def mask(length: int) -> torch.Tensor:
        back = torch.arange(length)[:, None] - torch.arange(length)[None]
        return (back >= 0) & (back <= size) if causal else back.abs() <= size // 2

    return mask


def _loaded(net: torch.nn.Module, weights: Arrays) -> torch.nn.Module:
    net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()}, strict=True)
    return net.eval()


def _named(net: torch.nn.Module, name: str) -> Arrays:
    return {
        key: unet_cases.weight(f"{name}.{key}", tuple(value.shape))
        for key, value in net.state_dict().items()
    }


def layers(load: Callable) -> Arrays:
    """Convolutions, residual blocks and transformers."""
    resnet, attention = load("models.resnet_pseudo3d"), load("models.attention_pseudo3d")
    found = {}
    for conv in cases.CONVS:
        cin, cout, kernel, stride, padding = conv.sizes
        net = _loaded(
            resnet.Pseudo3DConv(cin, cout, kernel, stride=stride, padding=padding), conv.weights()
        )
        found |= {
            f"{conv.name}_f{f}": net(torch.from_numpy(conv.input(f))) for f in cases.CONV_FRAMES
        }
    for res in cases.RESNETS:
        net = resnet.ResnetBlockPseudo3D(
            in_channels=res.cin,
            out_channels=res.cout,
            temb_channels=res.emb,
            groups=res.groups,
            eps=1e-5,
            non_linearity="swish",
        )
        _loaded(net, _named(net, res.name))
        found[res.name] = net(torch.from_numpy(res.input()), torch.from_numpy(res.embedding()))
    for block in cases.BLOCKS:
        net = attention.TransformerPseudo3DModel(
            block.heads,
            block.width // block.heads,
            block.width,
            norm_num_groups=block.groups,
            cross_attention_dim=block.context,
        )
        explicit(_loaded(net, _named(net, "block")))
        found[block.name] = net(
            torch.from_numpy(block.input()), torch.from_numpy(block.prompts())
        ).sample
    return {name: out.detach().numpy() for name, out in found.items()}


def network(load: Callable, case: unet_cases.Case) -> torch.nn.Module:
    """The original's UNet for a case, loaded."""
    spec = case.spec()
    cross = ["CrossAttn" * attends for attends in spec.attends]
    net = load("models.unet_pseudo3d_condition").UNetPseudo3DConditionModel(
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        block_out_channels=spec.channels,
        layers_per_block=spec.layers,
        norm_num_groups=spec.groups,
        cross_attention_dim=spec.context_dim,
        attention_head_dim=spec.heads,
        down_block_types=tuple(f"{c}DownBlock2D" for c in cross),
        up_block_types=tuple(f"{c}UpBlock2D" for c in reversed(cross)),
    )
    return explicit(_loaded(net, case.weights()), xformers_band(case.reads[1]))


def output(load: Callable, case: unet_cases.Case, picture: bool = False) -> np.ndarray:
    """The original's prediction; of pictures (4-D input) if `picture`."""
    given = {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    x = given["x"][:, :, 0] if picture else given["x"]
    with torch.no_grad():
        return network(load, case)(x, given["t"].long(), given["context"]).sample.numpy()


def gradients(load: Callable) -> Arrays:
    """Gradients of what script G trains; the rest is frozen and gets none."""
    case = cases.GRADIENT
    net, given = network(load, case), {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    for key, parameter in net.named_parameters():
        parameter.requires_grad = cases.trained_in_the_original(key)
    (net(given["x"], given["t"].long(), given["context"]).sample * given["probe"]).sum().backward()
    found = {key: p.grad.numpy() for key, p in net.named_parameters() if p.grad is not None}
    return {"trained": np.array(sorted(found))} | unet_cases.summary(found)


def sampled(load: Callable, case: cases.Sampling) -> np.ndarray:
    """The guided loop of the original's pipeline, on its scheduler."""
    scheduler = load("schedulers.scheduling_ddim").DDIMScheduler(**cases.SCHEDULER)
    scheduler.set_timesteps(case.steps)
    net, x, hint = (
        network(load, case.case),
        torch.from_numpy(case.start()),
        torch.from_numpy(case.hint()),
    )
    contexts, tape = torch.from_numpy(case.contexts()), torch.from_numpy(case.tape())
    with torch.no_grad():
        for step, t in enumerate(scheduler.timesteps):
            told = torch.cat([torch.cat([x] * 2), torch.cat([hint] * 2)], 1)
            null, text = net(told, t, contexts).sample.chunk(2)
            noise = {"variance_noise": tape[step][:, :, None].expand(x.shape)} if case.eta else {}
            x = scheduler.step(
                null + case.guidance * (text - null), t, x, eta=case.eta, **noise
            ).prev_sample
    return x.numpy()


def noised(load: Callable) -> Arrays:
    """add_noise, and single steps of the scheduler at eta 0 and 1 with noise shared by the
    frames.
    """
    scheduler = load("schedulers.scheduling_ddim").DDIMScheduler(**cases.SCHEDULER)
    scheduler.set_timesteps(10)
    x, out, noise = (
        torch.from_numpy(cases.draw(f"step {n}", 2, 4, 3, 4, 5)) for n in ("x", "out", "noise")
    )
    t, shared = (
        torch.tensor([3, 940]),
        torch.from_numpy(cases.draw("step shared", 2, 4, 4, 5))[:, :, None].expand(x.shape),
    )
    steps = {
        f"step_eta{eta}_t{at}": scheduler.step(
            out, at, x, eta=float(eta), **({"variance_noise": shared} if eta else {})
        )
        for eta in (0, 1)
        for at in (901, 1)
    }
    return {"noised": scheduler.add_noise(x, noise, t).numpy()} | {
        k: v.prev_sample.numpy() for k, v in steps.items()
    }


def masked(checkout: Path) -> Arrays:
    """The pipeline's preparation of picture and mask; the function alone, as its file needs older
    packages.
    """
    source = (
        checkout
        / "src/diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_video_inpaint.py"
    ).read_text()
    body = source[
        source.index("def prepare_mask_and_masked_image") : source.index(
            "class StableDiffusionVideoInpaintPipeline"
        )
    ]
    import PIL.Image

    space = {"torch": torch, "np": np, "PIL": PIL}
    exec(compile(body, "prepare", "exec"), space)
    found = {}
    for name, mask in cases.masks().items():
        given = PIL.Image.fromarray(mask) if mask.dtype == np.uint8 else mask.copy()
        ready, hidden = space["prepare_mask_and_masked_image"](
            PIL.Image.fromarray(cases.picture()), given
        )
        small = torch.nn.functional.interpolate(ready, size=(5, 7))
        found |= {
            f"{name}_mask": ready.numpy(),
            f"{name}_masked": hidden.numpy(),
            f"{name}_small": small.numpy(),
        }
    return found


def loss(load: Callable) -> Arrays:
    """Script G's loss on latents 1.. of a clip, hinted by latent 0."""
    scheduler = load("schedulers.scheduling_ddim").DDIMScheduler(**cases.SCHEDULER)
    given = {k: torch.from_numpy(v) for k, v in cases.loss_inputs().items()}
    latents = given["f8"] * 0.18215
    hint, x0 = latents[:, :, :1], latents[:, :, 1:]
    noisy = scheduler.add_noise(x0, given["noise"], given["t"].long())
    told = torch.cat([noisy, torch.zeros_like(noisy[:, :1]), hint.expand(x0.shape)], 1)
    with torch.no_grad():
        out = network(load, cases.LOSS)(told, given["t"].long(), given["context"]).sample
    return {"loss": np.float32(torch.nn.functional.mse_loss(out.float(), given["noise"].float()))}


def make(folder: Path, checkout: Path | None = None) -> list[Path]:
    """Write interpolation_*.npz into `folder`; nothing without a checkout, for the original is no
    package.
    """
    if checkout is None:
        return []
    load = original(checkout)
    networks = {case.name: output(load, case) for case in (*cases.NETS, *cases.BANDED)}
    networks |= {case.name: output(load, case, picture=True) for case in cases.PICTURES}
    files = {
        "layers": layers(load),
        "networks": networks,
        "gradients": gradients(load),
        "steps": noised(load),
        "sampling": {case.name: sampled(load, case) for case in cases.SAMPLINGS},
        "masks": masked(checkout),
        "loss": loss(load),
    }
    written = []
    for name, arrays in files.items():
        written.append(Path(folder) / f"interpolation_{name}.npz")
        np.savez_compressed(written[-1], **arrays)
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[2]), Path(sys.argv[1])), sep="\n")
