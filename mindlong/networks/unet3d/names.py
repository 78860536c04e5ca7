"""How files call the tensors of Unet3D: the names of video-diffusion-pytorch."""

from __future__ import annotations

from collections.abc import Iterator

from mindlong.networks.names import Entry, count, pair, same
from mindlong.networks.unet3d.spec import (
    BIAS_BUCKETS,
    SPATIAL_HEAD_DIM,
    Unet3DSpec,
)
from mindlong.utils.needed import needed

PREFIX = (
    "denoise_fn."  # before every key where the network sits inside the original's GaussianDiffusion
)


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
    return count(names(spec))


def _conv(ours: str, source: str, first: int, second: int, kernel: int, width: int) -> list[Entry]:
    """A 1 x k x k convolution: the original's kernel has a frame axis of one, ours has not."""
    square = (kernel, kernel)
    weight = Entry(
        f"{ours}.weight", f"{source}.weight", (first, second, *square), (first, second, 1, *square)
    )
    return [weight, same(f"{ours}.bias", f"{source}.bias", width)]


def _norm(spec: Unet3DSpec, ours: str, source: str, width: int) -> list[Entry]:
    if spec.block_norm == "group":
        return pair(ours, source, width)
    return [Entry(f"{ours}.gamma", f"{source}.gamma", (width,), (width, 1, 1, 1))]


def _resnet(
    spec: Unet3DSpec, ours: str, source: str, cin: int, cout: int, timed: bool = True
) -> list[Entry]:
    entries = pair(f"{ours}.time_proj", f"{source}.mlp.1", 2 * cout, spec.emb_dim) if timed else []
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
    inner, deep = spec.attn_heads * spec.attn_dim_head, "fn.fn.fn" + ".fn" * spec.shift_time
    memory = _memory(spec, ours, f"{source}.{deep}", inner)
    return [*_attention(ours, source, width, inner, deep), *memory]


def _spatial(spec: Unet3DSpec, ours: str, source: str, width: int, deep: str) -> list[Entry]:
    inner, deep = spec.attn_heads * SPATIAL_HEAD_DIM, deep + ".fn" * spec.shift_space
    memory = _memory(spec, ours, f"{source}.{deep}", inner)
    return [*_attention(ours, source, width, inner, deep), *memory]


def _memory(spec: Unet3DSpec, ours: str, source: str, inner: int) -> list[Entry]:
    """What an attention reads the memory with. The original has none: its name is in its style, as
    is the one level more (`fn.`) round an attention whose features are shifted.
    """
    if not spec.text_memory:
        return []
    names = f"{ours}.memory.to_kv.weight", f"{source}.to_memory_kv.weight"
    return [same(*names, 2 * inner, needed(spec.cond_dim, "cond_dim"))]


def _linear_attention(spec: Unet3DSpec, ours: str, source: str, width: int) -> list[Entry]:
    norm, *projections = _spatial(spec, ours, source, width, "fn.fn")
    convs = [Entry(e.ours, e.source, e.our_shape, e.our_shape) for e in projections]
    deep = "fn.fn" + ".fn" * spec.shift_space
    return [norm, *convs, same(f"{ours}.to_out.bias", f"{source}.{deep}.to_out.bias", width)]


def _head(spec: Unet3DSpec) -> list[Entry]:
    bias = same(
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
    entries += pair("time_mlp.fc1", "time_mlp.1", spec.time_dim, spec.dim)
    entries += pair("time_mlp.fc2", "time_mlp.3", spec.time_dim, spec.time_dim)
    if spec.cond_dim:
        entries.append(same("null_cond_emb", "null_cond_emb", 1, spec.cond_dim))
    return entries + _more(spec)


def _more(spec: Unet3DSpec) -> list[Entry]:
    """What the original has not."""
    entries = []
    if spec.classes:
        shape = (spec.classes + 1, spec.time_dim)
        entries.append(same("class_embedding.weight", "class_emb.weight", *shape))
    if spec.frame_numbers:
        entries += pair("frame_embedding", "frame_emb", spec.first, spec.first)
    if spec.text_memory:
        width, tokens = needed(spec.cond_dim, "cond_dim"), "text_memory.to_tokens"
        entries += pair(tokens, tokens, spec.text_memory * width, width) + pair(
            "text_memory.norm", "text_memory.norm", width
        )
    return entries


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
        *_spatial(spec, "mid.spatial", "mid_spatial_attn", width, "fn.fn.fn"),
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
