"""What one call of a network costs, in words that all networks share."""

from __future__ import annotations

from dataclasses import dataclass

RUNTIME_BYTES = 420e6  # an idle MindSpore process on the CPU

# Fitted to peaks on a CPU (docs/benchmarks.md). A training step: the graph, and each tensor's share
# of the compiled forward and backward
GRAPH_BYTES, TENSOR_BYTES = 150e6, 1.2e6
# One forward: while its graph is compiled, with each tensor's share of it; most of that is given
# back before the graph runs (mindlong/ops/own_graph.py), which leaves each tensor a smaller one
COMPILER_BYTES, COMPILED_TENSOR_BYTES, FORWARD_TENSOR_BYTES = 80e6, 0.66e6, 0.42e6


def forward_bytes(tensors: int, parameters: int, numbers: float, each: float) -> float:
    """Peak memory of one forward of a network with so many tensors and parameters.

    Args:
        numbers: that its layers give out. each: bytes that one of them takes on average; most are
            let go before the peak.
    """
    compiling = COMPILER_BYTES + COMPILED_TENSOR_BYTES * tensors
    running = FORWARD_TENSOR_BYTES * tensors + each * numbers
    return RUNTIME_BYTES + 4.0 * parameters + max(compiling, running)


def train_bytes(tensors: int, parameters: int, numbers: float, each: float) -> float:
    """Peak memory of a training step: weights, gradients, moments and averages too; arguments as
    for `forward_bytes`.
    """
    graph = GRAPH_BYTES + TENSOR_BYTES * tensors
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
