"""How files call the parts of the UNet: diffusers' words, and those of the latent diffusion
lineage.

A layout says where a stage, a resampling convolution and the parts outside the levels are found.
`side` is "down", "mid" or "up"; `level` and `layer` count in the order in which they run.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.networks.unet.spec import Res, Stage, TemporalConv, Transformer, UNetSpec


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

    def _word(self, stage: Stage) -> str:
        if isinstance(stage, Res):
            return "resnets"
        if isinstance(stage, TemporalConv):
            return "temp_convs"
        return "temp_attentions" if stage.joint else "attentions"

    def resample(self, spec: UNetSpec, side: str, level: int) -> str:
        """Key of the convolution that goes with a change of size."""
        return f"{side}_blocks.{level}.{side}samplers.0.conv"


@dataclass(frozen=True)
class Ldm:
    """The lineage of CompVis' openaimodel.py, which counts blocks through all levels.

    Attributes:
        entry: key of the transformer behind the first convolution.
        down: what stands behind the number of a block that halves the size.
        joint_rank: axes of the projections of the transformers over time (3: stored as 1-D
            convolutions).
        entry_rank: axes of the projections of `entry`.
    """

    entry: str = ""
    down: str = "0.op"
    joint_rank: int = 2
    entry_rank: int = 3

    conv_in, norm_out, conv_out = "input_blocks.0.0", "out.0", "out.2"
    res = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "skip": "skip_connection",
    }
    embedding = {"time": "time_embed.{}", "fps": "fps_embedding.{}", "frame": "frame_embedding.{}"}
    embedding_numbers = (0, 2)
    guidance = "time_cond_proj"

    def stage(self, spec: UNetSpec, side: str, level: int, layer: int, stage: Stage) -> str:
        """Key of a stage, without the dot at its end."""
        place = self._transformers(spec).index(stage) + 1 if isinstance(stage, Transformer) else 0
        tail = (
            ".temopral_conv" if isinstance(stage, TemporalConv) else ""
        )  # the original's spelling
        if side == "mid":
            return f"middle_block.{place + layer * (1 + len(self._transformers(spec)))}{tail}"
        block = level * (spec.layers + 1) + layer
        return (
            f"input_blocks.{block + 1}" if side == "down" else f"output_blocks.{block}"
        ) + f".{place}{tail}"

    def resample(self, spec: UNetSpec, side: str, level: int) -> str:
        """Key of the convolution that goes with a change of size."""
        block = (level + 1) * (spec.layers + 1)
        if side == "down":
            return f"input_blocks.{block}.{self.down}"
        attends = spec.attends[len(spec.attends) - 1 - level]
        return f"output_blocks.{block - 1}.{1 + attends * len(self._transformers(spec))}.conv"

    def _transformers(self, spec: UNetSpec) -> list[Transformer]:
        return [stage for stage in spec.stages if isinstance(stage, Transformer)]


Layout = Diffusers | Ldm

LAYOUTS: dict[str, Layout] = {
    "diffusers": Diffusers(),
    "modelscope": Ldm("input_blocks.0.1", "op", 3, 3),
    "lvdm": Ldm("init_attn.0"),
    "ldm": Ldm(),
}
