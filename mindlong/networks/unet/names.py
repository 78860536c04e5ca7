"""Every tensor of a UNet, by walking its spec: our name, the name in the original's file, the shape
on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.names import Entry, count, pair, same
from mindlong.networks.unet.layouts import LAYOUTS, Layout
from mindlong.networks.unet.stage_spec import Branch, Level, Res, Stage, TemporalConv, Transformer
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

TEMPORAL_CONVS = (
    (0, 2),
    (0, 3),
    (0, 3),
    (0, 3),
)  # places of norm and convolution; later ones have a dropout between


def names(spec: UNetSpec, layout: str = "diffusers", prefix: str = "") -> list[Entry]:
    """One entry for each tensor of the network.

    Args:
        layout: of LAYOUTS: "diffusers"; "modelscope" (text2video_pytorch_model.pth); "lvdm"
            (VideoCrafter's model.ckpt); "ldm" (Stable Diffusion's .ckpt); "guoyww" (AnimateDiff).
        prefix: what stands before every key of the file, for instance "model.diffusion_model.".

    Raises:
        ConfigError: an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"There is no UNet layout {layout!r}.{did_you_mean(layout, LAYOUTS)}")
    walk = _Walk(spec, LAYOUTS[layout])
    return [Entry(e.ours, prefix + e.source, e.our_shape, e.source_shape) for e in walk.entries()]


def parameter_count(spec: UNetSpec) -> int:
    """Numbers in the network; nothing is allocated."""
    return count(names(spec))


def _linear(
    ours: str, source: str, cin: int, cout: int, rank: int = 2, bias: bool = True
) -> list[Entry]:
    """A linear layer that the file may store as a convolution of size 1, with `rank` axes."""
    shape = (cout, cin)
    weight = Entry(f"{ours}.weight", f"{source}.weight", shape, shape + (1,) * (rank - 2))
    return [weight, same(f"{ours}.bias", f"{source}.bias", cout)] if bias else [weight]


def convs_of(spec: UNetSpec) -> tuple[tuple[str, str], ...]:
    """What the parts of a 2-D convolution are called behind its name, here and in files; the one
    over pixels first.
    """
    if spec.pseudo3d:
        return (".spatial", ".spatial_conv"), (".temporal", ".temporal_conv")
    return (("", ""),)


class _Walk:
    """One pass over a spec in one layout."""

    def __init__(self, spec: UNetSpec, layout: Layout) -> None:
        self.spec, self.layout = spec, layout

    def entries(self) -> Iterator[Entry]:
        spec, layout = self.spec, self.layout
        for condition in spec.conditions:
            yield from self.embedding(condition)
        if spec.guidance_dim:
            widths = (spec.guidance_dim, spec.channels[0])
            yield from _linear("guidance_embedding.proj", layout.guidance, *widths, bias=False)
        yield from self.conv("conv_in", layout.conv_in, spec.in_channels, spec.channels[0], 3)
        if spec.entry:
            widths = (spec.channels[0], spec.entry_dim)
            yield from self.transformer(
                "entry", layout.entry, spec.entry, *widths, layout.entry_rank
            )
        for side, levels in (("down", spec.down()), ("mid", [spec.mid()]), ("up", spec.up())):
            for i, level in enumerate(levels):
                yield from self.level(side, i, level)
        yield from pair("norm_out", layout.norm_out, spec.channels[0])
        yield from self.conv("conv_out", layout.conv_out, spec.channels[0], spec.out_channels, 3)

    def embedding(self, condition: str) -> list[Entry]:
        theirs, wide = self.layout.embedding[condition], self.spec.emb_dim
        first, second = (theirs.format(number) for number in self.layout.embedding_numbers)
        ours = f"{condition}_embedding"
        return _linear(f"{ours}.fc1", first, self.spec.channels[0], wide) + _linear(
            f"{ours}.fc2", second, wide, wide
        )

    def level(self, side: str, i: int, level: Level) -> Iterator[Entry]:
        first = i * (self.spec.layers + 1)  # here the blocks are numbered through all levels
        for j, (cin, cout) in enumerate(level.layers):
            for stage in self.spec.stages:
                if level.holds(stage, j):
                    source = self.layout.stage(self.spec, side, i, j, stage)
                    yield from self.stage(
                        f"{side}.{first + j}.{stage.name}", source, stage, cin, cout
                    )
        if level.resample:
            source = self.layout.resample(self.spec, side, i)
            ours = f"{side}.{first + self.spec.layers}.resample.conv"
            yield from self.conv(ours, source, level.width, level.width, 3)

    def stage(self, ours: str, source: str, stage: Stage, cin: int, cout: int) -> Iterator[Entry]:
        if isinstance(stage, Res):
            return self.res(ours, source, cin, cout)
        if isinstance(stage, TemporalConv):
            return self.temporal_conv(ours, source, cout)
        rank = 2 if self.spec.linear_projection else 4
        if stage.joint:
            rank = self.layout.joint_rank
        if stage.word:
            rank = 2
        return self.transformer(ours, source, stage, cout, cout, rank)

    def conv(self, ours: str, source: str, cin: int, cout: int, kernel: int) -> list[Entry]:
        shapes, entries = [(cout, cin, kernel, kernel), (cout, cout, 3)], []
        for (ours_tail, tail), shape in zip(convs_of(self.spec), shapes, strict=False):
            entries += pair(f"{ours}{ours_tail}", f"{source}{tail}", *shape)
        return entries

    def res(self, ours: str, source: str, cin: int, cout: int) -> Iterator[Entry]:
        theirs = {
            leaf: f"{source}.{self.layout.res.get(leaf, leaf)}"
            for leaf in ("norm1", "conv1", "time_proj", "norm2", "conv2", "skip")
        }
        yield from pair(f"{ours}.norm1", theirs["norm1"], cin)
        yield from self.conv(f"{ours}.conv1", theirs["conv1"], cin, cout, 3)
        yield from _linear(f"{ours}.time_proj", theirs["time_proj"], self.spec.emb_dim, cout)
        yield from pair(f"{ours}.norm2", theirs["norm2"], cout)
        yield from self.conv(f"{ours}.conv2", theirs["conv2"], cout, cout, 3)
        if cin != cout:
            yield from self.conv(f"{ours}.skip", theirs["skip"], cin, cout, 1)

    def temporal_conv(self, ours: str, source: str, width: int) -> Iterator[Entry]:
        kernel = (width, width, 3)
        for i, (norm, conv) in enumerate(TEMPORAL_CONVS):
            yield from pair(f"{ours}.norms.{i}", f"{source}.conv{i + 1}.{norm}", width)
            theirs = f"{source}.conv{i + 1}.{conv}"
            yield Entry(f"{ours}.convs.{i}.weight", f"{theirs}.weight", kernel, (*kernel, 1, 1))
            yield same(f"{ours}.convs.{i}.bias", f"{theirs}.bias", width)

    def transformer(
        self, ours: str, source: str, stage: Transformer, width: int, inner: int, rank: int
    ) -> Iterator[Entry]:
        yield from pair(f"{ours}.norm", f"{source}.norm", width)
        yield from _linear(f"{ours}.proj_in", f"{source}.proj_in", width, inner, rank)
        for branch in stage.branches:
            block = f"{source}.transformer_blocks.0"
            yield from self.branch(f"{ours}.block", block, stage, branch, inner)
        yield from _linear(f"{ours}.proj_out", f"{source}.proj_out", inner, width, rank)

    def branch(
        self, ours: str, source: str, stage: Transformer, branch: Branch, inner: int
    ) -> Iterator[Entry]:
        norm, name = self.layout.branch(stage, branch)
        yield from pair(f"{ours}.{branch.norm}", f"{source}.{norm}", inner)
        ours, source = f"{ours}.{branch.name}", f"{source}.{name}"
        if branch.kind == "ff":
            yield from _linear(f"{ours}.proj_in", f"{source}.net.0.proj", inner, 8 * inner)
            yield from _linear(f"{ours}.proj_out", f"{source}.net.2", 4 * inner, inner)
            return
        read = self.spec.context_dim if branch.kind == "text" else inner
        for leaf, cin in (("to_q", inner), ("to_k", read), ("to_v", read)):
            yield from _linear(f"{ours}.{leaf}", f"{source}.{leaf}", cin, inner, bias=False)
        for leaf in ("to_k_ip", "to_v_ip") if branch.image else ():
            yield from _linear(f"{ours}.{leaf}", f"{source}.{leaf}", read, inner, bias=False)
        if branch.image == "gated":
            yield same(f"{ours}.alpha", f"{source}.alpha")
        yield from _linear(f"{ours}.to_out", f"{source}.to_out.0", inner, inner)
