"""What one call of a network costs, in words that all networks share."""

from __future__ import annotations

from dataclasses import dataclass

RUNTIME_BYTES = 420e6  # an idle MindSpore process on the CPU


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
