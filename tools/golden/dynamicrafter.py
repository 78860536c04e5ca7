"""Golden arrays of DynamiCrafter (developers only: needs torch and einops).

    git clone https://github.com/Doubiiu/DynamiCrafter && git -C DynamiCrafter checkout c453369
    python tools/golden/dynamicrafter.py DynamiCrafter tests/golden

The original's UNetModel, Resampler and samplers run as they are on a CPU in float32, with stand-ins
for the modules of pytorch_lightning, torchvision and cv2 that its files import and these never use.
Cases, inputs and weights are those of tests/parity/dynamicrafter_cases.py.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import dynamicrafter_cases as cases  # noqa: E402
import unet as unet_golden  # noqa: E402
from lvdm_unet import USUAL, norms_of  # noqa: E402


def stand_ins() -> None:
    """Modules that the original imports and that are not run here."""

    class LightningModule(torch.nn.Module):
        device = torch.device("cpu")

    for name, held in (
        ("pytorch_lightning", {"LightningModule": LightningModule}),
        ("pytorch_lightning.utilities", {"rank_zero_only": lambda f: f}),
        ("torchvision", {}),
        ("torchvision.utils", {"make_grid": None}),
        ("cv2", {}),
    ):
        module = types.ModuleType(name)
        module.__dict__.update(held)
        sys.modules[name] = module


def unet(case: cases.ImageCase) -> torch.nn.Module:
    """The original's network, with norms of 4 groups."""
    from lvdm.modules.networks.openaimodel3d import UNetModel

    gated = case.family == "dynamicrafter_256"
    with norms_of(case.spec().groups):
        net = UNetModel(
            in_channels=8,
            model_channels=8,
            num_res_blocks=1,
            attention_resolutions=[1],
            channel_mult=[1, 2],
            num_head_channels=4,
            context_dim=24,
            image_cross_attention=True,
            image_cross_attention_scale_learnable=gated,
            fs_condition=True,
            **USUAL,
        )
    if gated:  # the published file calls it so
        net.framestride_embed = net.fps_embedding
        del net.fps_embedding
        there = property(lambda self: self.framestride_embed)
        net.__class__ = type("Gated", (UNetModel,), {"fps_embedding": there})
    return net


def _call(net, x, t, context, fps):
    return net(x, t, context=context, fs=fps.long())


def resampler() -> dict[str, np.ndarray]:
    """Output and all gradients."""
    from lvdm.modules.encoders.resampler import Resampler

    spec = cases.RESAMPLER
    net = Resampler(
        spec.width, spec.layers, spec.head_dim, spec.heads, 4, spec.reads, spec.gives, 4, 3
    )
    weights = {k: torch.from_numpy(v.copy()) for k, v in cases.resampler_weights().items()}
    net.load_state_dict(weights, strict=True)
    x, probe = (torch.from_numpy(a) for a in cases.resampler_inputs())
    out = net(x)
    (out * probe).sum().backward()
    return {"out": out.detach().numpy()} | {n: p.grad.numpy() for n, p in net.named_parameters()}


def model_of(run: cases.Run, apply):
    """As much of the original's model as its samplers ask for."""
    from lvdm.models.ddpm3d import LatentDiffusion

    model = LatentDiffusion.__new__(LatentDiffusion)
    torch.nn.Module.__init__(model)
    model.parameterization = "v" if run.v else "eps"
    model.v_posterior, model.rescale_betas_zero_snr, model.num_timesteps_cond = 0.0, run.v, 1
    model.register_schedule(linear_start=0.00085, linear_end=0.012)
    model.use_dynamic_rescale = bool(run.base)
    if run.base:
        scale = np.concatenate((np.linspace(1.0, run.base, 400), np.full(1000, run.base)))
        model.register_buffer("scale_arr", torch.tensor(scale, dtype=torch.float32))
    model.apply_model = apply
    return model


def sampled(run: cases.Run, apply, x_T: np.ndarray, conditions: dict) -> np.ndarray:
    """The end of a run, and the clean samples predicted on the way: (steps + 1, ...)."""
    from lvdm.models.samplers import ddim, ddim_multiplecond

    module = ddim if run.image_guidance is None else ddim_multiplecond
    sampler = module.DDIMSampler(model_of(run, apply))
    sampler.register_buffer = lambda name, value: setattr(sampler, name, value)
    noises = (torch.from_numpy(cases.tape(step, x_T.shape)) for step in range(1000))
    module.noise_like = lambda *_: next(noises)
    found = []
    more = {}
    if run.image_guidance is not None:
        more = {
            "cfg_img": run.image_guidance,
            "unconditional_conditioning_img_nonetext": conditions["image"],
        }
    end, _ = sampler.sample(
        S=run.steps,
        batch_size=len(x_T),
        shape=x_T.shape[1:],
        conditioning=conditions["text and image"],
        unconditional_conditioning=conditions["nothing"],
        eta=run.eta,
        unconditional_guidance_scale=run.guidance,
        guidance_rescale=run.rescale,
        x_T=torch.from_numpy(x_T),
        verbose=False,
        timestep_spacing=run.spacing,
        img_callback=lambda x0, i: found.append(x0.numpy().copy()),
        **more,
    )
    return np.stack([*found, end.numpy()])


def closed_runs() -> dict[str, np.ndarray]:
    """Every run by the closed form."""

    def apply(x, t, c, **_):
        which = list(cases.CONDITIONS)[int(c["c_concat"][0].flatten()[0])]
        a, b = (torch.tensor(n, dtype=torch.float32) for n in cases.CONDITIONS[which])
        return torch.tanh(a * x) + b * (t.float().reshape(-1, 1, 1, 1, 1) / 1000)

    conditions = {
        which: {"c_concat": [torch.full((cases.SHAPE[0], 1), float(i))]}
        for i, which in enumerate(cases.CONDITIONS)
    }
    return {
        name: sampled(run, apply, cases.start(), conditions) for name, run in cases.RUNS.items()
    }


def unet_run(net: torch.nn.Module, case: cases.ImageCase) -> np.ndarray:
    """Guided steps through the network: noisy latents, given ones and a context by condition."""
    given = {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    beside = given["x"][:, 4:]

    def apply(x, t, c, **_):
        with torch.no_grad():
            return _call(net, torch.cat([x, beside], 1), t, c["c_concat"][0], given["fps"])

    conditions = {
        "text and image": {"c_concat": [given["context"]]},
        "nothing": {"c_concat": [given["context"].flip(1)]},
    }
    return sampled(cases.UNET_RUN, apply, case.inputs()["x"][:, :4], conditions)


def buffers() -> dict[str, np.ndarray]:
    """The schedule's tables of a v model."""
    model = model_of(cases.RUNS["interp_eta0"], None)
    keys = ("betas", "alphas_cumprod", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod")
    return {key: getattr(model, key).numpy() for key in (*keys, "scale_arr")}


def make(checkout: Path, folder: Path) -> list[Path]:
    """Write dynamicrafter_*.npz and unet_dynamicrafter_*.npz into `folder`."""
    sys.path.insert(0, str(checkout))
    stand_ins()
    written = []

    def write(name: str, arrays: dict[str, np.ndarray]) -> None:
        written.append(Path(folder) / f"{name}.npz")
        np.savez_compressed(written[-1], **arrays)

    runs = closed_runs()
    for name, case in cases.CASES.items():
        net = unet(case)
        write(f"unet_{name}", unet_golden.record(case, net, _call))
        if name == "dynamicrafter_plain":
            runs["unet"] = unet_run(net, case)
    write("dynamicrafter_resampler", resampler())
    write("dynamicrafter_runs", runs)
    write("dynamicrafter_schedule", buffers())
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
