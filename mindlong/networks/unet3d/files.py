"""Unet3D of video-diffusion-pytorch, in the files of its trainer, of GaussianDiffusion, or bare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mindlong.diffusion.schedules import cosine
from mindlong.networks.format import Format, Inferred, Shapes, size
from mindlong.networks.unet3d.keys import FAMILY, RELEASES, SHIFTS
from mindlong.networks.unet3d.names import PREFIX, names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import ConfigError, InputFileError

BUFFERS = tuple(cosine(1).tables)  # the twelve that GaussianDiffusion keeps
_KEYS = (
    "cond_dim",
    "out_dim",
    "channels",
    "attn_heads",
    "attn_dim_head",
    "init_dim",
    "init_kernel_size",
    "use_sparse_linear_attn",
    "frame_numbers",
)  # as in a configuration's model section
FORMS = ("trainer", "diffusion", "network")
_GROUPNORM = (
    "its blocks use GroupNorm, as video-diffusion-pytorch did before 0.7.0: read with block_norm=group "
    "(8 groups, the original's default, which the file does not say)"
)
_SKIP = (
    "0.5.2 and 0.5.3 took the long skip before the first attention, 0.6.0 and later after it; the file does not "
    "say which release wrote it: long_skip={}{}"
)
_ODD_SCHEDULE = (
    "its noise schedule is not the cosine one of video-diffusion-pytorch; its twelve tables are not kept, "
    "and an export writes the cosine ones"
)
_REFUSED = "written by video-diffusion-pytorch before {}, whose network is another one ({}); it is not read"


_SPARSE, _SPARSE_SHIFTED = (f"downs.0.2.fn.fn{more}.to_qkv.weight" for more in ("", ".fn"))


def infer(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    """The spec from the shapes of a bare Unet3D.

    Raises:
        InputFileError: a release before 0.5.2, whose network is another one, or sizes that
            contradict each other.
    """
    for sentence in _too_old(shapes):
        raise InputFileError(sentence)
    try:
        spec = Unet3DSpec(**{**_fields(shapes), **overrides})
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"the network cannot be built so: {error}") from None
    return Inferred(spec, tuple(_notes(spec, overrides)))


def _fields(shapes: Shapes) -> dict[str, Any]:
    dim, heads = size(shapes, "time_mlp.1.weight", 1), size(shapes, FORMAT.markers[0], 1)
    first, channels = size(shapes, "init_conv.weight", 0), size(shapes, "init_conv.weight", 1)
    cond_dim = size(shapes, "null_cond_emb", 1) if "null_cond_emb" in shapes else None
    entry, out = "init_temporal_attn.fn.fn.fn", size(shapes, "final_conv.1.weight", 0)
    shifted = f"{entry}.fn.to_qkv.weight" in shapes
    rows = size(shapes, f"{entry}{'.fn' * shifted}.to_qkv.weight", 0)
    return {
        "dim": dim,
        "dim_mults": tuple(width // dim for width in _widths(shapes)),
        "channels": channels,
        "out_dim": None if out == channels else out,
        "cond_dim": cond_dim,
        "attn_heads": heads,
        "attn_dim_head": rows // (3 * heads),
        "init_dim": None if first == dim else first,
        "init_kernel_size": size(shapes, "init_conv.weight", 3),
        "use_sparse_linear_attn": _SPARSE in shapes or _SPARSE_SHIFTED in shapes,
        "shift_time": shifted,
        "shift_space": "mid_spatial_attn.fn.fn.fn.fn.to_qkv.weight" in shapes,
        "text_memory": _rows(shapes, "text_memory.to_tokens.weight") // (cond_dim or 1),
        "classes": max(_rows(shapes, "class_emb.weight") - 1, 0),
        "frame_numbers": "frame_emb.weight" in shapes,
        "block_norm": "group" if "downs.0.0.block1.norm.weight" in shapes else "rms",
    }


def _rows(shapes: Shapes, key: str) -> int:
    return shapes[key][0] if key in shapes else 0


def _notes(spec: Unet3DSpec, overrides: Mapping[str, Any]) -> Iterator[str]:
    if spec.block_norm == "group":
        yield _GROUPNORM
        yield _SKIP.format(
            spec.long_skip,
            ""
            if "long_skip" in overrides
            else " is taken; give long_skip=before_attn for the older ones",
        )


def _too_old(shapes: Shapes) -> Iterator[str]:
    if any(key.startswith("downs.0.0.block1.block.") for key in shapes):
        yield _REFUSED.format(
            "0.4.2 (May 2022)", "time is added to the features, not a scale and shift of them"
        )
    downs, ups = (
        len({key.split(".")[1] for key in shapes if key.startswith(side)})
        for side in ("downs.", "ups.")
    )
    if downs != ups:
        yield _REFUSED.format("0.5.1 (June 2022)", f"{downs} levels down and {ups} up")
    joined = shapes.get("final_conv.0.block1.proj.weight", (0, 0))
    if len(joined) > 1 and joined[1] == size(shapes, "time_mlp.1.weight", 1):
        yield _REFUSED.format(
            "0.5.2 (June 2022)", "no skip from the first convolution to the last block"
        )


def _widths(shapes: Shapes) -> Iterator[int]:
    level = 0
    while (key := f"downs.{level}.0.block1.proj.weight") in shapes:
        yield shapes[key][0]
        level += 1


def section(spec: Unet3DSpec) -> dict[str, Any]:
    """The `model` section that describes the spec; what has its default value is left out."""
    usual = Unet3DSpec(dim=spec.dim)
    changed = {f: getattr(spec, f) for f in _KEYS if getattr(spec, f) != getattr(usual, f)}
    changed |= {"dim_mults": list(spec.dim_mults)}
    if spec.float32:
        changed["float32"] = list(spec.float32)
    if spec.block_norm == "group":
        changed["compat"] = RELEASES[spec.long_skip == "before_attn"]
    if spec.shift_time or spec.shift_space:
        changed["token_shift"] = SHIFTS[spec.shift_time, spec.shift_space]
    if spec.classes:
        changed["classes"] = [f"class {i}" for i in range(spec.classes)]
    if spec.cond_dim:
        memory = {"memory": spec.text_memory} if spec.text_memory else {}
        changed["text"] = {"encoder": "embedding", **memory}
    return {"family": FAMILY, "dim": spec.dim, **changed}


def rotary_freqs(spec: Unet3DSpec) -> dict[str, np.ndarray]:
    """The rotary frequencies, which some releases of rotary-embedding-torch keep out of the
    file.
    """
    place = np.arange(0, spec.rotary_dim, 2, dtype=np.float32) / np.float32(spec.rotary_dim)
    key = next(entry.source for entry in names(spec) if entry.ours == "rotary.freqs")
    return {key: (np.float32(1.0) / np.float32(10000.0) ** place).astype(np.float32)}


def facts(weights: Any, prefix: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """In which form the file holds the network, its number of timesteps, and how long it was
    trained.
    """
    outer = prefix.removesuffix(PREFIX)
    if outer == prefix:
        return {"form": "network"}, ()
    found, betas = {"form": "trainer" if outer else "diffusion"}, f"{outer}betas"
    if isinstance(weights.metadata.get("step"), int):
        found["step"] = str(weights.metadata["step"])
    if betas not in weights or len(weights.shape(betas)) != 1:
        return found, ()
    timesteps = weights.shape(betas)[0]
    schedule = cosine(max(timesteps, 1))
    usual = all(
        outer + name in weights and _agrees(weights, outer + name, schedule.table(name))
        for name in BUFFERS
    )
    return {**found, "timesteps": str(timesteps)}, () if usual else (_ODD_SCHEDULE,)


def _agrees(weights: Any, name: str, table: np.ndarray) -> bool:
    """Whether a table of the file is `table` as its number format can hold it."""
    held, kind = weights.read(name).astype(np.float64), weights.dtype(name)
    bits = {"float64": 23, "float32": 23, "float16": 10, "bfloat16": 7}.get(kind, 23)
    least, most = (2.0**-24, 65504.0) if kind == "float16" else (2.0**-149, 3.4e38)
    if held.shape != table.shape:
        return False
    wanted = np.clip(table.astype(np.float64), -most, most)
    near = np.abs(held - wanted) <= 2.0**-bits * np.abs(wanted) + least
    return bool(np.all(near | (~np.isfinite(held) & (np.abs(table) > most))))


def pack(network: dict[str, Any], facts: Mapping[str, str]) -> dict[str, Any]:
    """A state dict of Unet3D in one of FORMS: as it is, inside GaussianDiffusion, or as the
    trainer's model-N.pt.

    Args:
        facts: `form` (usual: diffusion), `timesteps` (usual: 1000) and `step` (usual: 0), as text.

    Raises:
        ConfigError: an unknown form.
    """
    form = facts.get("form", "diffusion")
    if form not in FORMS:
        raise ConfigError(f"--form is {form!r}; it must be one of {', '.join(FORMS)}")
    if form == "network":
        return network
    schedule = cosine(int(facts.get("timesteps", 1000)))
    tree = {name: schedule.table(name) for name in BUFFERS} | {
        PREFIX + key: value for key, value in network.items()
    }
    if form == "diffusion":
        return tree
    return {"step": int(facts.get("step", 0)), "model": tree, "ema": tree, "scaler": {}}


FORMAT = Format(
    layout="",
    markers=(
        "time_rel_pos_bias.relative_attention_bias.weight",
        "init_conv.weight",
        "final_conv.1.weight",
    ),
    infer=infer,
    entries=names,
    ignored=(rf"(.*\.)?({'|'.join(BUFFERS)})", r".*\.rotary_emb\..*"),
    defaults=rotary_freqs,
    facts=facts,
    pack=pack,
)
