"""The UNets of the latent video families, under diffusers' names and those of the latent diffusion
lineage.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mindlong.networks.kind import (
    Inferred,
    Kind,
    Shapes,
    largest_divisor,
    size,
    spec_of,
)
from mindlong.networks.unet.families import FAMILIES, Family
from mindlong.networks.unet.names import names
from mindlong.networks.unet.spec import FRAMES, Transformer, UNetSpec
from mindlong.utils.errors import ConfigError, InputFileError

FIXED = {"stages", "entry", "conditions", "joint", "pseudo3d", "zero"}  # not said by the names
IGNORED = (
    r"(.*\.)?(betas|alphas_cumprod|alphas_cumprod_prev|sqrt_\w+|log_\w+|posterior_\w+|logvar|scale_arr|scale_factor|"
    r"lvlb_weights|num_batches_tracked)",
    r"(.*\.)?model_ema\..*",
)
_BLOCK = "transformer_blocks.0"


@dataclass(frozen=True)
class _Words:
    """Where the sizes stand in a layout. `i` counts levels, `j` layers of a level, `n` layers of
    every level.
    """

    conv_in: str
    conv_out: str
    entry: str
    mid: str  # the transformer in the middle
    time: str
    conv1: str  # of a residual block

    def res(self, i: int, j: int, n: int) -> str:
        """A residual block on the way down."""
        return f"down_blocks.{i}.resnets.{j}"

    def attention(self, i: int, n: int) -> str:
        """The first transformer of a level."""
        return f"down_blocks.{i}.attentions.0"


class _LdmWords(_Words):
    def res(self, i: int, j: int, n: int) -> str:
        return f"input_blocks.{1 + i * (n + 1) + j}.0"

    def attention(self, i: int, n: int) -> str:
        return f"input_blocks.{1 + i * (n + 1)}.1"


_DIFFUSERS = _Words(
    "conv_in",
    "conv_out",
    "transformer_in",
    "mid_block.attentions.0",
    "time_embedding.linear_1",
    "conv1",
)
_PSEUDO3D = _Words(
    "conv_in.spatial_conv",
    "conv_out.spatial_conv",
    "transformer_in",
    "mid_block.attentions.0",
    "time_embedding.linear_1",
    "conv1.spatial_conv",
)
_WORDS = {
    "diffusers": _DIFFUSERS,
    "ldm": _LdmWords(
        "input_blocks.0.0", "out.2", "", "middle_block.1", "time_embed.0", "in_layers.2"
    ),
    "modelscope": _LdmWords(
        "input_blocks.0.0",
        "out.2",
        "input_blocks.0.1",
        "middle_block.1",
        "time_embed.0",
        "in_layers.2",
    ),
    "lvdm": _LdmWords(
        "input_blocks.0.0", "out.2", "init_attn.0", "middle_block.1", "time_embed.0", "in_layers.2"
    ),
}
_OWN = {  # what only files of the family have: under diffusers' names, under the older ones, and here
    "modelscope": (
        ("transformer_in.proj_in.weight", "mid_block.temp_convs.0.conv1.0.weight"),
        ("input_blocks.0.1.proj_in.weight", "middle_block.0.temopral_conv.conv1.0.weight"),
        ("entry.proj_in.weight", "mid.0.tconv.convs.0.weight"),
    ),
    "videocrafter2": (
        (
            "fps_embedding.linear_1.weight",
            "transformer_in.proj_in.weight",
            "mid_block.temp_convs.0.conv1.0.weight",
        ),
        (
            "fps_embedding.0.weight",
            "init_attn.0.proj_in.weight",
            "middle_block.0.temopral_conv.conv1.0.weight",
        ),
        ("fps_embedding.fc1.weight", "entry.proj_in.weight", "mid.0.tconv.convs.0.weight"),
    ),
    "tune_a_video": (
        (f"mid_block.attentions.0.{_BLOCK}.attn_temp.to_q.weight",),
        (f"middle_block.1.{_BLOCK}.attn_temp.to_q.weight",),
        ("mid.0.spatial.block.attn_temp.to_q.weight",),
    ),
    "pseudo3d": (
        (f"mid_block.attentions.0.{_BLOCK}.attn_temporal.to_q.weight",),
        (),
        ("mid.0.spatial.block.attn_temporal.to_q.weight",),
    ),
    "stable_diffusion": ((), (), ()),
}


def kinds() -> Iterator[Kind]:
    """One kind for each family and each way of naming its tensors."""
    for name, family in FAMILIES.items():
        for layout in family.layouts:
            yield _kind(name, family, layout)


def _kind(name: str, family: Family, layout: str) -> Kind:
    words = _PSEUDO3D if name == "pseudo3d" else _WORDS[layout]
    own = _OWN[name][0 if layout == "diffusers" else 1]
    conv = "mid.0.res.conv1.spatial.weight" if name == "pseudo3d" else "mid.0.res.conv1.weight"
    ours = (conv, "time_embedding.fc1.weight", "mid.0.spatial.block.attn2.to_q.weight")
    based = name in ("tune_a_video", "pseudo3d")
    return Kind(
        family=name,
        part="unet",
        layout=layout,
        about=f"the UNet of {family.about}",
        markers=(
            f"{words.time}.weight",
            f"{words.conv_in}.weight",
            f"{words.mid}.{_BLOCK}.attn2.to_q.weight",
            *own,
        ),
        infer=functools.partial(_infer, family, words),
        entries=functools.partial(names, layout=layout),
        section=functools.partial(_section, name, family),
        from_section=spec_of,
        config=functools.partial(_config, name),
        prefix="" if layout in ("diffusers", "modelscope") else "model.diffusion_model.",
        ignored=IGNORED,
        our_markers=(*ours, *_OWN[name][2]),
        base="stable_diffusion" if based else "",
        base_name=_base_name,
    )


def _base_name(name: str) -> str | None:
    """Our name in the image model that a tensor of a video model starts from; None where it starts
    fresh.
    """
    if re.search(r"\.(attn|norm)_temp(oral)?\.|\.temporal\.(weight|bias)$", name):
        return None
    return re.sub(r"\.spatial\.(weight|bias)$", r".\1", name)


def _infer(family: Family, words: _Words, shapes: Shapes, wishes: Mapping[str, Any]) -> Inferred:
    layers = _count(shapes, words)
    channels, attends = zip(*_levels(shapes, words, layers), strict=True)
    context = size(shapes, f"{words.mid}.{_BLOCK}.attn2.to_k.weight", 1)
    found: dict[str, Any] = {
        "in_channels": size(shapes, f"{words.conv_in}.weight", 1),
        "out_channels": size(shapes, f"{words.conv_out}.weight", 0),
        "channels": channels,
        "layers": layers,
        "attends": attends,
        "context_dim": context,
        "groups": largest_divisor(channels, 32),
        "linear_projection": len(shapes.get(f"{words.mid}.proj_in.weight", ())) == 2,
        **_heads(family, channels, context, wishes),
    }
    if any(name.startswith("frame_embedding.") for name in shapes):
        found["conditions"] = (*family.spec().conditions, "frame")
    if family.fixed.get("entry"):
        head = wishes.get("head_dim") or found["head_dim"] or channels[0]
        found["entry_heads"] = size(shapes, f"{words.entry}.proj_in.weight", 0) // head
    notes = ()
    if not {"heads", "head_dim"} & set(wishes) and channels[0] not in (320,):
        shown = f"head_dim={found['head_dim']}" if found["head_dim"] else f"heads={found['heads']}"
        notes = (
            f"the file does not say how many heads there are: {shown} is taken, as the published sizes suggest",
        )
    try:
        return Inferred(family.spec(**{**found, **wishes}), notes)
    except (TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"the network cannot be built so: {error}") from None


def _heads(
    family: Family, channels: tuple[int, ...], context: int, wishes: Mapping[str, Any]
) -> dict[str, Any]:
    """Which of heads and head_dim rules: Stable Diffusion 1.x has 8 heads everywhere, all others
    heads 64 wide.
    """
    if "heads" in wishes or "head_dim" in wishes:
        return {"heads": None, "head_dim": None}
    if family.sizes.get("heads") and context == 768:
        return {"heads": largest_divisor(channels, family.sizes["heads"]), "head_dim": None}
    return {"heads": None, "head_dim": largest_divisor(channels, 64)}


def _count(shapes: Shapes, words: _Words) -> int:
    """Layers of a level: blocks up to the first that only halves the size."""
    n = 0
    while f"{words.res(0, n, 10**6)}.{words.conv1}.weight" in shapes:
        n += 1
    if n == 0:
        raise InputFileError(
            f"the sizes of the network cannot be read off: {words.res(0, 0, 1)} is missing"
        )
    return n


def _levels(shapes: Shapes, words: _Words, layers: int) -> Iterator[tuple[int, bool]]:
    """(channels, has transformers) of each level."""
    i = 0
    while (key := f"{words.res(i, 0, layers)}.{words.conv1}.weight") in shapes:
        yield size(shapes, key, 0), f"{words.attention(i, layers)}.proj_in.weight" in shapes
        i += 1


def _section(name: str, family: Family, spec: UNetSpec) -> dict[str, Any]:
    """The keys of a model section: the sizes, without what makes the family."""
    usual = family.spec()
    held = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in FIXED}
    if isinstance(spec.heads, int):
        held["heads"] = (spec.heads,)
    if spec.conditions != usual.conditions:
        held["conditions"] = spec.conditions
    held["joint"] = spec.joint
    changed = {
        k: list(v) if isinstance(v, tuple) else v for k, v in held.items() if v != getattr(usual, k)
    }
    reads = _reads(usual, spec)
    return {
        "family": name,
        **{k: v for k, v in changed.items() if v is not None},
        **({"reads": reads} if reads else {}),
    }


def _reads(usual: UNetSpec, spec: UNetSpec) -> dict[str, str]:
    """Key/value policies that are not the family's, by kind of attention, or by its name where a
    kind has several.
    """
    ours, theirs = (
        [
            b
            for s in (*x.stages, x.entry)
            if isinstance(s, Transformer)
            for b in s.branches
            if b.kind in FRAMES
        ]
        for x in (spec, usual)
    )
    found: dict[str, str] = {}
    if [b.name for b in ours] != [
        b.name for b in theirs
    ]:  # an image model as the start of a video model: its policies stay behind
        return found
    for kind in FRAMES:
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.kind == kind]
        policies = {a.reads for a, _ in pairs}
        if len(policies) == 1:
            found |= {kind: policies.pop()} if any(a.reads != b.reads for a, b in pairs) else {}
        else:
            found |= {a.name: a.reads for a, b in pairs if a.reads != b.reads}
    return found


def _config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What diffusers' config.json says beyond the shapes. Its attention_head_dim counts heads in
    2-D networks.
    """
    found: dict[str, Any] = {}
    heads, wide = config.get("attention_head_dim"), name in ("modelscope", "videocrafter2")
    if isinstance(heads, int) and wide:
        found = {"head_dim": heads, "heads": None}
    elif isinstance(heads, int):
        found = {"heads": heads, "head_dim": None}
    elif isinstance(heads, list):
        dims = {
            width // n
            for width, n in zip(config.get("block_out_channels", []), heads, strict=False)
        }
        found = (
            {"heads": None, "head_dim": dims.pop()}
            if len(dims) == 1
            else {"heads": tuple(heads), "head_dim": None}
        )
    for ours, theirs in (
        ("groups", "norm_num_groups"),
        ("eps", "norm_eps"),
        ("upcast", "upcast_attention"),
    ):
        if isinstance(config.get(theirs), int | float):
            found[ours] = config[theirs]
    return found
