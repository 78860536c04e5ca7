"""Unet3D, the pixel-space network of Video Diffusion Models, as a spec and as a list of tensor
names.

Source: Ho et al., Video Diffusion Models, 2022 (arXiv 2204.03458), and its PyTorch rendering
video-diffusion-pytorch 0.7.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from mindlong.networks.names import Entry

SPATIAL_HEAD_DIM = 32  # the original never hands attn_dim_head to its two spatial attentions
BIAS_BUCKETS, BIAS_MAX_DISTANCE = 32, 32
NORM_GROUPS = 8  # of the GroupNorm that releases before 0.7.0 used

PREFIX = (
    "denoise_fn."  # before every key where the network sits inside the original's GaussianDiffusion
)


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
        long_skip: where the skip to the last block is taken, "after_attn" as since 0.6.0,
            "before_attn" as before.

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

    def __post_init__(self) -> None:
        for sentence in _problems(self):
            raise ValueError(sentence)

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
        """Width of what every residual block is told: time, then condition."""
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
    if spec.long_skip not in ("after_attn", "before_attn"):
        yield f"long_skip is {spec.long_skip!r}; it must be 'after_attn' or 'before_attn'"


def names(spec: Unet3DSpec) -> list[Entry]:
    """One entry for each tensor of the network: our name, the key in the original's Unet3D, both
    shapes.

    The frozen rotary frequencies appear once; the original's other keys for them are the entry's
    `ties`.
    """
    entries = [*_head(spec), *_downs(spec), *_mid(spec), *_ups(spec), *_tail(spec)]
    temporal = [
        e.source.removesuffix("to_qkv.weight")
        for e in entries
        if e.ours.endswith("temporal.to_qkv.weight")
    ]
    keys = [f"{base}rotary_emb.freqs" for base in temporal]
    shape = (spec.rotary_dim // 2,)
    return [*entries, Entry("rotary.freqs", keys[0], shape, shape, tuple(keys[1:]))]


def parameter_count(spec: Unet3DSpec) -> int:
    """Numbers in the network, the frozen rotary frequencies counted once."""
    return sum(prod(entry.our_shape) for entry in names(spec))


def _same(ours: str, source: str, *shape: int) -> Entry:
    return Entry(ours, source, shape, shape)


def _linear(ours: str, source: str, cin: int, cout: int) -> list[Entry]:
    return [
        _same(f"{ours}.weight", f"{source}.weight", cout, cin),
        _same(f"{ours}.bias", f"{source}.bias", cout),
    ]


def _conv(ours: str, source: str, first: int, second: int, kernel: int, width: int) -> list[Entry]:
    """A 1 x k x k convolution: the original's kernel has a frame axis of one, ours has not."""
    square = (kernel, kernel)
    weight = Entry(
        f"{ours}.weight", f"{source}.weight", (first, second, *square), (first, second, 1, *square)
    )
    return [weight, _same(f"{ours}.bias", f"{source}.bias", width)]


def _norm(spec: Unet3DSpec, ours: str, source: str, width: int) -> list[Entry]:
    if spec.block_norm == "group":
        return [_same(f"{ours}.{leaf}", f"{source}.{leaf}", width) for leaf in ("weight", "bias")]
    return [Entry(f"{ours}.gamma", f"{source}.gamma", (width,), (width, 1, 1, 1))]


def _resnet(
    spec: Unet3DSpec, ours: str, source: str, cin: int, cout: int, timed: bool = True
) -> list[Entry]:
    entries = (
        _linear(f"{ours}.time_proj", f"{source}.mlp.1", spec.emb_dim, 2 * cout) if timed else []
    )
    for number, width in ((1, cin), (2, cout)):
        entries += _conv(
            f"{ours}.conv{number}", f"{source}.block{number}.proj", cout, width, 3, cout
        )
        entries += _norm(spec, f"{ours}.norm{number}", f"{source}.block{number}.norm", cout)
    return entries + (
        _conv(f"{ours}.skip", f"{source}.res_conv", cout, cin, 1, cout) if cin != cout else []
    )


def _attention(ours: str, source: str, width: int, inner: int, deep: str) -> list[Entry]:
    """An attention made of Linear layers; ours are 1 x 1 convolutions, because the channels stay on
    axis 1.
    """
    qkv, out = (3 * inner, width), (width, inner)
    return [
        Entry(f"{ours}.norm.gamma", f"{source}.fn.norm.gamma", (width,), (1, width, 1, 1, 1)),
        Entry(f"{ours}.to_qkv.weight", f"{source}.{deep}.to_qkv.weight", (*qkv, 1, 1), qkv),
        Entry(f"{ours}.to_out.weight", f"{source}.{deep}.to_out.weight", (*out, 1, 1), out),
    ]


def _temporal(spec: Unet3DSpec, ours: str, source: str, width: int) -> list[Entry]:
    return _attention(ours, source, width, spec.attn_heads * spec.attn_dim_head, "fn.fn.fn")


def _linear_attention(spec: Unet3DSpec, ours: str, source: str, width: int) -> list[Entry]:
    norm, *projections = _attention(
        ours, source, width, spec.attn_heads * SPATIAL_HEAD_DIM, "fn.fn"
    )
    convs = [Entry(e.ours, e.source, e.our_shape, e.our_shape) for e in projections]
    return [norm, *convs, _same(f"{ours}.to_out.bias", f"{source}.fn.fn.to_out.bias", width)]


def _head(spec: Unet3DSpec) -> list[Entry]:
    bias = _same(
        "time_bias.weight",
        "time_rel_pos_bias.relative_attention_bias.weight",
        BIAS_BUCKETS,
        spec.attn_heads,
    )
    entries = [
        bias,
        *_conv(
            "init_conv", "init_conv", spec.first, spec.channels, spec.init_kernel_size, spec.first
        ),
    ]
    entries += _temporal(spec, "init_temporal", "init_temporal_attn", spec.first)
    entries += _linear("time_mlp.fc1", "time_mlp.1", spec.dim, spec.time_dim)
    entries += _linear("time_mlp.fc2", "time_mlp.3", spec.time_dim, spec.time_dim)
    return entries + (
        [_same("null_cond_emb", "null_cond_emb", 1, spec.cond_dim)] if spec.cond_dim else []
    )


def _stage(spec: Unet3DSpec, name: str, cin: int, cout: int, resampled: bool) -> list[Entry]:
    entries = _resnet(spec, f"{name}.res1", f"{name}.0", cin, cout)
    entries += _resnet(spec, f"{name}.res2", f"{name}.1", cout, cout)
    if spec.use_sparse_linear_attn:
        entries += _linear_attention(spec, f"{name}.spatial", f"{name}.2", cout)
    entries += _temporal(spec, f"{name}.temporal", f"{name}.3", cout)
    return entries + (
        _conv(f"{name}.resample", f"{name}.4", cout, cout, 4, cout) if resampled else []
    )


def _downs(spec: Unet3DSpec) -> Iterator[Entry]:
    for i, (cin, cout) in enumerate(spec.stages):
        yield from _stage(spec, f"downs.{i}", cin, cout, i < len(spec.stages) - 1)


def _mid(spec: Unet3DSpec) -> list[Entry]:
    width = spec.stages[-1][1]
    return [
        *_resnet(spec, "mid.res1", "mid_block1", width, width),
        *_attention(
            "mid.spatial", "mid_spatial_attn", width, spec.attn_heads * SPATIAL_HEAD_DIM, "fn.fn.fn"
        ),
        *_temporal(spec, "mid.temporal", "mid_temporal_attn", width),
        *_resnet(spec, "mid.res2", "mid_block2", width, width),
    ]


def _ups(spec: Unet3DSpec) -> Iterator[Entry]:
    for i, (cin, cout) in enumerate(reversed(spec.stages)):
        yield from _stage(spec, f"ups.{i}", 2 * cout, cin, i < len(spec.stages) - 1)


def _tail(spec: Unet3DSpec) -> list[Entry]:
    return [
        *_resnet(spec, "final.res", "final_conv.0", 2 * spec.first, spec.dim, timed=False),
        *_conv("final.conv", "final_conv.1", spec.out_channels, spec.dim, 1, spec.out_channels),
    ]
