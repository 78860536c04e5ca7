"""Golden arrays of the latent UNets (developers only: needs torch).

Cases, inputs and weights are those of tests/parity/unet_cases.py. `make` runs diffusers'
UNet3DConditionModel and UNet2DConditionModel as pip installs them. The other four originals are not
packages; their arrays were made by the same `record` from their own model files, run as they are on
a CPU in float32, and the names and shapes of their full size in unet_tensors_listed.json from the
same networks on torch's meta device:

    modelscope    UNetSD, modelscope/modelscope at 2905da12,
    models/multi_modal/video_synthesis/unet_sd.py lvdm          UNetModel, AILab-CVC/VideoCrafter at
    11bcd76f, lvdm/modules/networks/openaimodel3d.py tune_a_video  UNet3DConditionModel,
    showlab/Tune-A-Video at 7d4a89a2, with diffusers 0.11.1 pseudo3d
    UNetPseudo3DConditionModel, lxj616/make-a-stable-diffusion-video at 17b23963, with the explicit
    form
                  of its attention where it would call flash_attn
    guoyww        UNet3DConditionModel, guoyww/AnimateDiff at e92bd566, with diffusers 0.11.1:
    `guoyww` below
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "parity")]

import unet_cases as cases  # noqa: E402

Network = torch.nn.Module


def record(
    case: cases.Case, net: Network, run: Callable[..., torch.Tensor]
) -> dict[str, np.ndarray]:
    """Output, and where wanted gradients of sum(out * probe). `run(net, x, t, context, fps)` calls
    the original.
    """
    tables = {k: v for k, v in net.state_dict().items() if k.endswith(".pe")}
    drawn = {k: torch.from_numpy(v.copy()) for k, v in case.weights().items()}
    net.load_state_dict(drawn | tables, strict=True)
    net.eval()
    given = {k: torch.from_numpy(v) for k, v in case.inputs().items()}
    x, context = given["x"].requires_grad_(), given["context"].requires_grad_()
    more = (_waves(given["guidance"], case),) if "guidance" in given else ()
    out = run(net, x, given["t"].long(), context, given.get("fps"), *more)
    found = {"out": out.detach().numpy()}
    if not case.grad:
        return found
    (out * given["probe"]).sum().backward()
    gradients = {name: p.grad.numpy() for name, p in net.named_parameters()}
    return (
        found
        | {"grad_x": x.grad.numpy(), "grad_context": context.grad.numpy()}
        | cases.summary(gradients)
    )


def _waves(guidance: torch.Tensor, case: cases.Case) -> torch.Tensor:
    """What diffusers' pipeline for latent consistency models gives the network."""
    from diffusers import LatentConsistencyModelPipeline as Pipeline

    return Pipeline.get_guidance_scale_embedding(None, guidance, case.spec().guidance_dim)


def _shared(case: cases.Case) -> dict:
    spec = case.spec()
    return {
        "time_cond_proj_dim": spec.guidance_dim or None,
        "in_channels": spec.in_channels,
        "out_channels": spec.out_channels,
        "block_out_channels": spec.channels,
        "layers_per_block": spec.layers,
        "norm_num_groups": spec.groups,
        "cross_attention_dim": spec.context_dim,
    }


def _types(case: cases.Case, kind: str) -> dict:
    down = [f"{'CrossAttn' * attends}DownBlock{kind}" for attends in case.spec().attends]
    up = [f"{'CrossAttn' * attends}UpBlock{kind}" for attends in case.spec().attends[::-1]]
    return {"down_block_types": tuple(down), "up_block_types": tuple(up)}


def video(case: cases.Case) -> dict[str, np.ndarray]:
    """diffusers' UNet3DConditionModel."""
    from diffusers import UNet3DConditionModel

    net = UNet3DConditionModel(
        **_shared(case), **_types(case, "3D"), attention_head_dim=case.spec().head_dim
    )
    return record(case, net, _whole)


def _whole(
    net: Network,
    x: torch.Tensor,
    t: torch.Tensor,
    context: torch.Tensor,
    fps: None,
    waves: torch.Tensor | None = None,
) -> torch.Tensor:
    return net(x, t, context, timestep_cond=waves).sample


def picture(case: cases.Case) -> dict[str, np.ndarray]:
    """diffusers' UNet2DConditionModel on folded frames."""
    from diffusers import UNet2DConditionModel

    spec = case.spec()
    net = UNet2DConditionModel(
        **_shared(case),
        **_types(case, "2D"),
        attention_head_dim=spec.heads,
        use_linear_projection=spec.linear_projection,
    )
    return record(case, net, _folded)


def _folded(
    net: Network,
    x: torch.Tensor,
    t: torch.Tensor,
    context: torch.Tensor,
    fps: None,
    waves: torch.Tensor | None = None,
) -> torch.Tensor:
    batch, channels, frames = x.shape[:3]
    rows = x.transpose(1, 2).reshape(batch * frames, channels, *x.shape[3:])
    each = (t.repeat_interleave(frames), context.repeat_interleave(frames, 0))
    told = None if waves is None else waves.repeat_interleave(frames, 0)
    return net(rows, *each, timestep_cond=told).sample.unflatten(0, (batch, frames)).transpose(1, 2)


def moving(case: cases.Case) -> dict[str, np.ndarray]:
    """diffusers' UNetMotionModel; it takes the text of every frame."""
    from diffusers import UNetMotionModel

    spec = case.spec()
    net = UNetMotionModel(
        **_shared(case),
        **_types(case, "Motion"),
        num_attention_heads=spec.heads,
        motion_num_attention_heads=spec.heads,
        use_motion_mid_block=spec.stages[-1].mid,
        motion_max_seq_length=spec.stages[-1].places,
    )

    def run(net: Network, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor, fps: None):
        return net(x, t, context.repeat_interleave(x.shape[2], 0)).sample

    return record(case, net, run)


def guoyww(case: cases.Case, kind: type[Network]) -> dict[str, np.ndarray]:
    """AnimateDiff's own UNet3DConditionModel, which `kind` is."""
    spec = case.spec()
    stage = spec.stages[-1]
    net = kind(
        **_shared(case),
        **_types(case, "3D"),
        attention_head_dim=spec.heads,
        use_inflated_groupnorm=not spec.joint,
        use_motion_module=True,
        motion_module_resolutions=(1, 2, 4, 8),
        motion_module_mid_block=stage.mid,
        motion_module_type="Vanilla",
        motion_module_kwargs={
            "num_attention_heads": spec.heads,
            "num_transformer_block": 1,
            "temporal_position_encoding": True,
            "temporal_position_encoding_max_len": stage.places,
        },
    )
    return record(case, net, lambda net, x, t, context, fps: net(x, t, context).sample)


def tensors(spec_family: str, sizes: dict) -> dict[str, list[int]]:
    """Names and shapes of diffusers' own network, built without memory."""
    from diffusers import UNet2DConditionModel, UNet3DConditionModel

    kind = UNet3DConditionModel if spec_family == "modelscope" else UNet2DConditionModel
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in kind(**sizes).state_dict().items()}


DIFFUSERS = {"modelscope": video, "stable_diffusion": picture, "animatediff": moving}
FULL_SIZE = {
    "modelscope": ("modelscope", {}),
    "sd15": ("stable_diffusion", {"cross_attention_dim": 768, "attention_head_dim": 8}),
    "sd21": (
        "stable_diffusion",
        {
            "cross_attention_dim": 1024,
            "attention_head_dim": [5, 10, 20, 20],
            "use_linear_projection": True,
        },
    ),
}


def make(folder: Path) -> list[Path]:
    """Write unet_*.npz of the diffusers cases, and unet_tensors.json, into `folder`."""
    written = []
    for case in cases.CASES:
        if case.original == "diffusers":
            arrays = DIFFUSERS[case.family](case)
            written.append(Path(folder) / f"unet_{case.name}.npz")
            np.savez_compressed(written[-1], **arrays)
    written.append(Path(folder) / "unet_tensors.json")
    written[-1].write_text(json.dumps({name: tensors(*args) for name, args in FULL_SIZE.items()}))
    return written


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")
