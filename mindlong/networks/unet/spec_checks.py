"""What is wrong with a UNet's spec, and what inputs do not fit it, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mindlong.networks.unet import views

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

ZEROS = ("res", "tconv", "proj_out", "conv_out", "fps", "frame", "guidance")
CONDITIONS = ("time", "fps", "frame")


def problems(spec: UNetSpec) -> Iterator[str]:
    """Sentences on fields that are out of their range."""
    if not spec.channels or spec.layers < 1:
        yield "The UNet needs at least one level in channels, and layers of at least 1."
    if spec.text_tokens < 1:
        yield f"text_tokens is {spec.text_tokens}; it must be at least 1."
    if len(spec.attends) != len(spec.channels):
        yield f"attends has {len(spec.attends)} entries; channels has {len(spec.channels)} levels, one entry for each."
    if spec.guidance_dim and spec.guidance_dim < 4:
        yield f"guidance_dim is {spec.guidance_dim}; it must be 0 or at least 4 (256 is published)."
    if spec.channels[0] % 2:
        yield f"channels starts with {spec.channels[0]}; it must be even (half of the time embedding is sine)."
    for width in spec.channels:
        if width % spec.groups:
            yield f"channels holds {width}; each must be a multiple of groups ({spec.groups})."
    for word, known in (
        *((z, ZEROS) for z in spec.zero),
        *((c, CONDITIONS) for c in spec.conditions),
    ):
        if word not in known:
            yield f"{word!r} is not known here; it must be of {', '.join(known)}."
    yield from _head_problems(spec)


def _head_problems(spec: UNetSpec) -> Iterator[str]:
    if (spec.head_dim is None) == (spec.heads is None):
        yield f"Exactly one of head_dim ({spec.head_dim}) and heads ({spec.heads}) must be given."
        return
    if isinstance(spec.heads, tuple) and len(spec.heads) != len(spec.channels):
        yield f"heads has {len(spec.heads)} entries; channels has {len(spec.channels)} levels, one entry for each."
        return
    for i, width in enumerate(spec.channels):
        heads = spec.heads[i] if isinstance(spec.heads, tuple) else spec.heads
        part = spec.head_dim or heads or 0
        if part < 1 or width % part:
            word = "head_dim" if spec.head_dim else "heads"
            yield f"{word} is {part}; it must divide the channels of every level, and one has {width}."


def misfits(
    spec: UNetSpec, x: tuple[int, ...], t: tuple[int, ...], context: tuple[int, ...], fps: bool
) -> Iterator[str]:
    """Sentences on inputs of these shapes that do not fit (`UNetSpec.check_inputs`)."""
    if len(x) != 5:
        yield f"Latents are (batch, channels, frames, height, width); these have the shape {x}."
        return
    if x[1] != spec.in_channels:
        yield f"The latents have {x[1]} channels; the network takes {spec.in_channels}."
    if t != (x[0],):
        yield f"t has the shape {t}; it must hold one timestep for each of the {x[0]} videos."
    rows = {3: x[:1], 4: (x[0], x[2])}.get(len(context))
    if rows is None or context[:-2] != rows or context[-1] != spec.context_dim:
        yield (
            f"The context has the shape {context}; it must be ({x[0]}, tokens, {spec.context_dim}), or "
            f"({x[0]}, {x[2]}, tokens, {spec.context_dim}) with a prompt for each frame."
        )
    elif spec.reads_image and context[-2] <= spec.text_tokens:
        yield (
            f"The context has {context[-2]} tokens; the network takes {spec.text_tokens} of a prompt and those of "
            "an image behind them."
        )
    yield from views.misfits(spec.transformers, x[2])
    if fps != ("fps" in spec.conditions):
        yield (
            "The network takes the frame rate; fps is missing."
            if not fps
            else "fps was given, but the network has no embedding of the frame rate."
        )
