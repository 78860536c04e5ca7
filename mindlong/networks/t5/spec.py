"""T5's encoder as a spec (arXiv 1910.10683, version 1.1 with gated feed-forwards)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mindlong.utils.errors import ConfigError


@dataclass(frozen=True)
class T5Spec:
    """What the encoder is made of; the defaults are those of T5 v1.1 XXL beside CogVideoX.

    Attributes:
        vocabulary: tokens; files hold a few more than the tokenizer knows.
        width: numbers of a token.
        layers: attention and feed-forward, each.
        heads, head_dim: of the attention; their product need not be the width.
        hidden: numbers inside a feed-forward.
        buckets: of distances between tokens, an even number.
        distance: from which on all distances are alike.
        eps: of every norm.
        length: tokens of a prompt, the end included; padding is read as any token.
        pad_id: the token that fills a prompt up.

    Raises:
        ConfigError: a field out of its range.
    """

    vocabulary: int = 32128
    width: int = 4096
    layers: int = 24
    heads: int = 64
    head_dim: int = 64
    hidden: int = 10240
    buckets: int = 32
    distance: int = 128
    eps: float = 1e-6
    length: int = 226
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.buckets % 4 or self.distance <= self.buckets // 4:
            raise ConfigError(
                f"buckets is {self.buckets} and distance {self.distance}; buckets must be a multiple of 4, "
                "and distance above a quarter of it"
            )


def buckets_of(spec: T5Spec, length: int) -> np.ndarray:
    """int32 (length, length): the bucket of each (query, key).

    Half of the buckets are for keys behind the query; of a half, half are distances of their own,
    and the others are spread by the logarithm up to `distance`, in float32 as in the original.
    """
    away = np.arange(length)[None] - np.arange(length)[:, None]
    half, distance = spec.buckets // 2, np.abs(away)
    exact = half // 2
    far = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    step = np.float32(np.log(spec.distance / exact))
    spread = exact + (far / step * np.float32(half - exact)).astype(np.int64)
    found = np.where(distance < exact, distance, np.minimum(spread, half - 1))
    return (found + half * (away > 0)).astype(np.int32)
