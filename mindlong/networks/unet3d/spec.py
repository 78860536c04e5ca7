"""Unet3D, the pixel-space network of Video Diffusion Models, as a spec.

Source: Ho et al., Video Diffusion Models, 2022 (arXiv 2204.03458), and its PyTorch rendering
video-diffusion-pytorch 0.7.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SPATIAL_HEAD_DIM = 32  # the original never hands attn_dim_head to its two spatial attentions
BIAS_BUCKETS, BIAS_MAX_DISTANCE = 32, 32
NORM_GROUPS = 8  # of the GroupNorm that releases before 0.7.0 used


OWN = ("none", "caption", "embedding")


@dataclass(frozen=True)
class TextSpec:
    """What makes the network's condition of a caption.

    Attributes:
        encoder: of OWN: "none"; "caption", an encoder trained jointly; "embedding", vectors from
            elsewhere; or the family of a text encoder with weights of its own.
        width, layers, heads, length: of the caption encoder.
    """

    encoder: str = "none"
    width: int = 64
    layers: int = 1
    heads: int = 4
    length: int = 16


@dataclass(frozen=True)
class Unet3DSpec:
    """What the network is made of. The fields are the original's arguments, and three that say
    which original.

    Attributes:
        dim: channels of the first level and half the sine/cosine time embedding's source; even, at
            least 4.
        cond_dim: width of the condition vector; None makes the network unconditional.
        out_dim: output channels; None: as `channels`.
        dim_mults: channels of each level as multiples of `dim`.
        channels: channels of the video.
        attn_heads: heads of every attention.
        attn_dim_head: width of a temporal head (spatial heads are always 32 wide, as in the
            original).
        init_dim: channels after the first convolution; None: as `dim`.
        init_kernel_size: odd size of the first convolution.
        use_sparse_linear_attn: linear spatial attention on every level.
        compat: True reproduces the original where it is wrong (docs/vdm.md): the focus mask does
            not reach the first attention.
        block_norm: "rms" as in 0.7.0, "group" as in the releases before it.
        text_memory: tokens that the condition is projected to and that every attention reads as
            further keys and values; 0: none.
        shift_time, shift_space: half of an attention's channels over frames come from the frame
            before; a quarter each of those over pixels from the row above and the column to the
            left.
        classes: classes that a video can be of; 0: no class condition.
        frame_numbers: what the first convolution makes of a frame is told the frame's number.
        long_skip: where the skip to the last block is taken, "after_attn" as since 0.6.0,
            "before_attn" as before.
        float32: layers that stay in float32 in half precision, with all below them.

    Raises:
        ValueError: a field out of its range; the sentence names it.
    """

    dim: int
    cond_dim: int | None = None
    out_dim: int | None = None
    dim_mults: tuple[int, ...] = (1, 2, 4, 8)
    channels: int = 3
    attn_heads: int = 8
    attn_dim_head: int = 32
    init_dim: int | None = None
    init_kernel_size: int = 7
    use_sparse_linear_attn: bool = True
    compat: bool = False
    block_norm: str = "rms"
    long_skip: str = "after_attn"
    text_memory: int = 0
    shift_time: bool = False
    shift_space: bool = False
    classes: int = 0
    frame_numbers: bool = False
    float32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for sentence in _problems(self):
            raise ValueError(sentence)

    @property
    def extended(self) -> bool:
        """Whether the network has anything that the original has not."""
        shifted = self.shift_time or self.shift_space
        return bool(self.text_memory or shifted or self.classes or self.frame_numbers)

    @property
    def first(self) -> int:
        """Channels after the first convolution."""
        return self.init_dim or self.dim

    @property
    def out_channels(self) -> int:
        """Channels of the prediction."""
        return self.out_dim or self.channels

    @property
    def time_dim(self) -> int:
        """Width of the time embedding."""
        return 4 * self.dim

    @property
    def emb_dim(self) -> int:
        """Width of what conditions every residual block: time, then condition."""
        return self.time_dim + (self.cond_dim or 0)

    @property
    def rotary_dim(self) -> int:
        """How many features of a temporal head are turned by the rotary positions."""
        return min(32, self.attn_dim_head)

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """(channels in, channels out) of each level, going down."""
        dims = (self.first, *(self.dim * m for m in self.dim_mults))
        return tuple(zip(dims[:-1], dims[1:], strict=True))

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        return 2 ** (len(self.dim_mults) - 1)

    def check_video(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where a video of `shape` (B, C, F, H, W) does not fit the network."""
        if len(shape) != 5:
            raise ValueError(
                f"a video is (batch, channels, frames, height, width), got the shape {tuple(shape)}"
            )
        if shape[1] != self.channels:
            raise ValueError(
                f"the video has {shape[1]} channels; the network takes {self.channels}"
            )
        if shape[3] % self.multiple or shape[4] % self.multiple:
            raise ValueError(
                f"the video is {shape[3]} x {shape[4]} pixels; height and width must be multiples of "
                f"{self.multiple}, because the network halves them {len(self.dim_mults) - 1} times"
            )


def _problems(spec: Unet3DSpec) -> Iterator[str]:
    if spec.dim < 4 or spec.dim % 2:
        yield f"dim is {spec.dim}; it must be even and at least 4 (half of the time embedding is sine, half cosine)"
    if spec.init_kernel_size < 1 or spec.init_kernel_size % 2 == 0:
        yield f"init_kernel_size is {spec.init_kernel_size}; it must be odd"
    if spec.attn_dim_head < 2 or spec.attn_dim_head % 2:
        yield f"attn_dim_head is {spec.attn_dim_head}; it must be even (rotary positions turn pairs of features)"
    if not spec.dim_mults:
        yield "dim_mults is empty; it needs one number for each level"
    if spec.block_norm not in ("rms", "group"):
        yield f"block_norm is {spec.block_norm!r}; it must be 'rms' or 'group'"
    if spec.block_norm == "group" and any(spec.dim * m % NORM_GROUPS for m in spec.dim_mults):
        yield (
            f"block_norm is 'group', so every level needs a multiple of {NORM_GROUPS} channels; dim is {spec.dim} "
            f"and dim_mults {list(spec.dim_mults)}"
        )
    if spec.frame_numbers and (spec.first % 2 or spec.first < 4):
        yield f"frame_numbers needs an even number of at least 4 channels behind the first convolution, not {spec.first}"
    if spec.text_memory < 0 or spec.classes < 0:
        yield f"text_memory is {spec.text_memory} and classes {spec.classes}; neither can be negative"
    if spec.text_memory and not spec.cond_dim:
        yield f"text_memory is {spec.text_memory}, and cond_dim is empty; there is no condition to remember"
    if spec.long_skip not in ("after_attn", "before_attn"):
        yield f"long_skip is {spec.long_skip!r}; it must be 'after_attn' or 'before_attn'"
