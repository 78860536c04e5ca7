"""What one call of a network costs, in words that all networks share."""

from __future__ import annotations

from dataclasses import dataclass

RUNTIME_BYTES = 420e6  # an idle MindSpore process on the CPU
COMPILER_BYTES = 150e6  # what compiling a graph takes beside it

# A training step, fitted to peaks of tiny networks on a CPU (docs/tune_a_video.md): each tensor's
# share of the compiled forward and backward
TENSOR_BYTES = 1.5e6
# One forward, fitted to eleven peaks of small networks on a CPU (docs/benchmarks.md): each tensor's
# share of the compiled graph
FORWARD_TENSOR_BYTES = 0.6e6


def forward_bytes(tensors: int, parameters: int, numbers: float, each: float) -> float:
    """Peak memory of one forward of a network with so many tensors and parameters.

    Args:
        numbers: that its layers give out. each: bytes that one of them takes on average; most are
            let go before the peak.
    """
    graph = COMPILER_BYTES + FORWARD_TENSOR_BYTES * tensors
    return RUNTIME_BYTES + graph + 4.0 * parameters + each * numbers


def train_bytes(tensors: int, parameters: int, numbers: float, each: float) -> float:
    """Peak memory of a training step: weights, gradients, moments and averages too; arguments as
    for `forward_bytes`.
    """
    graph = COMPILER_BYTES + TENSOR_BYTES * tensors
    return RUNTIME_BYTES + graph + 5 * 4.0 * parameters + each * numbers


@dataclass(frozen=True)
class Load:
    """What a network is called on.

    Attributes:
        videos: rows of the batch, both halves of a guided call counted.
        frames, height, width: of one video, as the network sees it: latents for a latent network,
            images for one in pixels and for an autoencoder.
        tokens: of a prompt.
        recompute: in training activations are computed again rather than kept.
    """

    videos: int
    frames: int
    height: int
    width: int
    tokens: int = 0
    recompute: bool = False


@dataclass(frozen=True)
class Cost:
    """Of one call in float32.

    Attributes:
        parameters: numbers in the network.
        flops: multiplications and additions of one forward; a training step takes three times as
            many.
        bytes: peak memory of one forward, weights and the runtime included.
        train_bytes: peak memory of a training step: weights, gradients, moments, averages and
            activations too.
    """

    parameters: int
    flops: float
    bytes: float
    train_bytes: float
