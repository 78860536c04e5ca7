"""How files call the parts of the UNet: diffusers' words, and those of the latent diffusion
lineage.

A layout says where a stage, a resampling convolution and the parts outside the levels are found.
`side` is "down", "mid" or "up"; `level` and `layer` count in the order in which they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.networks.unet.stage_spec import Branch, Res, Stage, TemporalConv, Transformer

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


class Diffusers:
    """diffusers' UNet2DConditionModel and UNet3DConditionModel, Tune-A-Video and the pseudo-3D
    network.
    """

    conv_in, entry, norm_out, conv_out = "conv_in", "transformer_in", "conv_norm_out", "conv_out"
    res = {"time_proj": "time_emb_proj", "skip": "conv_shortcut"}
    embedding = {
        "time": "time_embedding.linear_{}",
        "fps": "fps_embedding.linear_{}",
        "frame": "frame_embedding.linear_{}",
    }
    embedding_numbers = (1, 2)
    guidance = "time_embedding.cond_proj"
    joint_rank = entry_rank = 2

    def stage(self, spec: UNetSpec, side: str, level: int, layer: int, stage: Stage) -> str:
        """Key of a stage, without the dot at its end."""
        block = "mid_block" if side == "mid" else f"{side}_blocks.{level}"
        return f"{block}.{self._word(stage)}.{layer}"

    def branch(self, stage: Transformer, branch: Branch) -> tuple[str, str]:
        """What a branch's norm and the branch are called in its block."""
        return branch.norm, branch.name

    def _word(self, stage: Stage) -> str:
        if isinstance(stage, Res):
            return "resnets"
        if isinstance(stage, TemporalConv):
            return "temp_convs"
        return stage.word or ("temp_attentions" if stage.joint else "attentions")

    def resample(self, spec: UNetSpec, side: str, level: int) -> str:
        """Key of the convolution that goes with a change of size."""
        return f"{side}_blocks.{level}.{side}samplers.0.conv"


_MOTION = ".temporal_transformer"  # what stands behind a motion module's number


def _motion_branch(stage: Transformer, branch: Branch) -> tuple[str, str]:
    """A motion module counts its attentions and names the norm of its feed-forward."""
    if branch.kind == "ff":
        return "ff_norm", branch.name
    number = stage.branches.index(branch)
    return f"norms.{number}", f"attention_blocks.{number}"


class Guoyww(Diffusers):
    """AnimateDiff's own: diffusers' words, and its own ones inside of a motion module."""

    def stage(self, spec: UNetSpec, side: str, level: int, layer: int, stage: Stage) -> str:
        """Key of a stage, without the dot at its end."""
        inside = isinstance(stage, Transformer) and stage.word
        return super().stage(spec, side, level, layer, stage) + _MOTION * bool(inside)

    def branch(self, stage: Transformer, branch: Branch) -> tuple[str, str]:
        """What a branch's norm and the branch are called in its block."""
        return _motion_branch(stage, branch) if stage.word else super().branch(stage, branch)


@dataclass(frozen=True)
class Ldm:
    """The lineage of CompVis' openaimodel.py, which counts blocks through all levels.

    Attributes:
        entry: key of the transformer behind the first convolution.
        down: what stands behind the number of a block that halves the size.
        joint_rank: axes of the projections of the transformers over time (3: stored as 1-D
            convolutions).
        entry_rank: axes of the projections of `entry`.
        fps: key of the embedding of the frame rate.
    """

    entry: str = ""
    down: str = "0.op"
    joint_rank: int = 2
    entry_rank: int = 3
    fps: str = "fps_embedding"

    conv_in, norm_out, conv_out = "input_blocks.0.0", "out.0", "out.2"
    res = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "skip": "skip_connection",
    }
    embedding_numbers = (0, 2)
    guidance = "time_cond_proj"

    @property
    def embedding(self) -> dict[str, str]:
        """Condition -> key of its embedding's layers."""
        return {
            "time": "time_embed.{}",
            "fps": self.fps + ".{}",
            "frame": "frame_embedding.{}",
        }

    def stage(self, spec: UNetSpec, side: str, level: int, layer: int, stage: Stage) -> str:
        """Key of a stage, without the dot at its end."""
        held = _transformers(spec, side, level)
        before = spec.stages[: spec.stages.index(stage)] if stage in spec.stages else ()
        place = 1 + sum(s in held for s in before) if isinstance(stage, Transformer) else 0
        tail = (
            ".temopral_conv" if isinstance(stage, TemporalConv) else ""
        )  # the original's spelling
        if isinstance(stage, Transformer) and stage.word:
            tail = _MOTION
        if side == "mid":
            return f"middle_block.{place + layer * (1 + len(held))}{tail}"
        block = level * (spec.layers + 1) + layer
        return (
            f"input_blocks.{block + 1}" if side == "down" else f"output_blocks.{block}"
        ) + f".{place}{tail}"

    def resample(self, spec: UNetSpec, side: str, level: int) -> str:
        """Key of the convolution that goes with a change of size."""
        block = (level + 1) * (spec.layers + 1)
        if side == "down":
            return f"input_blocks.{block}.{self.down}"
        return f"output_blocks.{block - 1}.{1 + len(_transformers(spec, side, level))}.conv"

    def branch(self, stage: Transformer, branch: Branch) -> tuple[str, str]:
        """What a branch's norm and the branch are called in its block."""
        return _motion_branch(stage, branch) if stage.word else (branch.norm, branch.name)


def _transformers(spec: UNetSpec, side: str, level: int) -> list[Transformer]:
    """Those of a level's first layer, in their order."""
    found = {"down": spec.down(), "mid": [spec.mid()], "up": spec.up()}[side][level:][:1]
    every = [s for s in spec.stages if isinstance(s, Transformer)]
    return [s for s in every if all(each.holds(s, 0) for each in found)]


Layout = Diffusers | Ldm

LAYOUTS: dict[str, Layout] = {
    "diffusers": Diffusers(),
    "modelscope": Ldm("input_blocks.0.1", "op", 3, 3),
    "lvdm": Ldm("init_attn.0"),
    "lvdm_framestride": Ldm("init_attn.0", fps="framestride_embed"),
    "ldm": Ldm(),
    "guoyww": Guoyww(),
}
