"""What AutoencoderKL costs, read off its spec: operations and memory, before anything is allocated.

Operations are those of matrix products and convolutions; the memory of decoding was fitted to
measurements at full size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.cost import RUNTIME_BYTES, Cost, Load, train_bytes
from mindlong.networks.unet.cost import MADE_BYTES, totals
from mindlong.networks.vae.names import names, parameter_count

if TYPE_CHECKING:
    from mindlong.networks.vae.spec import VaeSpec


def cost(spec: VaeSpec, load: Load) -> Cost:
    """Encoding and decoding all images at once, as a training step does."""
    entries, (height, width) = names(spec), (load.height, load.width)
    images = load.videos * load.frames
    parameters, flops, made = totals(entries, lambda entry: _area(spec, entry.ours, height, width))
    flops += 2 * _middle_attention(spec, height, width)
    peak = RUNTIME_BYTES + 4.0 * parameters + decode_peak_bytes(spec, height, width, images)
    return Cost(
        parameters,
        images * flops,
        peak,
        train_bytes(len(entries), parameters, images * made, MADE_BYTES),
    )


def decode_cost(spec: VaeSpec, load: Load) -> Cost:
    """Decoding all images at once, in float32; the whole autoencoder is in memory."""
    height, width, images = load.height, load.width, load.videos * load.frames
    decoding = [e for e in names(spec) if not e.ours.startswith(("encoder", "quant"))]
    _, flops, _ = totals(decoding, lambda entry: _area(spec, entry.ours, height, width))
    flops += _middle_attention(spec, height, width)
    parameters = parameter_count(spec)
    peak = RUNTIME_BYTES + 4.0 * parameters + decode_peak_bytes(spec, height, width, images)
    return Cost(parameters, images * flops, peak, 0.0)


def decode_peak_bytes(spec: VaeSpec, height: int, width: int, frames: int = 1) -> int:
    """Estimated memory in bytes that decoding `frames` images of `height` x `width` pixels at once
    takes beside the weights.

    Five images of features at the widest place, and 64 MiB: measured on a CPU at full size, 378 MiB
    for one image of 256 x 256 (estimate 384), 701 MiB for two (704).
    """
    widest = 0
    for i, (cin, _) in enumerate(spec.up_levels):
        scale = spec.factor >> i
        widest = max(widest, -(-height // scale) * -(-width // scale) * cin)
    return 5 * 4 * frames * widest + 64 * 2**20


def _middle_attention(spec: VaeSpec, height: int, width: int) -> float:
    return 4.0 * spec.block_channels[-1] * ((height // spec.factor) * (width // spec.factor)) ** 2


def _area(spec: VaeSpec, name: str, height: int, width: int) -> int:
    """Pixels that a tensor of the autoencoder is applied to."""
    side, part, *rest = name.split(".")
    scale = spec.factor
    if part == "levels" and side == "encoder":
        scale = 1 << (int(rest[0]) + (rest[1] == "downsample"))
    elif part == "levels":
        scale >>= int(rest[0]) + (rest[1] == "upsample")
    elif (side, part) in (("encoder", "conv_in"), ("decoder", "norm_out"), ("decoder", "conv_out")):
        scale = 1
    return (height // scale) * (width // scale)
