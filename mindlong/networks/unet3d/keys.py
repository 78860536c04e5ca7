"""The `model` section of Unet3D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from mindlong.networks.caption.spec import parameter_count, shapes
from mindlong.networks.choices import Families
from mindlong.networks.keys import problems_of_spec
from mindlong.networks.network import Network
from mindlong.networks.unet3d.spec import OWN, TextSpec, Unet3DSpec
from mindlong.utils.option import option

FAMILY = "vdm"
RELEASES = ("vdm_0.6", "vdm_0.5")  # before 0.7.0, before 0.6.0
SHIFTS = {(True, False): "time", (False, True): "space", (True, True): "time_space"}
_GIVEN = f"encoder!={'|'.join(OWN)}"  # a text encoder with weights of its own


def _pools(network: Network) -> bool:
    return network.text is not None and bool(network.text.pooled)


@dataclass
class TextModel:
    """How a caption becomes the network's condition."""

    encoder: str = option(
        "none",
        "where the condition comes from: none, a caption encoder trained jointly, embeddings on disk, or a "
        "text encoder with weights of its own, which stays as it is",
        choices=Families("text_encoder", first=OWN, only=_pools),
    )
    weights: str = option(
        "",
        "the text encoder's: a folder, a weights file, or installed:PACKAGE (one in site-packages)",
        when=_GIVEN,
    )
    tokenizer: str = option(
        "", "folder or file of its tokenizer; empty: beside the weights", when=_GIVEN
    )
    pooling: str = option(
        "mean",
        "one vector of a caption's: mean of its tokens without the first, or cls, the first",
        choices=("mean", "cls"),
        when=_GIVEN,
    )
    memory: int = option(
        0,
        "tokens that the condition is projected to and that every attention reads beside its own; 4 to 8 are "
        "usual, 0: none",
        minimum=0,
        when="encoder!=none",
    )
    width: int = option(
        64,
        "caption encoder: width of its layers",
        minimum=8,
        when="encoder=caption",
    )
    layers: int = option(
        1,
        "caption encoder: number of transformer layers",
        minimum=0,
        when="encoder=caption",
    )
    heads: int = option(
        4,
        "caption encoder: attention heads",
        minimum=1,
        when="encoder=caption",
    )
    length: int = option(
        16,
        "caption encoder: longest caption in tokens; of clips longer ones are cut, prompts are refused",
        minimum=2,
        when="encoder=caption",
    )

    def spec(self) -> TextSpec:
        """What makes the condition."""
        return TextSpec(**{f.name: getattr(self, f.name) for f in fields(TextSpec)})


@dataclass
class VdmModel:
    """Unet3D, the pixel-space network of Video Diffusion Models."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    compat: str = option(
        "",
        "'vdm' reproduces the original's bugs (docs/vdm.md), 'vdm_0.6' and 'vdm_0.5' its releases before 0.7.0 and 0.6.0",
        choices=("", FAMILY, *RELEASES),
    )
    dim: int = option(64, "channels of the first level; even", minimum=4)
    dim_mults: list[int] = option(
        [1, 2, 4, 8], "channels of each level as multiples of dim", minimum=1
    )
    channels: int = option(3, "channels of the video: 3 colour, 1 grey", minimum=1)
    out_dim: int | None = option(None, "output channels; empty: as channels")
    cond_dim: int | None = option(None, "width of the condition vector; empty: unconditional")
    attn_heads: int = option(8, "attention heads", minimum=1)
    attn_dim_head: int = option(32, "width of a temporal attention head; even", minimum=2)
    init_dim: int | None = option(None, "channels after the first convolution; empty: as dim")
    init_kernel_size: int = option(7, "size of the first convolution; odd", minimum=1)
    use_sparse_linear_attn: bool = option(True, "linear spatial attention on every level")
    float32: list[str] = option(
        [],
        "layers that stay in float32 in half precision, by their names or patterns "
        "(tools/fp16_audit.py finds those whose numbers leave the range of halves)",
    )
    token_shift: str = option(
        "",
        "attentions read half of their channels from the frame before (time), quarters from the row above and "
        "the column to the left (space), or both",
        choices=("", *SHIFTS.values()),
    )
    frame_numbers: bool = option(
        False,
        "the network is told each frame's number; the original's is told only how far frames are apart",
    )
    classes: list[str] = option(
        [],
        "classes that a video is of one of: the one whose name stands in its caption, whole words",
    )
    text: TextModel = field(default_factory=TextModel, metadata={"help": ""})

    @property
    def reads_prompts(self) -> bool:
        """Whether a caption changes anything."""
        return self.text.encoder not in ("none", "embedding") or bool(self.classes)

    def spec(self) -> Unet3DSpec:
        """The network's frozen spec."""
        return Unet3DSpec(
            dim=self.dim,
            cond_dim=self.cond_dim,
            out_dim=self.out_dim,
            dim_mults=tuple(self.dim_mults),
            channels=self.channels,
            attn_heads=self.attn_heads,
            attn_dim_head=self.attn_dim_head,
            init_dim=self.init_dim,
            init_kernel_size=self.init_kernel_size,
            use_sparse_linear_attn=self.use_sparse_linear_attn,
            compat=bool(self.compat),
            block_norm="group" if self.compat in RELEASES else "rms",
            long_skip="before_attn" if self.compat == RELEASES[1] else "after_attn",
            float32=tuple(self.float32),
            text_memory=self.text.memory,
            shift_time="time" in self.token_shift,
            shift_space="space" in self.token_shift,
            classes=len(self.classes),
            frame_numbers=self.frame_numbers,
        )

    def beside(self) -> dict[str, int]:
        """Numbers of what is trained beside the network, by its name in checkpoints."""
        if self.text.encoder != "caption":
            return {}
        t = self.text
        return {"text": parameter_count(t.width, t.layers, t.length, self.cond_dim or 0)}

    def names_beside(self) -> list[str]:
        """Names of the tensors of what is trained beside the network."""
        if self.text.encoder != "caption":
            return []
        t = self.text
        return [f"text.{name}" for name in shapes(t.width, t.layers, t.length, self.cond_dim or 0)]

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        step, size = 2 ** (len(self.dim_mults) - 1), config.data.size
        if size[0] % step or size[1] % step:
            yield (
                f"data.size is {size}; both must be multiples of {step}, because model.dim_mults has "
                f"{len(self.dim_mults)} levels"
            )
        if config.diffusion.cond_drop and not (self.cond_dim or self.classes):
            yield (
                f"diffusion.cond_drop is {config.diffusion.cond_drop:g} but model.cond_dim is empty; there is no "
                "condition to drop"
            )

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.dim % 2:
            yield f"model.dim is {self.dim}; it must be even (half of the time embedding is sine, half cosine)"
        if self.init_kernel_size % 2 == 0:
            yield f"model.init_kernel_size is {self.init_kernel_size}; it must be odd"
        if self.attn_dim_head % 2:
            yield f"model.attn_dim_head is {self.attn_dim_head}; it must be even (rotary positions turn pairs)"
        if self.text.encoder != "none" and not self.cond_dim:
            yield f"model.text.encoder is {self.text.encoder!r} but model.cond_dim is empty; the condition needs a width"
        if self.text.encoder not in OWN and not self.text.weights:
            yield f"model.text.weights is empty; model.text.encoder={self.text.encoder} needs the weights of one"
        if len({name.lower() for name in self.classes}) < len(self.classes) or "" in self.classes:
            yield f"model.classes is {list(self.classes)}; every class needs a name of its own"
        if self.text.width % self.text.heads:
            yield f"model.text.width is {self.text.width}; it must be a multiple of model.text.heads ({self.text.heads})"
        yield from problems_of_spec(self)
