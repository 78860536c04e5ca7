"""Golden arrays of Tune-A-Video (developers only: needs torch, einops, diffusers 0.11.1 and a
checkout).

    python tools/golden/tune_a_video.py CHECKOUT DIFFUSERS tests/golden

CHECKOUT is showlab/Tune-A-Video at 7d4a89a2, DIFFUSERS a folder with diffusers 0.11.1 and
huggingface_hub 0.13.4 (`pip install --no-deps --target`). Its UNet, its inversion and its pipeline
run as they are on a CPU in float32; only the text encoder and the autoencoder are left out: vectors
of prompts and latents come from tests/parity/tune_a_video_cases.py. The step of training is that of
its script: its rule for what learns, AdamW, the gradient's norm cut, checkpointing on or off.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import tune_a_video_cases as cases  # noqa: E402
import unet_cases  # noqa: E402

ABSENT = ("transformers", "xformers", "accelerate", "flax", "jax", "onnxruntime", "scipy")
Arrays = dict[str, np.ndarray]


def original(checkout: Path, diffusers: Path) -> Callable[[str], Any]:
    """An importer of the checkout's modules, with that diffusers beneath them and without the
    packages it can do without.
    """
    for name in [
        n for n in sys.modules if n.split(".")[0] in ("diffusers", "huggingface_hub", *ABSENT)
    ]:
        del sys.modules[name]
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *more: (
        None if name.split(".")[0] in ABSENT else find(name, *more)
    )
    sys.path[:0] = [str(checkout), str(diffusers)]
    import diffusers as held

    assert held.__version__ == "0.11.1", held.__version__
    for name, words in (
        ("transformers", ("CLIPTextModel", "CLIPTokenizer")),
        ("imageio", ()),
        ("torchvision", ()),
    ):
        stub = types.ModuleType(name)
        stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(stub).update(dict.fromkeys(words, object))
        sys.modules[name] = stub
    return importlib.import_module


def network(load: Callable[[str], Any], case: unet_cases.Case) -> torch.nn.Module:
    """The original's UNet with the case's weights."""
    spec = case.spec()
    kinds = [f"{'CrossAttn' * attends}{{}}Block3D" for attends in spec.attends]
    net = load("tuneavideo.models.unet").UNet3DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=spec.channels,
        layers_per_block=spec.layers,
        norm_num_groups=spec.groups,
        cross_attention_dim=spec.context_dim,
        attention_head_dim=spec.heads,
        use_linear_projection=spec.linear_projection,
        down_block_types=tuple(k.format("Down") for k in kinds),
        up_block_types=tuple(k.format("Up") for k in reversed(kinds)),
    )
    net.load_state_dict(
        {k: torch.from_numpy(v.copy()) for k, v in case.weights().items()}, strict=True
    )
    return net


def select(net: torch.nn.Module) -> None:
    """What learns: the script's rule, over names of modules."""
    net.requires_grad_(False)
    for name, module in net.named_modules():
        if name.endswith(("attn1.to_q", "attn2.to_q", "attn_temp")):
            module.requires_grad_(True)


def trained(
    load: Callable[[str], Any], case: unet_cases.Case, prediction: str, compat: bool
) -> Arrays:
    """One step: names that learn and names that get a gradient, loss, norm, gradients, and what the
    step changes.
    """
    net = network(load, case)
    net.train()
    select(net)
    scheduler = _scheduler(load, "DDPMScheduler", prediction)
    if compat:  # the torch of the script's time checkpoints re-entrantly
        import torch.utils.checkpoint as module

        plain = module.checkpoint
        module.checkpoint = lambda f, *args, **_: plain(f, *args, use_reentrant=True)
        net.enable_gradient_checkpointing()
    given = {k: torch.from_numpy(v) for k, v in cases.batch(case).items()}
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=cases.LR, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8
    )
    noisy = scheduler.add_noise(given["x0"], given["noise"], given["t"].long())
    goal = (
        given["noise"]
        if prediction == "epsilon"
        else scheduler.get_velocity(given["x0"], given["noise"], given["t"].long())
    )
    said = net(noisy, given["t"].long(), given["context"]).sample
    loss = torch.nn.functional.mse_loss(said.float(), goal.float(), reduction="mean")
    loss.backward()
    if compat:
        module.checkpoint = plain
    learns = {name: p for name, p in net.named_parameters() if p.requires_grad}
    reached = {name: p.grad.numpy().copy() for name, p in learns.items() if p.grad is not None}
    before = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), cases.CLIP)
    optimizer.step()
    moved = {name: p.detach().numpy() - before[name] for name, p in net.named_parameters()}
    assert {n for n, d in moved.items() if np.abs(d).max() > 0} == set(reached)
    found = {f"step_{k}": v for k, v in unet_cases.summary({n: moved[n] for n in reached}).items()}
    return {
        "learns": np.array(sorted(learns)),
        "reached": np.array(sorted(reached)),
        "loss": np.float32(loss.item()),
        "norm": np.float32(norm.item()),
        **unet_cases.summary(reached),
        **found,
    }


def sampled(load: Callable[[str], Any], case: unet_cases.Case) -> Arrays:
    """Ten steps up by the script's inversion, ten steps down under a prompt by the pipeline,
    guided.
    """
    net, util = network(load, case).eval(), load("tuneavideo.util")
    given = {k: torch.from_numpy(v) for k, v in cases.batch(case).items()}
    null, text = given["null"][:1], given["context"][:1]
    up = _scheduler(load, "DDIMScheduler", "epsilon")
    up.set_timesteps(cases.STEPS)
    texts = iter(
        [null, null]
    )  # asked for the empty prompt, then for the prompt of the inversion, which is empty too

    class Ids:
        input_ids = torch.zeros(1)

    class Held:
        tokenizer = staticmethod(lambda *_, **__: Ids)
        text_encoder = staticmethod(lambda _: (next(texts),))
        device, unet = "cpu", net

    Held.tokenizer.model_max_length = 77
    path = util.ddim_inversion(Held, up, given["x0"][:1], cases.STEPS, "")
    pipeline = _pipeline(
        load, net, _scheduler(load, "DDIMScheduler", "epsilon"), torch.cat([null, text])
    )
    frames, height, width = case.shape[1:]
    made = pipeline(
        "prompt",
        frames,
        height * 8,
        width * 8,
        cases.STEPS,
        cases.GUIDANCE,
        latents=path[-1],
        output_type="numpy",
        return_dict=False,
    )
    return {
        "path": np.stack([p.numpy() for p in path]),
        "made": made,
        "times": up.timesteps.numpy(),
    }


def _pipeline(
    load: Callable[[str], Any], net: torch.nn.Module, scheduler: Any, both: torch.Tensor
) -> Any:
    base = load("tuneavideo.pipelines.pipeline_tuneavideo").TuneAVideoPipeline

    class Bare(base):
        def __init__(self) -> None:
            self.unet, self.scheduler, self.vae_scale_factor = net, scheduler, 8

        device = _execution_device = torch.device("cpu")

        def _encode_prompt(self, *_: Any) -> torch.Tensor:
            return both

        def decode_latents(self, latents: torch.Tensor) -> np.ndarray:
            return latents.numpy()

    return Bare()


def _scheduler(load: Callable[[str], Any], name: str, prediction: str) -> Any:
    more = {"set_alpha_to_one": False, "steps_offset": 1} if name == "DDIMScheduler" else {}
    return getattr(load("diffusers"), name)(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction,
        **more,
    )


def make(folder: Path, checkout: Path | None = None, diffusers: Path | None = None) -> list[Path]:
    """Write tune_a_video_*.npz into `folder`; nothing without a checkout, for the original is no
    package.
    """
    if checkout is None or diffusers is None:
        return []
    load, files = original(checkout, diffusers), {}
    for name, prediction in cases.TRAININGS:
        for mode in ("", "_compat"):
            files[f"{name}{mode}"] = trained(load, unet_cases.CASE[name], prediction, bool(mode))
    files["sampling"] = sampled(load, unet_cases.CASE[cases.SAMPLING])
    written = []
    for name, arrays in files.items():
        written.append(Path(folder) / f"tune_a_video_{name}.npz")
        np.savez_compressed(written[-1], **arrays)
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[3]), Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
