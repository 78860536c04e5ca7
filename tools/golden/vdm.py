"""Golden arrays of Unet3D from video-diffusion-pytorch 0.7.0 itself (developers only: needs torch).

Cases, inputs and weights are those of tests/parity/vdm_cases.py. Stored are outputs and the
gradients of sum(output * probe) by the input and by every parameter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import vdm_cases as cases  # noqa: E402
from diffusion import original  # noqa: E402

Arrays = dict[str, np.ndarray]


def network(case: cases.NetCase, weights: Callable = cases.weights) -> torch.nn.Module:
    """The original with the case's weights."""
    module = original()
    norm = (
        (lambda width: torch.nn.GroupNorm(8, width))
        if "block_norm" in case.older
        else module.RMSNorm
    )
    with mock.patch.object(module, "RMSNorm", norm):
        net = module.Unet3D(**case.network)
    made = {k: torch.from_numpy(v.copy()) for k, v in weights(case.spec()).items()}
    net.load_state_dict(made, strict=True)
    if "long_skip" in case.older:
        _skip_early(net)
    return net


def _skip_early(net: torch.nn.Module) -> None:
    """Take the long skip before the first attention, as releases before 0.6.0 did."""
    kept = []
    net.init_conv.register_forward_hook(lambda _, __, out: kept.append(out))
    net.final_conv.register_forward_pre_hook(
        lambda _, x: (torch.cat((x[0][:, : -kept[-1].shape[1]], kept[-1]), 1),)
    )


def whole(case: cases.NetCase) -> Arrays:
    """Output and gradients of a whole network."""
    net, given = network(case), {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    x, probe = given["x"].requires_grad_(), given["probe"]
    options = {k: given[k] for k in ("cond", "focus_present_mask") if k in given}
    out = net.forward_with_cond_scale(x, given["t"].long(), cond_scale=case.scale, **options)
    return _with_gradients(out, probe, x, dict(net.named_parameters()))


def _with_gradients(
    out: torch.Tensor, probe: torch.Tensor, x: torch.Tensor, parameters: dict
) -> Arrays:
    (out * probe).sum().backward()
    gradients = {f"grad/{k}": p.grad.numpy() for k, p in parameters.items() if p.grad is not None}
    return {"out": out.detach().numpy(), "grad_x": x.grad.numpy(), **gradients}


def block(case: cases.BlockCase, net: torch.nn.Module) -> Arrays:
    """Output and gradients of one part."""
    net.zero_grad(set_to_none=True)
    part = net.get_submodule(case.source)
    given = {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    x = given["x"].requires_grad_()
    if case.special == "zeros":  # norm and activation without the convolution before them
        out = part.act(part.norm(x))
    elif case.extra == "positions":
        mask = None if case.focus is None else torch.tensor(case.focus)
        out = part(x, pos_bias=net.time_rel_pos_bias(x.shape[2], x.device), focus_present_mask=mask)
    elif case.extra == "time":
        out = part(x, given["emb"])
    else:
        out = part(x)
    probe = torch.from_numpy(case.probe(tuple(out.shape)))
    return _with_gradients(
        out, probe, x, {f"{case.source}.{k}": p for k, p in part.named_parameters()}
    )


def pieces(net: torch.nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    """Time embedding, relative bias and rotary positions."""
    with torch.no_grad():
        yield "time_mlp/out", net.time_mlp(torch.from_numpy(cases.TIMES).long()).numpy()
        yield "sinusoid/out", net.time_mlp[0](torch.from_numpy(cases.TIMES).long()).numpy()
        for frames in cases.BIAS_FRAMES:
            yield f"bias/{frames}", net.time_rel_pos_bias(frames, torch.device("cpu")).numpy()
        rotary = net.downs[0][3].fn.fn.fn.rotary_emb
        for frames in cases.ROTARY_FRAMES:
            q = np.random.default_rng(frames).standard_normal((1, 1, frames, 16), dtype=np.float32)
            yield f"rotary/{frames}", rotary.rotate_queries_or_keys(torch.from_numpy(q)).numpy()


def blocks() -> Arrays:
    """Everything about parts."""
    net = network(cases.BLOCK_NET)
    found = dict(pieces(net))
    for case in cases.BLOCKS:
        found |= {f"{case.name}/{k}": v for k, v in block(case, net).items()}
    return found


def diffusion() -> Arrays:
    """Training losses and whole samples of a conditional network, with given timesteps and a tape
    of noise.
    """
    case = cases.NET["conditional"]
    given, found = case.inputs(), {}
    options = {
        "image_size": case.shape[-1],
        "num_frames": case.shape[2],
        "timesteps": cases.DIFFUSION_STEPS,
    }
    t, noise, clip = (
        torch.tensor([9, 3]),
        torch.from_numpy(given["probe"]),
        torch.from_numpy(np.tanh(given["x"])),
    )
    for kind in ("l1", "l2"):
        model = original().GaussianDiffusion(network(case), loss_type=kind, **options)
        masks = {"focus_present_mask": torch.tensor([True, False])}
        loss = model.p_losses(clip, t, cond=torch.from_numpy(given["cond"]), noise=noise, **masks)
        loss.backward()
        found[f"loss_{kind}/out"] = loss.detach().numpy()
        found |= {
            f"loss_{kind}/grad/{k}": p.grad.numpy()
            for k, p in model.denoise_fn.named_parameters()
            if p.grad is not None and k.startswith(("downs.0.3", "final_conv.1", "time_mlp"))
        }
    for dynamic in (False, True):
        model = original().GaussianDiffusion(
            network(case, cases.calm_weights), use_dynamic_thres=dynamic, **options
        )
        found[f"sample_{'dynamic' if dynamic else 'static'}/out"] = _sampled(model, case)
    return found


def _sampled(model: torch.nn.Module, case: cases.NetCase) -> np.ndarray:
    tape = iter(cases.noise_tape(case.shape))

    def draw(*_, **__):
        return torch.from_numpy(next(tape))

    cond = torch.from_numpy(case.inputs()["cond"])
    with (
        mock.patch.object(torch, "randn", draw),
        mock.patch.object(torch, "randn_like", draw),
        torch.no_grad(),
    ):
        return model.p_sample_loop(case.shape, cond=cond, cond_scale=2.0).numpy()


def keys() -> Arrays:
    """Every key of the original's state dict with its shape, for several networks."""
    nets = {name: original().Unet3D(**arguments) for name, arguments in cases.KEYS.items()}
    states = {name: net.state_dict() for name, net in nets.items()}
    return {
        name: np.array([f"{k} {tuple(v.shape)}" for k, v in state.items()])
        for name, state in states.items()
    }


def make(folder: Path) -> list[Path]:
    """Write vdm_*.npz into `folder`."""
    written = []
    for name, arrays in [
        *((f"net_{c.name}", whole(c)) for c in cases.NETS),
        ("blocks", blocks()),
        ("diffusion", diffusion()),
        ("keys", keys()),
    ]:
        path = Path(folder) / f"vdm_{name}.npz"
        np.savez_compressed(path, **arrays)
        written.append(path)
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
