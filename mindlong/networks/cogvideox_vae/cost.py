"""What CogVideoX's autoencoder costs, read off its spec: operations and memory, before anything is
allocated. Memory is that of one chunk and of what goes from chunk to chunk, whatever the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from mindlong.networks.cogvideox_vae.names import names, parameter_count
from mindlong.networks.cogvideox_vae.spec import IMAGES, LATENTS, VideoVaeSpec, chunks
from mindlong.networks.cost import FORWARD_TENSOR_BYTES, RUNTIME_BYTES, Cost, Load

BYTES = 4  # of a number
# images of features held at once at the widest place, beside the frames side by side: the least
# that agrees with a decoding at full size that was ended at 23.2 GiB (docs/cogvideox.md)
WIDE = 17.0


def cost(spec: VideoVaeSpec, load: Load) -> Cost:
    """Encoding and decoding a video of so many images."""
    decoding = decode_cost(spec, load)
    flops = decoding.flops + _flops(spec, "encoder", load)
    return Cost(decoding.parameters, flops, decoding.bytes, 0.0)


def decode_cost(spec: VideoVaeSpec, load: Load) -> Cost:
    """Decoding a video of `load.frames` images, in float32; the whole autoencoder is in memory."""
    tensors, numbers = len(names(spec)), parameter_count(spec)
    held = BYTES * (numbers + kept_numbers(spec, load.height, load.width))
    peak = BYTES * chunk_numbers(spec, load.height, load.width)
    graphs = 2 * FORWARD_TENSOR_BYTES * tensors  # of the first chunk, and of those behind it
    return Cost(numbers, _flops(spec, "decoder", load), RUNTIME_BYTES + graphs + held + peak, 0.0)


def kept_numbers(spec: VideoVaeSpec, height: int, width: int) -> int:
    """What goes from chunk to chunk of a decoding: two input frames of each causal convolution."""
    kept = 0
    for entry in names(spec):
        if entry.ours.startswith("decoder") and entry.ours.endswith("conv.weight") and entry.axes:
            _, pixels = _place(spec, entry.ours, height, width)
            kept += 2 * entry.source_shape[1] * pixels
    return kept


def chunk_numbers(spec: VideoVaeSpec, height: int, width: int) -> float:
    """What the widest convolution of a decoded chunk has in memory: its input three times over, and
    some images of features.
    """
    frames = {i: (IMAGES if i >= spec.halvings else LATENTS << i) + 1 for i in range(99)}
    return max(
        frames[level] * pixels * (3 + WIDE) * entry.source_shape[1]
        for entry in names(spec)
        if entry.ours.startswith("decoder") and entry.axes
        for level, pixels in [_place(spec, entry.ours, height, width)]
    )


def _flops(spec: VideoVaeSpec, side: str, load: Load) -> float:
    """Of the convolutions of one half on all frames of the videos."""
    flops, latents = 0.0, sum(_lengths(spec, load.frames))
    for entry in names(spec):
        if not entry.ours.startswith(side) or not entry.our_shape[1:]:
            continue
        level, pixels = _place(spec, entry.ours, load.height, load.width)
        frames = min(latents << min(level, spec.halvings), load.frames)
        if ".conv_y." in entry.ours or ".conv_b." in entry.ours:
            frames, pixels = latents, (load.height * load.width) // spec.factor**2
        flops += 2.0 * prod(entry.our_shape) * frames * pixels
    return load.videos * flops


def _lengths(spec: VideoVaeSpec, frames: int) -> Iterator[int]:
    """Latents of each chunk of images."""
    for size in chunks(frames, IMAGES):
        yield size // spec.time + size % 2


def _place(spec: VideoVaeSpec, name: str, height: int, width: int) -> tuple[int, int]:
    """How often frames were doubled where a tensor is applied, counted from the latents, and the
    pixels there.
    """
    side, part, *rest = name.split(".")
    last = len(spec.block_channels) - 1
    up = {"mid": 0, "norm_out": last, "conv_out": last, "conv_in": 0}.get(part)
    if side == "encoder":
        up = {"mid": 0, "norm_out": 0, "conv_out": 0, "conv_in": last}.get(part)
    if up is None:
        moved = "sample" in rest[1]
        level = int(rest[0])
        up = level + moved if side == "decoder" else last - level - moved
    scale = spec.factor >> up
    return up, (height // scale) * (width // scale)
